/**
 * Register blocks for tests of transports: a virtio device that is nothing but its registers, as slow, wrong or gone as
 * the test wants it, behind PCI (VIRTIO 1.2 section 4.1) and behind MMIO (4.2). Shipped, so that other transports can be
 * tested with it.
 */
import { GpuError } from "../base/errors.ts";
import { MMIO_MAGIC, MMIO_VERSION, MmioRegister } from "../wire/mmio.ts";
import {
  CommonConfig,
  PciCapId,
  PciHeader,
  PciMsix,
  PciPmcsr,
  PciStatus,
  VIRTIO_PCI_VENDOR_ID,
  VirtioCap,
  VirtioCapType,
} from "../wire/pci.ts";
import { DeviceStatus, NO_VECTOR } from "../wire/virtio.ts";
import type { BusAccess, PciFunctionAccess, PciInterrupts } from "./bus-access.ts";

/** The registers of one queue. */
export class FakeQueue {
  size: number;
  vector: number = NO_VECTOR;
  enabled: number = 0;
  resetting: number = 0;
  /** Address halves: descriptors, driver, device; low first. */
  readonly words: number[] = [0, 0, 0, 0, 0, 0];
  constructor(size: number) {
    this.size = size;
  }
}

/** What the device is like; all of it may be changed while it is driven. */
export class FakeDevice {
  status: number = 0;
  features: bigint = (1n << 32n) | (1n << 40n);
  driverFeatures: bigint = 0n;
  queues: FakeQueue[] = [new FakeQueue(64), new FakeQueue(16)];
  generation: number = 0;
  isr: number = 0;
  readonly config: Uint8Array = Uint8Array.from({ length: 16 }, (_, index) => index);
  readonly sharedMemory: Map<number, readonly [address: number, byteLength: number]> = new Map();
  /** Status reads for which a reset goes on. Infinity: it never ends. */
  resetReads: number = 0;
  /** The same for the reset of a queue, in reads of its register. */
  queueResetReads: number = 0;
  /** Reads for which a suspend or resume goes on; "fails": it ends in NEEDS_RESET. */
  suspendReads: number | "fails" = 0;
  refusesFeatures: boolean = false;
  refusesQueues: boolean = false;
  vectorsMax: number = 3;
  /** Reads give all ones, writes go nowhere; "throws": accesses throw ENODEV. */
  gone: false | "reads ones" | "throws" = false;
  readonly statusWrites: number[] = [];
  readonly kicks: (readonly [offset: number, width: number, value: number])[] = [];
  configVector: number = NO_VECTOR;
  #resetting = 0;
  #suspending = 0;
  #selected = 0;
  #deviceHalf = 0;
  #driverHalf = 0;

  /** The selected queue; one of size 0 where there is none. */
  get queue(): FakeQueue {
    return this.queues[this.#selected] ?? new FakeQueue(0);
  }

  set selectedQueue(queue: number) {
    this.#selected = queue;
  }

  get selectedQueue(): number {
    return this.#selected;
  }

  readStatus(): number {
    if (this.#resetting > 0) this.#resetting -= 1;
    else if (this.#suspending > 0) this.#suspending -= 1;
    else if (this.statusWrites.at(-1) === 0) this.status = 0;
    else this.#settle();
    return this.status;
  }

  writeStatus(status: number): void {
    this.statusWrites.push(status);
    if (status === 0) {
      this.#resetting = this.resetReads;
      this.queues = this.queues.map(({ size }) => new FakeQueue(size));
      return;
    }
    const goes = (status ^ this.status) & (DeviceStatus.SUSPEND | DeviceStatus.DRIVER_OK);
    const wasSuspended = (this.status & DeviceStatus.SUSPEND) !== 0;
    if (goes !== 0 && (wasSuspended || (status & DeviceStatus.SUSPEND) !== 0)) {
      this.#suspending = this.suspendReads === "fails" ? 0 : this.suspendReads;
      return;
    }
    this.status = this.refusesFeatures ? status & ~DeviceStatus.FEATURES_OK : status;
  }

  /** What a suspend or resume that was asked for comes to. */
  #settle(): void {
    const asked = this.statusWrites.at(-1) ?? 0;
    const { SUSPEND, DRIVER_OK, NEEDS_RESET } = DeviceStatus;
    const suspends = (asked & SUSPEND) !== 0 && (this.status & SUSPEND) === 0;
    const resumes = (asked & SUSPEND) === 0 && (this.status & SUSPEND) !== 0;
    if (!suspends && !resumes) return;
    if (this.suspendReads === "fails") this.status |= NEEDS_RESET;
    else this.status = suspends ? (asked | SUSPEND) & ~DRIVER_OK : asked;
  }

  set deviceFeaturesHalf(half: number) {
    this.#deviceHalf = half;
  }

  get deviceFeatures(): number {
    return Number(BigInt.asUintN(32, this.features >> BigInt(32 * this.#deviceHalf)));
  }

  set driverFeaturesHalf(half: number) {
    this.#driverHalf = half;
  }

  setDriverFeatures(value: number): void {
    const shift = BigInt(32 * this.#driverHalf);
    this.driverFeatures = (this.driverFeatures & ~(0xffff_ffffn << shift)) | (BigInt(value) << shift);
  }

  startQueueReset(): void {
    this.queue.resetting = this.queueResetReads + 1;
    this.queue.enabled = 0;
  }

  /** 1 while it goes on. */
  readQueueReset(): number {
    const { queue } = this;
    if (queue.resetting > 0) queue.resetting -= 1;
    return queue.resetting > 0 ? 1 : 0;
  }

  readConfig(offset: number, width: number): number {
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) value = value * 256 + (this.config[offset + index] ?? 0);
    return value;
  }

  writeConfig(offset: number, value: number): void {
    for (let index = 0; index < 4; index += 1) this.config[offset + index] = (value >>> (8 * index)) & 0xff;
  }
}

type Width = 1 | 2 | 4;

/** A register block out of one function to read and one to write, that can be gone. */
function registers(
  isGone: () => FakeDevice["gone"],
  read: (offset: number, width: Width) => number,
  write: (offset: number, width: Width, value: number) => void,
): BusAccess {
  const readAny = (offset: number, width: Width): number => {
    const gone = isGone();
    if (gone === "throws") throw new GpuError("ENODEV", "the fake device is gone");
    return gone === "reads ones" ? 2 ** (8 * width) - 1 : read(offset, width);
  };
  const writeAny = (offset: number, width: Width, value: number): void => {
    const gone = isGone();
    if (gone === "throws") throw new GpuError("ENODEV", "the fake device is gone");
    if (gone === false) write(offset, width, value);
  };
  return {
    read8: (offset) => readAny(offset, 1),
    read16: (offset) => readAny(offset, 2),
    read32: (offset) => readAny(offset, 4),
    write8: (offset, value) => writeAny(offset, 1, value),
    write16: (offset, value) => writeAny(offset, 2, value),
    write32: (offset, value) => writeAny(offset, 4, value),
  };
}

/** The device behind MMIO. `identity` may be changed: magic, version, device id. */
export function fakeMmio(device: FakeDevice, identity: number[] = [MMIO_MAGIC, MMIO_VERSION, 16]): BusAccess {
  const R = MmioRegister;
  const half = (value: number, high: boolean): number => (high ? Math.floor(value / 2 ** 32) : value >>> 0);
  let region = 0;
  const shared = (part: 0 | 1, high: boolean): number => {
    const found = device.sharedMemory.get(region);
    return found === undefined ? 0xffff_ffff : half(found[part], high);
  };
  const reads: Readonly<Record<number, () => number>> = {
    [R.MAGIC]: () => identity[0] ?? 0,
    [R.VERSION]: () => identity[1] ?? 0,
    [R.DEVICE_ID]: () => identity[2] ?? 0,
    [R.DEVICE_FEATURES]: () => device.deviceFeatures,
    [R.QUEUE_SIZE_MAX]: () => device.queue.size,
    [R.QUEUE_READY]: () => device.queue.enabled,
    [R.QUEUE_RESET]: () => device.readQueueReset(),
    [R.INTERRUPT_STATUS]: () => device.isr,
    [R.STATUS]: () => device.readStatus(),
    [R.CONFIG_GENERATION]: () => device.generation,
    [R.SHM_LEN_LOW]: () => shared(1, false),
    [R.SHM_LEN_HIGH]: () => shared(1, true),
    [R.SHM_BASE_LOW]: () => shared(0, false),
    [R.SHM_BASE_HIGH]: () => shared(0, true),
  };
  const addressWords: readonly number[] = [
    R.QUEUE_DESC_LOW,
    R.QUEUE_DESC_HIGH,
    R.QUEUE_DRIVER_LOW,
    R.QUEUE_DRIVER_HIGH,
    R.QUEUE_DEVICE_LOW,
    R.QUEUE_DEVICE_HIGH,
  ];
  const writes: Readonly<Record<number, (value: number) => void>> = {
    [R.DEVICE_FEATURES_SEL]: (value) => (device.deviceFeaturesHalf = value),
    [R.DRIVER_FEATURES_SEL]: (value) => (device.driverFeaturesHalf = value),
    [R.DRIVER_FEATURES]: (value) => device.setDriverFeatures(value),
    [R.QUEUE_SEL]: (value) => (device.selectedQueue = value),
    [R.QUEUE_SIZE]: (value) => (device.queue.size = value),
    [R.QUEUE_READY]: (value) => (device.queue.enabled = device.refusesQueues ? 0 : value),
    [R.QUEUE_RESET]: () => device.startQueueReset(),
    [R.QUEUE_NOTIFY]: (value) => device.kicks.push([R.QUEUE_NOTIFY, 4, value]),
    [R.INTERRUPT_ACK]: (value) => (device.isr &= ~value),
    [R.STATUS]: (value) => device.writeStatus(value),
    [R.SHM_SEL]: (value) => (region = value),
  };
  return registers(
    () => device.gone,
    (offset, width) => (offset >= R.CONFIG ? device.readConfig(offset - R.CONFIG, width) : (reads[offset]?.() ?? 0)),
    (offset, _width, value) => {
      const word = addressWords.indexOf(offset);
      if (word >= 0) device.queue.words[word] = value;
      else if (offset >= R.CONFIG) device.writeConfig(offset - R.CONFIG, value);
      else writes[offset]?.(value);
    },
  );
}

/** Where {@link FakePci} has its structures, in BAR 4. */
const COMMON_AT = 0;
const ISR_AT = 0x1000;
const DEVICE_AT = 0x2000;
const NOTIFY_AT = 0x3000;
const NOTIFY_MULTIPLIER = 4;

/** A capability as bytes from its third on: id and next are put before it. */
export interface FakeCapability {
  readonly id: number;
  readonly bytes: readonly number[];
}

/** A vendor capability. `more` follows the 16 bytes of the plain one. */
export function vendorCapability(
  type: number,
  place: { readonly bar?: number; readonly offset: number; readonly length: number; readonly regionId?: number },
  more: readonly number[] = [],
): FakeCapability {
  const bytes = [16 + more.length, type, place.bar ?? 4, place.regionId ?? 0, 0, 0];
  return { id: PciCapId.VENDOR, bytes: [...bytes, ...words(place.offset), ...words(place.length), ...more] };
}

function words(...values: readonly number[]): number[] {
  return values.flatMap((value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff));
}

/** The capabilities of a sound device: virtio's structures, power management, MSI-X with three vectors. */
export function soundCapabilities(): FakeCapability[] {
  return [
    vendorCapability(VirtioCapType.COMMON, { offset: COMMON_AT, length: CommonConfig.BYTES }),
    vendorCapability(VirtioCapType.ISR, { offset: ISR_AT, length: 1 }),
    vendorCapability(VirtioCapType.DEVICE, { offset: DEVICE_AT, length: 16 }),
    vendorCapability(VirtioCapType.NOTIFY, { offset: NOTIFY_AT, length: 64 }, words(NOTIFY_MULTIPLIER)),
    vendorCapability(VirtioCapType.PCI_ACCESS, { offset: 0, length: 0 }, words(0)),
    { id: PciCapId.POWER_MANAGEMENT, bytes: [3, 0, 0, 0, 0, 0] },
    { id: PciCapId.MSIX, bytes: [2, 0, ...words(1, 0x801)] },
  ];
}

/** The device behind a PCI function. Its configuration space is {@link FakePci.space}, free to be spoilt. */
export class FakePci implements PciFunctionAccess {
  readonly label: string = "0000:00:02.0";
  readonly space: Uint8Array = new Uint8Array(256);
  readonly config: BusAccess;
  readonly device: FakeDevice;
  interrupts: PciInterrupts | null = null;
  /** BARs that can't be mapped. */
  unmapped: readonly number[] = [];
  /** Calls of {@link FakePci.assignBars}. */
  assigned: number = 0;
  handler: ((vector: number) => void) | null = null;
  readonly #bar: BusAccess;
  readonly #offsets = new Map<number, number>();

  constructor(device: FakeDevice, capabilities: readonly FakeCapability[] = soundCapabilities()) {
    this.device = device;
    this.#bar = registers(
      () => device.gone,
      (offset, width) => this.#readBar(offset, width),
      (offset, width, value) => this.#writeBar(offset, width, value),
    );
    this.config = registers(
      () => device.gone,
      (offset, width) => this.#readSpace(offset, width),
      (offset, width, value) => this.#writeSpace(offset, width, value),
    );
    this.#writeSpace(PciHeader.VENDOR_ID, 2, VIRTIO_PCI_VENDOR_ID);
    this.#writeSpace(PciHeader.DEVICE_ID, 2, 0x1050);
    this.#writeSpace(PciHeader.STATUS, 2, PciStatus.CAPABILITIES);
    this.#layOut(capabilities);
  }

  /** Interrupts from now on, before a transport is opened. */
  withInterrupts(vectors: number): this {
    this.interrupts = { vectors, setHandler: (handler) => (this.handler = handler) };
    return this;
  }

  /** Offset of the first capability with this id. */
  capability(id: number): number {
    return this.#offsets.get(id) ?? 0;
  }

  bar(index: number): BusAccess | null {
    return index === 4 && !this.unmapped.includes(index) ? this.#bar : null;
  }

  barView(index: number, offset: number, byteLength: number): Uint8Array | null {
    return index === 4 ? new Uint8Array(byteLength).fill(offset & 0xff) : null;
  }

  assignBars(): void {
    this.assigned += 1;
  }

  /** A register of 16 bits of configuration space. */
  space16(offset: number): number {
    return this.#readSpace(offset, 2);
  }

  #layOut(capabilities: readonly FakeCapability[]): void {
    let link: number = PciHeader.CAPABILITIES;
    let at: number = PciHeader.BYTES;
    for (const { id, bytes } of capabilities) {
      this.space[link] = at;
      this.space.set([id, 0, ...bytes], at);
      if (!this.#offsets.has(id)) this.#offsets.set(id, at);
      link = at + 1;
      at += Math.ceil((2 + bytes.length) / 4) * 4;
    }
  }

  #readSpace(offset: number, width: Width): number {
    const through = this.#windowAccess(offset);
    if (through !== null) return this.#readBar(through, width);
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) value = value * 256 + (this.space[offset + index] ?? 0);
    return value;
  }

  #writeSpace(offset: number, width: Width, value: number): void {
    const through = this.#windowAccess(offset);
    if (through !== null) return this.#writeBar(through, width, value);
    for (let index = 0; index < width; index += 1) this.space[offset + index] = (value >>> (8 * index)) & 0xff;
    const power = this.capability(PciCapId.POWER_MANAGEMENT);
    // Behind MSI-X control and PMCSR there are no other writable bits here: what was written is what is read.
    if (power !== 0 && offset === power + 4) this.powerWrites.push(value & PciPmcsr.STATE_MASK);
  }

  /** D-states written to PMCSR. */
  readonly powerWrites: number[] = [];

  /** Where the window in configuration space leads, if that is what lies at `offset`. */
  #windowAccess(offset: number): number | null {
    for (let at = this.space[PciHeader.CAPABILITIES] ?? 0, hops = 0; at !== 0 && hops < 48; hops += 1) {
      const isWindow = this.space[at] === PciCapId.VENDOR && this.space[at + 3] === VirtioCapType.PCI_ACCESS;
      if (isWindow && offset >= at + VirtioCap.PCI_DATA && offset < at + VirtioCap.PCI_DATA + 4) {
        return new DataView(this.space.buffer).getUint32(at + VirtioCap.OFFSET, true);
      }
      at = this.space[at + 1] ?? 0;
    }
    return null;
  }

  #readBar(offset: number, width: Width): number {
    const { device } = this;
    if (offset >= DEVICE_AT && offset < DEVICE_AT + 16) return device.readConfig(offset - DEVICE_AT, width);
    if (offset === ISR_AT) {
      const { isr } = device;
      device.isr = 0;
      return isr;
    }
    return this.#readCommon(offset);
  }

  #readCommon(offset: number): number {
    const { device } = this;
    const { queue } = device;
    switch (offset) {
      case CommonConfig.DEVICE_FEATURE:
        return device.deviceFeatures;
      case CommonConfig.CONFIG_MSIX_VECTOR:
        return device.configVector;
      case CommonConfig.NUM_QUEUES:
        return device.queues.length;
      case CommonConfig.DEVICE_STATUS:
        return device.readStatus();
      case CommonConfig.CONFIG_GENERATION:
        return device.generation;
      case CommonConfig.QUEUE_SIZE:
        return queue.size;
      case CommonConfig.QUEUE_MSIX_VECTOR:
        return queue.vector;
      case CommonConfig.QUEUE_ENABLE:
        return queue.enabled;
      case CommonConfig.QUEUE_NOTIFY_OFF:
        return device.selectedQueue;
      case CommonConfig.QUEUE_RESET:
        return device.readQueueReset();
      default:
        return queue.words[(offset - CommonConfig.QUEUE_DESC) / 4] ?? 0;
    }
  }

  #writeBar(offset: number, width: Width, value: number): void {
    if (offset >= NOTIFY_AT) this.device.kicks.push([offset - NOTIFY_AT, width, value]);
    else if (offset >= DEVICE_AT) this.device.writeConfig(offset - DEVICE_AT, value);
    else this.#writeCommon(offset, value);
  }

  #writeCommon(offset: number, value: number): void {
    const { device } = this;
    const { queue } = device;
    const vector = value < device.vectorsMax ? value : NO_VECTOR;
    switch (offset) {
      case CommonConfig.DEVICE_FEATURE_SELECT:
        device.deviceFeaturesHalf = value;
        return;
      case CommonConfig.DRIVER_FEATURE_SELECT:
        device.driverFeaturesHalf = value;
        return;
      case CommonConfig.DRIVER_FEATURE:
        device.setDriverFeatures(value);
        return;
      case CommonConfig.CONFIG_MSIX_VECTOR:
        device.configVector = vector;
        return;
      case CommonConfig.DEVICE_STATUS:
        device.writeStatus(value);
        return;
      case CommonConfig.QUEUE_SELECT:
        device.selectedQueue = value;
        return;
      case CommonConfig.QUEUE_SIZE:
        queue.size = value;
        return;
      case CommonConfig.QUEUE_MSIX_VECTOR:
        queue.vector = vector;
        return;
      case CommonConfig.QUEUE_ENABLE:
        queue.enabled = device.refusesQueues ? 0 : value;
        return;
      case CommonConfig.QUEUE_RESET:
        device.startQueueReset();
        return;
      default:
        queue.words[(offset - CommonConfig.QUEUE_DESC) / 4] = value;
    }
  }
}

/** Whether MSI-X is enabled in a fake function. */
export function msixEnabled(pci: FakePci): boolean {
  return (pci.space16(pci.capability(PciCapId.MSIX) + PciMsix.CONTROL) & 0x8000) !== 0;
}

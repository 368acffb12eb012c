/**
 * A virtio device on a PCI function, as its driver reaches it (VIRTIO 1.2 section 4.1).
 *
 * Bus mastering: a device that an earlier kernel left running still has that kernel's rings. So the bit is set when the
 * device is reset, or has the very queues that were enabled here; else only with the first status written after that
 * (that of a driver who has reset it).
 *
 * Interrupts: MSI-X where the access offers vectors (0: configuration, then one a queue where they suffice), else the
 * INTx line with the ISR register. Where messages go (the MSI-X table) is the access's business: it hears them.
 */
import { assert } from "../../base/assert.ts";
import { type ErrorCode, GpuError } from "../../base/errors.ts";
import {
  CommonConfig,
  PciCommand,
  PciHeader,
  PciMsix,
  PciMsixControl,
  VIRTIO_PCI_DEVICE_ID_BASE,
  VIRTIO_PCI_VENDOR_ID,
} from "../../wire/pci.ts";
import { QUEUE_SIZE_MAX } from "../../wire/ring.ts";
import { InterruptBit, NO_VECTOR, VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { highWord, joinU64, lowWord } from "../../wire/words.ts";
import type { BusAccess, PciFunctionAccess } from "../bus-access.ts";
import type {
  ConfigAccess,
  FunctionPower,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "../transport.ts";
import { type PciCapabilities, msixVectors, readPciCapabilities } from "./capabilities.ts";
import { PciFunctionPower } from "./power-management.ts";
import { type PciStructures, type PciWindow, openPciStructures } from "./structures.ts";

/** Device ids below VIRTIO_PCI_DEVICE_ID_BASE belong to transitional devices, which have theirs in SUBSYSTEM_ID. */
const TRANSITIONAL_ID_BASE = 0x1000;
/** Virtio's device ids end here. */
const DEVICE_ID_END = 0x1080;
const ISR_GONE = 0xff;
/** What reads where there is no function. */
const ABSENT = 0xffff;
const STATUS_GONE = 0xff;
/** A function with none of them decodes no address and does no DMA, as after a reset of the bus. */
const ON = PciCommand.IO | PciCommand.MEMORY | PciCommand.BUS_MASTER;

interface EnabledQueue {
  readonly addresses: QueueAddresses;
  readonly notifyOffset: number;
}

/** See the file's head. */
export class PciTransport implements Transport {
  readonly label: string;
  readonly deviceId: number;
  readonly completion: "interrupts" | "polled";
  readonly config: ConfigAccess;
  readonly #access: PciFunctionAccess;
  readonly #window: PciWindow;
  #function: AwakeFunction;
  #structures: PciStructures;
  #bar: number;
  #queueCount: number;
  /** MSI-X vectors in use; 0: INTx, or none at all. */
  #vectors: number;
  /** Queues enabled here since the last reset that was asked for here. */
  readonly #queues: Map<number, EnabledQueue> = new Map();
  #isMastering = false;

  private constructor(access: PciFunctionAccess, window: PciWindow) {
    this.#access = access;
    this.#window = window;
    this.label = access.label;
    this.completion = access.interrupts === null ? "polled" : "interrupts";
    this.#function = wakeFunction(access);
    this.deviceId = this.#function.deviceId;
    this.#structures = openPciStructures(access, this.#function.capabilities, window);
    this.#bar = this.#readBar();
    this.#queueCount = this.#common.read16(CommonConfig.NUM_QUEUES);
    this.#vectors = this.#setUpInterrupts();
    this.config = {
      read8: (offset) => this.#deviceRegisters(offset, 1)?.read8(offset) ?? 0,
      read32: (offset) => this.#deviceRegisters(offset, 4)?.read32(offset) ?? 0,
      write32: (offset, value) => this.#deviceRegisters(offset, 4)?.write32(offset, value),
      generation: () => this.#common.read8(CommonConfig.CONFIG_GENERATION),
    };
    this.#masterIfOurs();
  }

  /**
   * Turns the function on and finds its registers; the device itself is left as it is. `window`: "pci-cfg" does without
   * mapped BARs. Throws GpuError ENODEV when there is no such function or no virtio device in it, EPROTO when its
   * capabilities are broken, ENOTSUP when it lacks the window.
   */
  static open(access: PciFunctionAccess, options: { readonly window?: PciWindow | undefined } = {}): PciTransport {
    return new PciTransport(access, options.window ?? "bars");
  }

  /** The function's PCI power management; null where it has none. */
  get power(): FunctionPower | null {
    return this.#function.power;
  }

  /** Where the function is no longer at its addresses: 0 when the bus was reset, else all ones. */
  readStatus(): number {
    return this.#absence() ?? this.#common.read8(CommonConfig.DEVICE_STATUS);
  }

  writeStatus(status: number): void {
    if (status === 0) this.#queues.clear();
    else if (!this.#isMastering) this.#setMastering(true);
    this.#common.write8(CommonConfig.DEVICE_STATUS, status);
  }

  readDeviceFeatures(): bigint {
    const features = (BigInt(this.#deviceFeatures(1)) << 32n) | BigInt(this.#deviceFeatures(0));
    // Offered without the register to do it with.
    return this.#structures.hasQueueReset ? features : features & ~featureBit(VirtioFeature.RING_RESET);
  }

  writeDriverFeatures(features: bigint): void {
    for (const half of [0, 1]) {
      this.#common.write32(CommonConfig.DRIVER_FEATURE_SELECT, half);
      this.#common.write32(CommonConfig.DRIVER_FEATURE, Number(BigInt.asUintN(32, features >> BigInt(32 * half))));
    }
  }

  queueSizeMax(queue: number): number {
    if (queue >= this.#queueCount) return 0;
    const max = this.#select(queue).read16(CommonConfig.QUEUE_SIZE);
    if (max > QUEUE_SIZE_MAX) throw this.#implausible(`queue ${queue} is said to take ${max} entries`);
    return max;
  }

  /** Throws GpuError EPROTO when the queue is enabled already or does not become enabled, ENODEV when no device answers. */
  enableQueue(queue: number, addresses: QueueAddresses): void {
    const common = this.#select(queue);
    if (common.read16(CommonConfig.QUEUE_ENABLE) !== 0) {
      throw this.#implausible(`queue ${queue} is enabled before its time`);
    }
    const notifyOffset = this.#notifyOffset(queue);
    common.write16(CommonConfig.QUEUE_SIZE, addresses.size);
    this.#assignVectors(queue);
    writeAddress(common, CommonConfig.QUEUE_DESC, addresses.descriptors);
    writeAddress(common, CommonConfig.QUEUE_DRIVER, addresses.driver);
    writeAddress(common, CommonConfig.QUEUE_DEVICE, addresses.device);
    common.write16(CommonConfig.QUEUE_ENABLE, 1);
    if (common.read16(CommonConfig.QUEUE_ENABLE) !== 1) throw this.#implausible(`queue ${queue} can't be enabled`);
    this.#queues.set(queue, { addresses, notifyOffset });
  }

  readQueue(queue: number): QueueRegisters {
    const common = this.#select(queue);
    return {
      enabled: common.read16(CommonConfig.QUEUE_ENABLE) === 1,
      addresses: {
        size: common.read16(CommonConfig.QUEUE_SIZE),
        descriptors: readAddress(common, CommonConfig.QUEUE_DESC),
        driver: readAddress(common, CommonConfig.QUEUE_DRIVER),
        device: readAddress(common, CommonConfig.QUEUE_DEVICE),
      },
    };
  }

  resetQueue(queue: number): void {
    assert(this.#structures.hasQueueReset, "RING_RESET was negotiated");
    this.#queues.delete(queue);
    this.#select(queue).write16(CommonConfig.QUEUE_RESET, 1);
  }

  queueResetDone(queue: number): boolean {
    assert(this.#structures.hasQueueReset, "RING_RESET was negotiated");
    return this.#select(queue).read16(CommonConfig.QUEUE_RESET) === 0;
  }

  /** A kick of a queue that is not enabled has no meaning, and is dropped. */
  notify(queue: number, data?: number): void {
    const offset = this.#queues.get(queue)?.notifyOffset;
    if (offset === undefined) return;
    const { registers } = this.#structures.notify;
    if (data === undefined) registers.write16(offset, queue);
    else registers.write32(offset, data);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    const region = this.#function.capabilities.sharedMemory.get(id);
    if (region === undefined) return null;
    const { bar, byteLength } = region;
    const view = (offset: number, bytes: number): Uint8Array | null => {
      assert(offset >= 0 && bytes >= 0 && offset + bytes <= byteLength, "a view inside the shared memory region");
      return this.#access.barView(bar, region.offset + offset, bytes);
    };
    return { id, byteLength, view };
  }

  setInterruptHandler(handler: InterruptHandler | null): void {
    const { interrupts } = this.#access;
    interrupts?.setHandler(handler === null ? null : (vector) => this.#dispatch(handler, vector));
  }

  pollConfig(): boolean {
    if (this.completion !== "polled" || this.#absence() !== null) return false;
    return (this.#takeInterrupts() & InterruptBit.CONFIG) !== 0;
  }

  /** Also looks anew where the structures lie: after a hibernation this may be another host's function. */
  reattach(): void {
    const awake = wakeFunction(this.#access);
    if (awake.deviceId !== this.deviceId) {
      throw this.#error("ENODEV", `a device of another kind answers: ${awake.deviceId} instead of ${this.deviceId}`);
    }
    this.#function = awake;
    this.#structures = openPciStructures(this.#access, awake.capabilities, this.#window);
    this.#bar = this.#readBar();
    this.#queueCount = this.#common.read16(CommonConfig.NUM_QUEUES);
    this.#vectors = this.#setUpInterrupts();
    this.#masterIfOurs();
  }

  detach(): void {
    this.#setMastering(false);
  }

  /**
   * Null while the function is where it was found. After a reset of its bus nothing is there, or something else: who
   * reads there has it held against him. The status that stands for that.
   */
  #absence(): number | null {
    const { config } = this.#access;
    const command = config.read16(PciHeader.COMMAND);
    if (command === ABSENT) return STATUS_GONE;
    if ((command & ON) === 0) return 0;
    return this.#readBar() === this.#bar ? null : STATUS_GONE;
  }

  /** The register of the address that the common configuration lies behind. */
  #readBar(): number {
    return this.#access.config.read32(PciHeader.BAR_0 + 4 * this.#structures.common.region.bar);
  }

  get #common(): BusAccess {
    return this.#structures.common.registers;
  }

  /** The common configuration, with this queue selected. Selected anew each time: others may have come in between. */
  #select(queue: number): BusAccess {
    const common = this.#common;
    common.write16(CommonConfig.QUEUE_SELECT, queue);
    return common;
  }

  #deviceFeatures(half: number): number {
    this.#common.write32(CommonConfig.DEVICE_FEATURE_SELECT, half);
    return this.#common.read32(CommonConfig.DEVICE_FEATURE);
  }

  /** The device's configuration, where it has `width` bytes at `offset`; else null, and reads give 0. */
  #deviceRegisters(offset: number, width: number): BusAccess | null {
    const { device } = this.#structures;
    return device !== null && offset + width <= device.region.byteLength ? device.registers : null;
  }

  /** Where the selected queue is notified. */
  #notifyOffset(queue: number): number {
    const { multiplier, byteLength } = this.#structures.notify.region;
    const offset = this.#common.read16(CommonConfig.QUEUE_NOTIFY_OFF) * multiplier;
    if (offset + 2 > byteLength)
      throw this.#implausible(`queue ${queue} is notified outside the notification structure`);
    return offset;
  }

  /** Turns on the kind of interrupts that is used, and off the other, which an earlier driver may have left on. */
  #setUpInterrupts(): number {
    const { config, interrupts } = this.#access;
    const { msix } = this.#function.capabilities;
    const vectors = msix === null ? 0 : Math.min(interrupts?.vectors ?? 0, msixVectors(config, msix));
    if (msix !== null) {
      const control = config.read16(msix + PciMsix.CONTROL) & ~(PciMsixControl.ENABLE | PciMsixControl.FUNCTION_MASK);
      config.write16(msix + PciMsix.CONTROL, vectors > 0 ? control | PciMsixControl.ENABLE : control);
    }
    const command = config.read16(PciHeader.COMMAND) & ~PciCommand.INTX_DISABLE;
    const usesLine = interrupts !== null && vectors === 0;
    config.write16(PciHeader.COMMAND, usesLine ? command : command | PciCommand.INTX_DISABLE);
    return vectors;
  }

  /** Whether each queue has a vector of its own. */
  get #hasVectorPerQueue(): boolean {
    return this.#vectors > this.#queueCount;
  }

  /** Of the selected queue, and of the configuration: a reset has forgotten both. */
  #assignVectors(queue: number): void {
    if (this.#vectors === 0) return;
    const shared = Math.min(1, this.#vectors - 1);
    this.#assignVector(CommonConfig.CONFIG_MSIX_VECTOR, 0);
    this.#assignVector(CommonConfig.QUEUE_MSIX_VECTOR, this.#hasVectorPerQueue ? 1 + queue : shared);
  }

  #assignVector(register: number, vector: number): void {
    this.#common.write16(register, vector);
    if (this.#common.read16(register) === NO_VECTOR) {
      throw this.#error("ENOMEM", `the device has no room for interrupt vector ${vector}`);
    }
  }

  #dispatch(handler: InterruptHandler, vector: number): void {
    if (vector < 0) {
      const pending = this.#takeInterruptsOrNone();
      if ((pending & InterruptBit.QUEUE) !== 0) handler.onQueue(undefined);
      if ((pending & InterruptBit.CONFIG) !== 0) handler.onConfig();
      return;
    }
    if (vector > 0) handler.onQueue(this.#hasVectorPerQueue ? vector - 1 : undefined);
    else handler.onConfig();
    if (vector === 0 && this.#vectors === 1) handler.onQueue(undefined);
  }

  #takeInterruptsOrNone(): number {
    try {
      return this.#takeInterrupts();
    } catch (error) {
      // The driver learns that the device is gone from its own next access; an interrupt has nobody to tell.
      if (error instanceof GpuError && error.code === "ENODEV") return 0;
      throw error;
    }
  }

  /** What is pending: reading acknowledges it. Registers of a device that is gone read all ones: nothing is pending. */
  #takeInterrupts(): number {
    const pending = this.#structures.isr.registers.read8(0);
    return pending === ISR_GONE ? 0 : pending;
  }

  /** See the file's head. */
  #masterIfOurs(): void {
    this.#isMastering = (this.#access.config.read16(PciHeader.COMMAND) & PciCommand.BUS_MASTER) !== 0;
    if (!this.#isMastering && this.#isOurs()) this.#setMastering(true);
  }

  #isOurs(): boolean {
    if (this.readStatus() === 0) return true;
    return (
      this.#queues.size > 0 && [...this.#queues].every(([queue, { addresses }]) => this.#isAsEnabled(queue, addresses))
    );
  }

  #isAsEnabled(queue: number, wrote: QueueAddresses): boolean {
    const { enabled, addresses: read } = this.readQueue(queue);
    if (!enabled || read === null) return false;
    const same = read.descriptors === wrote.descriptors && read.driver === wrote.driver && read.device === wrote.device;
    return same && read.size === wrote.size;
  }

  #setMastering(on: boolean): void {
    const { config } = this.#access;
    const command = config.read16(PciHeader.COMMAND) & ~PciCommand.BUS_MASTER;
    config.write16(PciHeader.COMMAND, on ? command | PciCommand.BUS_MASTER : command);
    this.#isMastering = on;
  }

  /** For a value that no device may show: because none is there, or because it breaks the protocol. */
  #implausible(sentence: string): GpuError {
    if (this.#access.config.read16(PciHeader.VENDOR_ID) === 0xffff) return noFunction(this.label);
    return this.#error("EPROTO", sentence);
  }

  #error(code: ErrorCode, sentence: string): GpuError {
    return new GpuError(code, sentence, { device: this.label });
  }
}

/** A function that answers. */
interface AwakeFunction {
  /** Virtio device id. */
  readonly deviceId: number;
  readonly capabilities: PciCapabilities;
  readonly power: PciFunctionPower | null;
}

/** Makes the function answer: bridges and BARs, D0, decoding. Throws GpuError ENODEV when it is no virtio device. */
function wakeFunction(access: PciFunctionAccess): AwakeFunction {
  const { config, label } = access;
  access.assignBars();
  const deviceId = identify(config, label);
  const capabilities = readPciCapabilities(config, label);
  const power = capabilities.power === null ? null : new PciFunctionPower(config, capabilities.power, label);
  if (power !== null && !power.isOn) {
    power.enterD0();
    // Without No_Soft_Reset the change of state has cleared the BARs.
    access.assignBars();
  }
  config.write16(PciHeader.COMMAND, config.read16(PciHeader.COMMAND) | PciCommand.IO | PciCommand.MEMORY);
  return { deviceId, capabilities, power };
}

/** The virtio device id of a function. */
function identify(config: BusAccess, label: string): number {
  const vendor = config.read16(PciHeader.VENDOR_ID);
  if (vendor === 0xffff) throw noFunction(label);
  const device = config.read16(PciHeader.DEVICE_ID);
  const isVirtio = vendor === VIRTIO_PCI_VENDOR_ID && device >= TRANSITIONAL_ID_BASE && device < DEVICE_ID_END;
  if (!isVirtio) {
    const id = `${vendor.toString(16)}:${device.toString(16)}`;
    throw new GpuError("ENODEV", `PCI function ${id} is no virtio device`, { device: label });
  }
  if (device >= VIRTIO_PCI_DEVICE_ID_BASE) return device - VIRTIO_PCI_DEVICE_ID_BASE;
  return config.read16(PciHeader.SUBSYSTEM_ID);
}

function noFunction(label: string): GpuError {
  return new GpuError("ENODEV", "no PCI function answers", { device: label });
}

/** 64-bit registers are two of 32 bits: not every system can write 64 at once (4.1.3.1). */
function writeAddress(common: BusAccess, offset: number, address: number): void {
  common.write32(offset, lowWord(address));
  common.write32(offset + 4, highWord(address));
}

function readAddress(common: BusAccess, offset: number): number {
  return joinU64(common.read32(offset), common.read32(offset + 4));
}

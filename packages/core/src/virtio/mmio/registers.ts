/**
 * The register block of a virtio device on MMIO, version 2, seen from the device (VIRTIO 1.2 section 4.2.2).
 *
 * The specification asks a driver for aligned 32-bit accesses below the configuration space. Here a narrower read gives
 * its part of the register, a narrower write does nothing, and what lies between or behind the registers reads 0: no
 * access of any width, offset or value throws.
 */
import { MMIO_MAGIC, MMIO_VERSION, MmioRegister } from "../../wire/mmio.ts";
import { VIRTIO_PCI_VENDOR_ID } from "../../wire/pci.ts";
import { NotificationData } from "../../wire/ring.ts";
import { InterruptBit } from "../../wire/virtio.ts";
import { highWord, lowWord } from "../../wire/words.ts";
import type { BusAccess } from "../bus-access.ts";
import { Reader } from "../machinery/saved-state.ts";
import type { InterruptSource, VirtioDevice } from "../machinery/virtio-device.ts";

/** What {@link MmioRegister.VENDOR_ID} reads: as QEMU's devices do, PCI's number for virtio. */
const VENDOR_ID = VIRTIO_PCI_VENDOR_ID;
const ALL_ONES = 0xffff_ffff;
const STATE_VERSION = 1;

/** What a register block is made of. */
export interface MmioRegistersOptions {
  readonly device: VirtioDevice;
  /** Told when the level-triggered interrupt line changes. */
  readonly setInterruptLine?: ((asserted: boolean) => void) | undefined;
  /** Guest-physical addresses of the model's shared memory regions, by id. One without an address can't be had. */
  readonly sharedMemoryAddresses?: ReadonlyMap<number, number> | undefined;
}

/** What a register block keeps besides its device: plain data. */
export interface MmioRegistersState {
  readonly version: number;
  readonly deviceFeaturesSelect: number;
  readonly driverFeaturesSelect: number;
  readonly queueSelect: number;
  readonly sharedMemorySelect: number;
  readonly interruptStatus: number;
}

/** What the table of registers works on. */
interface Block {
  readonly device: VirtioDevice;
  readonly sharedMemoryAddresses: ReadonlyMap<number, number>;
  deviceFeaturesSelect: number;
  driverFeaturesSelect: number;
  queueSelect: number;
  sharedMemorySelect: number;
  interruptStatus: number;
}

interface Register {
  readonly offset: number;
  read(block: Block): number;
  write(block: Block, value: number): void;
}

const nothing = (): void => {};
const zero = (): number => 0;

function readable(offset: number, read: Register["read"]): Register {
  return { offset, read, write: nothing };
}

function writable(offset: number, write: Register["write"]): Register {
  return { offset, read: zero, write };
}

function addressWord(offset: number, word: number): Register {
  return writable(offset, (block, value) => block.device.setQueueAddressWord(block.queueSelect, word, value));
}

/** Bytes and address of the selected shared memory region; all ones where there is none. */
function sharedMemory(block: Block): { readonly length: number; readonly base: number } | null {
  const id = block.sharedMemorySelect;
  const base = block.sharedMemoryAddresses.get(id);
  const region = block.device.model.sharedMemory.find((candidate) => candidate.id === id);
  return base === undefined || region === undefined ? null : { length: region.bytes.byteLength, base };
}

function queueReady(block: Block, value: number): void {
  if ((value & 1) !== 0) block.device.enableQueue(block.queueSelect);
  else block.device.resetQueue(block.queueSelect);
}

function queueReset(block: Block, value: number): void {
  if (value === 1 && block.device.ringResetAccepted) block.device.resetQueue(block.queueSelect);
}

const R = MmioRegister;

/** All registers below the configuration space, but for the two that move the interrupt line: those are the class's. */
const REGISTERS: readonly Register[] = [
  readable(R.MAGIC, () => MMIO_MAGIC),
  readable(R.VERSION, () => MMIO_VERSION),
  readable(R.DEVICE_ID, ({ device }) => device.model.deviceId),
  readable(R.VENDOR_ID, () => VENDOR_ID),
  readable(R.DEVICE_FEATURES, ({ device, deviceFeaturesSelect }) => device.deviceFeatureWord(deviceFeaturesSelect)),
  writable(R.DEVICE_FEATURES_SEL, (block, value) => {
    block.deviceFeaturesSelect = value;
  }),
  writable(R.DRIVER_FEATURES, ({ device, driverFeaturesSelect }, value) => {
    device.writeDriverFeatureWord(driverFeaturesSelect, value);
  }),
  writable(R.DRIVER_FEATURES_SEL, (block, value) => {
    block.driverFeaturesSelect = value;
  }),
  writable(R.QUEUE_SEL, (block, value) => {
    block.queueSelect = value;
  }),
  readable(R.QUEUE_SIZE_MAX, ({ device, queueSelect }) => device.queueSizeMax(queueSelect)),
  writable(R.QUEUE_SIZE, ({ device, queueSelect }, value) => {
    // More than 16 bits must not turn into a size that happens to fit.
    device.setQueueSize(queueSelect, Math.min(value, 0xffff));
  }),
  {
    offset: R.QUEUE_READY,
    read: ({ device, queueSelect }) => (device.queueEnabled(queueSelect) ? 1 : 0),
    write: queueReady,
  },
  writable(R.QUEUE_NOTIFY, ({ device }, value) => device.notify(value & NotificationData.QUEUE_MASK)),
  readable(R.INTERRUPT_STATUS, ({ interruptStatus }) => interruptStatus),
  { offset: R.STATUS, read: ({ device }) => device.status, write: ({ device }, value) => device.writeStatus(value) },
  addressWord(R.QUEUE_DESC_LOW, 0),
  addressWord(R.QUEUE_DESC_HIGH, 1),
  addressWord(R.QUEUE_DRIVER_LOW, 2),
  addressWord(R.QUEUE_DRIVER_HIGH, 3),
  addressWord(R.QUEUE_DEVICE_LOW, 4),
  addressWord(R.QUEUE_DEVICE_HIGH, 5),
  writable(R.SHM_SEL, (block, value) => {
    block.sharedMemorySelect = value;
  }),
  readable(R.SHM_LEN_LOW, (block) => wordOf(sharedMemory(block)?.length, lowWord)),
  readable(R.SHM_LEN_HIGH, (block) => wordOf(sharedMemory(block)?.length, highWord)),
  readable(R.SHM_BASE_LOW, (block) => wordOf(sharedMemory(block)?.base, lowWord)),
  readable(R.SHM_BASE_HIGH, (block) => wordOf(sharedMemory(block)?.base, highWord)),
  // A queue's reset is done when the write returns: reads 0.
  writable(R.QUEUE_RESET, queueReset),
  readable(R.CONFIG_GENERATION, ({ device }) => device.configGeneration),
];

/** The registers by their offset's words. */
const BY_WORD: readonly (Register | undefined)[] = Array.from({ length: R.CONFIG / 4 }, (_, word) =>
  REGISTERS.find(({ offset }) => offset === 4 * word),
);

/** See the file's head. Takes over the device's interrupts and resets. */
export class MmioRegisters implements BusAccess {
  /** Bytes that an emulator has to route here: 512, or more where the configuration space needs them. */
  readonly byteLength: number;
  /** For a driver in this process: told at each interrupt, and when it comes while the line is up. */
  readonly interrupts: {
    /** Sets who is told; null: nobody. */
    setHandler(handler: (() => void) | null): void;
  };
  readonly #device: VirtioDevice;
  readonly #block: Block;
  readonly #setLine: (asserted: boolean) => void;
  #asserted = false;
  #handler: (() => void) | null = null;

  constructor(options: MmioRegistersOptions) {
    const { device } = options;
    this.#device = device;
    this.byteLength = Math.max(2 * R.CONFIG, R.CONFIG + device.configBytes);
    this.#setLine = options.setInterruptLine ?? nothing;
    this.#block = {
      device,
      sharedMemoryAddresses: options.sharedMemoryAddresses ?? new Map(),
      deviceFeaturesSelect: 0,
      driverFeaturesSelect: 0,
      queueSelect: 0,
      sharedMemorySelect: 0,
      interruptStatus: 0,
    };
    this.interrupts = {
      setHandler: (handler) => {
        this.#handler = handler;
        if (this.#asserted) handler?.();
      },
    };
    device.setInterruptSink((source) => this.#interrupt(source));
    device.setResetListener(() => this.#reset());
    device.setMemoryAccess(true);
  }

  read8(offset: number): number {
    return this.#read(offset, 1);
  }

  read16(offset: number): number {
    return this.#read(offset, 2);
  }

  read32(offset: number): number {
    return this.#read(offset, 4);
  }

  write8(offset: number, value: number): void {
    if (offset >= R.CONFIG) this.#device.writeConfig(offset - R.CONFIG, 1, value & 0xff);
  }

  write16(offset: number, value: number): void {
    if (offset >= R.CONFIG) this.#device.writeConfig(offset - R.CONFIG, 2, value & 0xffff);
  }

  write32(offset: number, value: number): void {
    const word = value >>> 0;
    if (offset >= R.CONFIG) this.#device.writeConfig(offset - R.CONFIG, 4, word);
    else if (offset === R.INTERRUPT_ACK) this.#acknowledge(word);
    else BY_WORD[offset / 4]?.write(this.#block, word);
  }

  /** Plain data; the device saves itself. */
  save(): MmioRegistersState {
    const { deviceFeaturesSelect, driverFeaturesSelect, queueSelect, sharedMemorySelect, interruptStatus } =
      this.#block;
    return {
      version: STATE_VERSION,
      deviceFeaturesSelect,
      driverFeaturesSelect,
      queueSelect,
      sharedMemorySelect,
      interruptStatus,
    };
  }

  /** After the device's own restore. Throws GpuError EINVAL, and changes nothing then. The line is set as it has to be. */
  restore(state: unknown): void {
    const read: Reader = new Reader(this.#device.label);
    const fields = read.object(state, "the register block");
    read.require(fields["version"] === STATE_VERSION, "the register block's version is not known");
    const word = (name: string): number => read.integer(fields[name], ALL_ONES, name);
    Object.assign(this.#block, {
      deviceFeaturesSelect: word("deviceFeaturesSelect"),
      driverFeaturesSelect: word("driverFeaturesSelect"),
      queueSelect: word("queueSelect"),
      sharedMemorySelect: word("sharedMemorySelect"),
      interruptStatus: read.integer(
        fields["interruptStatus"],
        InterruptBit.QUEUE | InterruptBit.CONFIG,
        "interruptStatus",
      ),
    });
    this.#updateLine();
  }

  #read(offset: number, width: 1 | 2 | 4): number {
    if (offset >= R.CONFIG) return this.#device.readConfig(offset - R.CONFIG, width);
    const byte = offset & 3;
    const register = BY_WORD[(offset - byte) / 4];
    if (register === undefined || byte + width > 4) return 0;
    const value = register.read(this.#block);
    return width === 4 ? value : (value >>> (8 * byte)) & (width === 2 ? 0xffff : 0xff);
  }

  #interrupt(source: InterruptSource): void {
    this.#block.interruptStatus |= source === "config" ? InterruptBit.CONFIG : InterruptBit.QUEUE;
    this.#updateLine();
    this.#handler?.();
  }

  #acknowledge(bits: number): void {
    this.#block.interruptStatus &= ~bits;
    this.#updateLine();
  }

  #updateLine(): void {
    const asserted = this.#block.interruptStatus !== 0;
    if (asserted === this.#asserted) return;
    this.#asserted = asserted;
    this.#setLine(asserted);
  }

  #reset(): void {
    this.#block.deviceFeaturesSelect = 0;
    this.#block.driverFeaturesSelect = 0;
    this.#block.queueSelect = 0;
    this.#block.sharedMemorySelect = 0;
    this.#block.interruptStatus = 0;
    this.#updateLine();
  }
}

function wordOf(value: number | undefined, half: (value: number) => number): number {
  return value === undefined ? ALL_ONES : half(value);
}

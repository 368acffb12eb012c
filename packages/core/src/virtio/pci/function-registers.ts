/**
 * Virtio's structures in the BAR of a PCI function, seen from the device (VIRTIO 1.2 sections 4.1.4.3 to 4.1.4.6).
 *
 * A register is written in its own width, and read in any: what lies between or behind the registers reads 0 and takes
 * no writes. No access of any width, offset or value throws.
 */
import { CommonConfig } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";
import type { Reader } from "../machinery/saved-state.ts";
import type { VirtioDevice } from "../machinery/virtio-device.ts";
import type { FunctionInterrupts } from "./function-interrupts.ts";
import { type FunctionLayout, NOTIFY_MULTIPLIER, type StructurePlace } from "./function-layout.ts";

/** Plain data. */
export interface FunctionRegistersState {
  readonly deviceFeatureSelect: number;
  readonly driverFeatureSelect: number;
  readonly queueSelect: number;
}

/** What the table of registers works on. */
interface Block {
  readonly device: VirtioDevice;
  readonly interrupts: FunctionInterrupts;
  deviceFeatureSelect: number;
  driverFeatureSelect: number;
  queueSelect: number;
}

type Width = 1 | 2 | 4;

interface Register {
  readonly offset: number;
  readonly width: Width;
  read(block: Block): number;
  write(block: Block, value: number): void;
}

const nothing = (): void => {};

function readOnly(offset: number, width: Width, read: Register["read"]): Register {
  return { offset, width, read, write: nothing };
}

function addressWord(offset: number, word: number): Register {
  return {
    offset,
    width: 4,
    read: ({ device, queueSelect }) => device.queueAddressWord(queueSelect, word),
    write: ({ device, queueSelect }, value) => device.setQueueAddressWord(queueSelect, word, value),
  };
}

function enableQueue({ device, queueSelect }: Block, value: number): void {
  if (value === 1) device.enableQueue(queueSelect);
}

function resetQueue({ device, interrupts, queueSelect }: Block, value: number): void {
  if (value !== 1 || !device.ringResetAccepted) return;
  device.resetQueue(queueSelect);
  interrupts.setQueueVector(queueSelect, interrupts.vectors);
}

const C = CommonConfig;

/** The common configuration. Fields that are missing (administration queues, NOTIF_CONFIG_DATA) read 0. */
const COMMON: readonly Register[] = [
  {
    offset: C.DEVICE_FEATURE_SELECT,
    width: 4,
    read: (block) => block.deviceFeatureSelect,
    write: (block, value) => {
      block.deviceFeatureSelect = value;
    },
  },
  readOnly(C.DEVICE_FEATURE, 4, ({ device, deviceFeatureSelect }) => device.deviceFeatureWord(deviceFeatureSelect)),
  {
    offset: C.DRIVER_FEATURE_SELECT,
    width: 4,
    read: (block) => block.driverFeatureSelect,
    write: (block, value) => {
      block.driverFeatureSelect = value;
    },
  },
  {
    offset: C.DRIVER_FEATURE,
    width: 4,
    read: ({ device, driverFeatureSelect }) => device.driverFeatureWord(driverFeatureSelect),
    write: ({ device, driverFeatureSelect }, value) => device.writeDriverFeatureWord(driverFeatureSelect, value),
  },
  {
    offset: C.CONFIG_MSIX_VECTOR,
    width: 2,
    read: ({ interrupts }) => interrupts.configVector,
    write: ({ interrupts }, value) => {
      interrupts.configVector = value;
    },
  },
  readOnly(C.NUM_QUEUES, 2, ({ device }) => device.queueCount),
  {
    offset: C.DEVICE_STATUS,
    width: 1,
    read: ({ device }) => device.status,
    write: ({ device }, value) => device.writeStatus(value),
  },
  readOnly(C.CONFIG_GENERATION, 1, ({ device }) => device.configGeneration & 0xff),
  {
    offset: C.QUEUE_SELECT,
    width: 2,
    read: (block) => block.queueSelect,
    write: (block, value) => {
      block.queueSelect = value;
    },
  },
  {
    offset: C.QUEUE_SIZE,
    width: 2,
    read: ({ device, queueSelect }) => device.queueSize(queueSelect),
    write: ({ device, queueSelect }, value) => device.setQueueSize(queueSelect, value),
  },
  {
    offset: C.QUEUE_MSIX_VECTOR,
    width: 2,
    read: ({ interrupts, queueSelect }) => interrupts.queueVector(queueSelect),
    write: ({ interrupts, queueSelect }, value) => interrupts.setQueueVector(queueSelect, value),
  },
  {
    offset: C.QUEUE_ENABLE,
    width: 2,
    read: ({ device, queueSelect }) => (device.queueEnabled(queueSelect) ? 1 : 0),
    write: enableQueue,
  },
  readOnly(C.QUEUE_NOTIFY_OFF, 2, ({ device, queueSelect }) => (queueSelect < device.queueCount ? queueSelect : 0)),
  addressWord(C.QUEUE_DESC, 0),
  addressWord(C.QUEUE_DESC + 4, 1),
  addressWord(C.QUEUE_DRIVER, 2),
  addressWord(C.QUEUE_DRIVER + 4, 3),
  addressWord(C.QUEUE_DEVICE, 4),
  addressWord(C.QUEUE_DEVICE + 4, 5),
  // A queue's reset is done when the write returns: reads 0.
  { offset: C.QUEUE_RESET, width: 2, read: () => 0, write: resetQueue },
];

/** For each byte of the common configuration, the register that it belongs to. */
const BY_BYTE: readonly (Register | undefined)[] = Array.from({ length: C.BYTES }, (_, byte) =>
  COMMON.find(({ offset, width }) => byte >= offset && byte < offset + width),
);

/** See the file's head. */
export class FunctionRegisters implements BusAccess {
  readonly #block: Block;
  readonly #common: StructurePlace;
  readonly #notifyStart: number;
  readonly #notifyEnd: number;
  readonly #isr: number;
  readonly #device: StructurePlace | null;

  constructor(device: VirtioDevice, interrupts: FunctionInterrupts, layout: FunctionLayout) {
    this.#block = { device, interrupts, deviceFeatureSelect: 0, driverFeatureSelect: 0, queueSelect: 0 };
    this.#common = layout.common;
    this.#notifyStart = layout.notify.offset;
    this.#notifyEnd = layout.notify.offset + layout.notify.byteLength;
    this.#isr = layout.isr.offset;
    this.#device = layout.device;
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
    this.#write(offset, 1, value & 0xff);
  }

  write16(offset: number, value: number): void {
    this.#write(offset, 2, value & 0xffff);
  }

  write32(offset: number, value: number): void {
    this.#write(offset, 4, value >>> 0);
  }

  /** The virtio device was reset. */
  resetDevice(): void {
    this.#block.deviceFeatureSelect = 0;
    this.#block.driverFeatureSelect = 0;
    this.#block.queueSelect = 0;
  }

  save(): FunctionRegistersState {
    const { deviceFeatureSelect, driverFeatureSelect, queueSelect } = this.#block;
    return { deviceFeatureSelect, driverFeatureSelect, queueSelect };
  }

  /** Checks a saved state; the result applies it. */
  prepareRestore(read: Reader, state: unknown): () => void {
    const fields = read.object(state, "the registers");
    const deviceFeatureSelect = read.integer(fields["deviceFeatureSelect"], 0xffff_ffff, "deviceFeatureSelect");
    const driverFeatureSelect = read.integer(fields["driverFeatureSelect"], 0xffff_ffff, "driverFeatureSelect");
    const queueSelect = read.integer(fields["queueSelect"], 0xffff, "queueSelect");
    return () => {
      Object.assign(this.#block, { deviceFeatureSelect, driverFeatureSelect, queueSelect });
    };
  }

  #read(offset: number, width: Width): number {
    const common = offset - this.#common.offset;
    if (common >= 0 && common < C.BYTES) return this.#readCommon(common, width);
    // Reading the register's byte, in whatever width, is what acknowledges.
    if (offset === this.#isr) return this.#block.interrupts.takeIsr();
    const device = this.#device;
    if (device === null || offset < device.offset || offset >= device.offset + device.byteLength) return 0;
    return this.#block.device.readConfig(offset - device.offset, width);
  }

  #readCommon(offset: number, width: Width): number {
    const register = BY_BYTE[offset];
    if (register !== undefined && register.offset === offset && register.width === width) {
      return register.read(this.#block);
    }
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) {
      const byte = BY_BYTE[offset + index];
      const shift = byte === undefined ? 0 : 8 * (offset + index - byte.offset);
      value = (value << 8) | (((byte?.read(this.#block) ?? 0) >>> shift) & 0xff);
    }
    return value >>> 0;
  }

  #write(offset: number, width: Width, value: number): void {
    if (offset >= this.#notifyStart && offset < this.#notifyEnd) {
      this.#notify(offset - this.#notifyStart);
      return;
    }
    const register = BY_BYTE[offset - this.#common.offset];
    if (register !== undefined) {
      if (register.offset === offset - this.#common.offset && register.width === width)
        register.write(this.#block, value);
      return;
    }
    const device = this.#device;
    if (device !== null && offset >= device.offset)
      this.#block.device.writeConfig(offset - device.offset, width, value);
  }

  /** Each queue has an address of its own, so that the value (which may be NOTIFICATION_DATA) need not be believed. */
  #notify(offset: number): void {
    if (offset % NOTIFY_MULTIPLIER === 0) this.#block.device.notify(offset / NOTIFY_MULTIPLIER);
  }
}

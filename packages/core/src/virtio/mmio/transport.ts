/**
 * A virtio device behind memory-mapped registers, as its driver reaches it (VIRTIO 1.2 section 4.2; version 2, not the
 * legacy interface). There is no bus that could forget it, no bus mastering and no power management.
 */
import { assert } from "../../base/assert.ts";
import { type ErrorCode, GpuError } from "../../base/errors.ts";
import { MMIO_MAGIC, MMIO_VERSION, MmioRegister } from "../../wire/mmio.ts";
import { QUEUE_SIZE_MAX } from "../../wire/ring.ts";
import { InterruptBit } from "../../wire/virtio.ts";
import { HIGH_WORD, highWord, joinU64, lowWord } from "../../wire/words.ts";
import type { BusAccess } from "../bus-access.ts";
import type {
  ConfigAccess,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "../transport.ts";

const R = MmioRegister;
const ALL_ONES = 0xffff_ffff;

/** The interrupt line of a register block. */
export interface MmioInterrupts {
  /** Sets who is told, or null for nobody. */
  setHandler(handler: (() => void) | null): void;
}

/** How a register block is reached. */
export interface MmioOptions {
  /** Names the device in every message, e.g. `virtio-mmio@feb02e00`. */
  readonly label: string;
  /** 512 bytes, or as many as the configuration space takes from 0x100 on. */
  readonly registers: BusAccess;
  /** Null (or left out) when interrupts can't be had: the driver polls. */
  readonly interrupts?: MmioInterrupts | null | undefined;
  /** A live view of guest-physical address space, for shared memory regions; null where it can't be mapped. */
  readonly sharedMemoryView?: ((address: number, byteLength: number) => Uint8Array | null) | undefined;
}

/** See the file's head. */
export class MmioTransport implements Transport {
  readonly label: string;
  readonly deviceId: number;
  readonly completion: "interrupts" | "polled";
  readonly config: ConfigAccess;
  readonly power: null = null;
  readonly #registers: BusAccess;
  readonly #interrupts: MmioInterrupts | null;
  readonly #view: (address: number, byteLength: number) => Uint8Array | null;

  private constructor(options: MmioOptions) {
    const { registers } = options;
    this.label = options.label;
    this.#registers = registers;
    this.#interrupts = options.interrupts ?? null;
    this.#view = options.sharedMemoryView ?? (() => null);
    this.completion = this.#interrupts === null ? "polled" : "interrupts";
    this.deviceId = this.#identify();
    this.config = {
      read8: (offset) => registers.read8(R.CONFIG + offset),
      read32: (offset) => registers.read32(R.CONFIG + offset),
      write32: (offset, value) => registers.write32(R.CONFIG + offset, value),
      generation: () => registers.read32(R.CONFIG_GENERATION),
    };
  }

  /** Looks what lies behind the registers. Throws GpuError ENODEV when that is no device, ENOTSUP for a legacy one. */
  static open(options: MmioOptions): MmioTransport {
    return new MmioTransport(options);
  }

  readStatus(): number {
    return this.#registers.read32(R.STATUS) & 0xff;
  }

  writeStatus(status: number): void {
    this.#registers.write32(R.STATUS, status);
  }

  readDeviceFeatures(): bigint {
    return (BigInt(this.#deviceFeatures(1)) << 32n) | BigInt(this.#deviceFeatures(0));
  }

  writeDriverFeatures(features: bigint): void {
    for (const half of [0, 1]) {
      this.#registers.write32(R.DRIVER_FEATURES_SEL, half);
      this.#registers.write32(R.DRIVER_FEATURES, Number(BigInt.asUintN(32, features >> BigInt(32 * half))));
    }
  }

  queueSizeMax(queue: number): number {
    this.#select(queue);
    const max = this.#registers.read32(R.QUEUE_SIZE_MAX);
    if (max > QUEUE_SIZE_MAX) throw this.#implausible(`queue ${queue} is said to take ${max} entries`);
    return max;
  }

  /** Throws GpuError EPROTO when the queue is enabled already or does not become enabled, ENODEV when no device answers. */
  enableQueue(queue: number, { size, descriptors, driver, device }: QueueAddresses): void {
    const registers = this.#registers;
    this.#select(queue);
    if (registers.read32(R.QUEUE_READY) !== 0) throw this.#implausible(`queue ${queue} is enabled before its time`);
    registers.write32(R.QUEUE_SIZE, size);
    const parts = [
      [R.QUEUE_DESC_LOW, R.QUEUE_DESC_HIGH, descriptors],
      [R.QUEUE_DRIVER_LOW, R.QUEUE_DRIVER_HIGH, driver],
      [R.QUEUE_DEVICE_LOW, R.QUEUE_DEVICE_HIGH, device],
    ] as const;
    for (const [low, high, address] of parts) {
      registers.write32(low, lowWord(address));
      registers.write32(high, highWord(address));
    }
    registers.write32(R.QUEUE_READY, 1);
    if (registers.read32(R.QUEUE_READY) !== 1) throw this.#implausible(`queue ${queue} can't be enabled`);
  }

  /** The address registers are write-only: `addresses` is null. */
  readQueue(queue: number): QueueRegisters {
    this.#select(queue);
    return { enabled: this.#registers.read32(R.QUEUE_READY) === 1, addresses: null };
  }

  resetQueue(queue: number): void {
    this.#select(queue);
    this.#registers.write32(R.QUEUE_RESET, 1);
  }

  queueResetDone(queue: number): boolean {
    this.#select(queue);
    return this.#registers.read32(R.QUEUE_RESET) === 0;
  }

  notify(queue: number, data: number = queue): void {
    this.#registers.write32(R.QUEUE_NOTIFY, data);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    const registers = this.#registers;
    registers.write32(R.SHM_SEL, id);
    const low = registers.read32(R.SHM_LEN_LOW);
    const high = registers.read32(R.SHM_LEN_HIGH);
    if (low === ALL_ONES && high === ALL_ONES) return null;
    const byteLength = joinU64(low, high);
    const base = joinU64(registers.read32(R.SHM_BASE_LOW), registers.read32(R.SHM_BASE_HIGH));
    if (!Number.isSafeInteger(base + byteLength)) {
      throw this.#implausible(`shared memory ${id} is said to have 0x${(high * HIGH_WORD + low).toString(16)} bytes`);
    }
    if (byteLength === 0) return null;
    const view = (offset: number, bytes: number): Uint8Array | null => {
      assert(offset >= 0 && bytes >= 0 && offset + bytes <= byteLength, "a view inside the shared memory region");
      return this.#view(base + offset, bytes);
    };
    return { id, byteLength, view };
  }

  setInterruptHandler(handler: InterruptHandler | null): void {
    this.#interrupts?.setHandler(handler === null ? null : () => this.#dispatch(handler));
  }

  pollConfig(): boolean {
    if (this.#interrupts !== null) return false;
    return (this.#takeInterrupts() & InterruptBit.CONFIG) !== 0;
  }

  /** Nothing is lost with a bus here; only whether the device still answers. */
  reattach(): void {
    const found = this.#identify();
    if (found !== this.deviceId) {
      throw this.#error("ENODEV", `a device of another kind answers: ${found} instead of ${this.deviceId}`);
    }
  }

  /** Nothing to do: only a reset ends the DMA of a device on MMIO. */
  detach(): void {}

  #identify(): number {
    const registers = this.#registers;
    if (registers.read32(R.MAGIC) !== MMIO_MAGIC)
      throw this.#error("ENODEV", "no virtio device lies behind the registers");
    const version = registers.read32(R.VERSION);
    if (version !== MMIO_VERSION) {
      throw this.#error(
        "ENOTSUP",
        `version ${version} of virtio-mmio; only ${MMIO_VERSION} is driven (not the legacy one)`,
      );
    }
    const deviceId = registers.read32(R.DEVICE_ID);
    if (deviceId === 0) throw this.#error("ENODEV", "the slot is empty: device id 0");
    return deviceId;
  }

  #deviceFeatures(half: number): number {
    this.#registers.write32(R.DEVICE_FEATURES_SEL, half);
    return this.#registers.read32(R.DEVICE_FEATURES);
  }

  #select(queue: number): void {
    this.#registers.write32(R.QUEUE_SEL, queue);
  }

  #dispatch(handler: InterruptHandler): void {
    let pending: number;
    try {
      pending = this.#takeInterrupts();
    } catch (error) {
      // The driver learns that the device is gone from its own next access; an interrupt has nobody to tell.
      if (error instanceof GpuError && error.code === "ENODEV") return;
      throw error;
    }
    if ((pending & InterruptBit.QUEUE) !== 0) handler.onQueue(undefined);
    if ((pending & InterruptBit.CONFIG) !== 0) handler.onConfig();
  }

  /** Reads what is pending, and acknowledges it. Registers of a device that is gone read all ones: nothing is pending. */
  #takeInterrupts(): number {
    const pending = this.#registers.read32(R.INTERRUPT_STATUS);
    if (pending === 0 || pending === ALL_ONES) return 0;
    this.#registers.write32(R.INTERRUPT_ACK, pending);
    return pending;
  }

  /** For a value that no device may show: because none is there, or because it breaks the protocol. */
  #implausible(sentence: string): GpuError {
    if (this.#registers.read32(R.MAGIC) !== MMIO_MAGIC) return this.#error("ENODEV", "no device answers any more");
    return this.#error("EPROTO", sentence);
  }

  #error(code: ErrorCode, sentence: string): GpuError {
    return new GpuError(code, sentence, { device: this.label });
  }
}

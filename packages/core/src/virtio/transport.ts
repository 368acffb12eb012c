/**
 * The driver's way to a virtio device: registers, queues, notifications (VIRTIO 1.2 section 4). Register access is
 * synchronous; waiting is the caller's, on its clock. Back ends: loopback, PCI BARs, the PCI_CFG window, MMIO.
 *
 * Any access may throw GpuError ENODEV when the device is gone (hot-unplug, dead peer).
 */

/** Where the three parts of a queue lie (split: descriptor table, available ring, used ring; packed: ring, driver and device event suppression). */
export interface QueueAddresses {
  readonly size: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
}

/** What can be read back of a queue. `addresses` is null where the transport's address registers are write-only (MMIO). */
export interface QueueRegisters {
  readonly enabled: boolean;
  readonly addresses: QueueAddresses | null;
}

/** The device-specific configuration space. Reads behind its end give all-ones or zero, as the device likes. */
export interface ConfigAccess {
  /** Reads 8 bits at byte `offset`. */
  read8(offset: number): number;
  /** Reads 32 bits at byte `offset`, a multiple of 4. */
  read32(offset: number): number;
  /** Writes 32 bits at byte `offset`, a multiple of 4. */
  write32(offset: number, value: number): void;
  /** Changes whenever the device changes what several reads must see together. */
  generation(): number;
}

/** A shared memory region (VIRTIO 1.2 section 2.10). `view` maps part of it, or gives null where it can't be mapped. */
export interface SharedMemoryRegion {
  readonly id: number;
  readonly byteLength: number;
  /** A live view of part of the region, or null where it can't be mapped. */
  view(offset: number, byteLength: number): Uint8Array | null;
}

/** Called by the transport, possibly spuriously, possibly while the driver is frozen. Must not throw. */
export interface InterruptHandler {
  /** Some queue has used buffers (`queue` undefined when the transport can't tell which). */
  onQueue(queue: number | undefined): void;
  /** The configuration changed. */
  onConfig(): void;
}

/** Power management of the function the device sits on; absent where there is none (MMIO). */
export interface FunctionPower {
  /** PMCSR No_Soft_Reset: D3hot to D0 keeps state (if the host keeps its word, R-12). */
  readonly noSoftReset: boolean;
  /** Puts the function into D3hot. */
  enterD3hot(): void;
  /** Brings the function back to D0. */
  enterD0(): void;
}

/** A virtio device's registers, queues and interrupts, as its driver reaches them. */
export interface Transport {
  /** Names the device in every message, e.g. `0000:00:02.0`. */
  readonly label: string;
  /** Virtio device id (16: GPU). */
  readonly deviceId: number;
  /** "interrupts": the handler is called. "polled": the driver must look at its rings, and call {@link pollConfig}. */
  readonly completion: "interrupts" | "polled";

  /** The whole 8-bit device status. */
  readStatus(): number;
  /** Writes the 8-bit device status; 0 asks for a reset, which is done when the status reads 0. */
  writeStatus(status: number): void;
  /** All feature bits the device offers. */
  readDeviceFeatures(): bigint;
  /** Tells the device which of them the driver accepts. */
  writeDriverFeatures(features: bigint): void;

  readonly config: ConfigAccess;
  /** 0 when the queue does not exist. */
  queueSizeMax(queue: number): number;
  /** Writes size and addresses (and vectors), then enables the queue. */
  enableQueue(queue: number, addresses: QueueAddresses): void;
  /** Reads back what {@link Transport.enableQueue} wrote, as far as the transport lets it. */
  readQueue(queue: number): QueueRegisters;
  /** RING_RESET: asks for the reset of one queue; done when {@link queueResetDone}. */
  resetQueue(queue: number): void;
  /** Whether the reset of this queue has ended. */
  queueResetDone(queue: number): boolean;
  /** A kick. `data` is the value of NOTIFICATION_DATA where negotiated. */
  notify(queue: number, data?: number): void;
  /** The shared memory region of this id, or null when there is none. */
  sharedMemory(id: number): SharedMemoryRegion | null;

  /** Sets who is told of interrupts, or null for nobody. */
  setInterruptHandler(handler: InterruptHandler | null): void;
  /** Polled transports: whether a configuration interrupt is pending (and acknowledges it). Others: false. */
  pollConfig(): boolean;

  /**
   * Makes the function reachable again after its bus may have forgotten it (S3, S4, FLR): BARs, memory decoding, bus
   * mastering, interrupt vectors, D0. Harmless when nothing was lost. Throws ENODEV when no such device answers.
   */
  reattach(): void;
  /** No more DMA: bus mastering off, where there is such a thing. */
  detach(): void;
  readonly power: FunctionPower | null;
}

/**
 * What lies below a transport: single register accesses, synchronous, of exactly the named width.
 *
 * Implementations: in process (a device face), qtest (a line to QEMU), a mapped BAR, a config file. A dead peer must
 * end the access with GpuError ENODEV, never hang it.
 */

/** Reads and writes of a register block. Offsets are bytes from the block's start, aligned to the width. Values are unsigned. */
export interface BusAccess {
  /** Reads 8 bits at byte `offset`. */
  read8(offset: number): number;
  /** Reads 16 bits at byte `offset`. */
  read16(offset: number): number;
  /** Reads 32 bits at byte `offset`. */
  read32(offset: number): number;
  /** Writes 8 bits at byte `offset`. */
  write8(offset: number, value: number): void;
  /** Writes 16 bits at byte `offset`. */
  write16(offset: number, value: number): void;
  /** Writes 32 bits at byte `offset`. */
  write32(offset: number, value: number): void;
}

/** A PCI function as its driver meets it: configuration space, and its BARs once they are assigned. */
export interface PciFunctionAccess {
  /** e.g. `0000:00:02.0`. */
  readonly label: string;
  /** Configuration space, 256 or 4096 bytes. */
  readonly config: BusAccess;
  /** BAR `index` (0..5) as a register block, or null where there is none (or it can't be mapped). */
  bar(index: number): BusAccess | null;
  /** A live view of part of a memory BAR, for shared memory regions; null where it can't be mapped. */
  barView(index: number, offset: number, byteLength: number): Uint8Array | null;
  /** Puts the BARs back where they were, after the bus forgot them. Bus mastering and decoding are the transport's. */
  assignBars(): void;
  /** Told of interrupts: MSI-X vector number, or -1 for the INTx line. Null when interrupts can't be had (the driver polls). */
  readonly interrupts: PciInterrupts | null;
}

/** How a PCI function's interrupts arrive. */
export interface PciInterrupts {
  /** MSI-X vectors that can be used; 0 means INTx only. */
  readonly vectors: number;
  /** Sets who is told, or null for nobody. */
  setHandler(handler: ((vector: number) => void) | null): void;
}

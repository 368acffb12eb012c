/**
 * Guest memory as seen by either side, and windows into it for what both sides touch at once.
 *
 * Addresses are guest-physical (or bus) addresses: JavaScript numbers, non-negative integers below 2^53. All accessors
 * check their range and throw {@link MemoryRangeError}; callers on the device side turn that into an error reply.
 */

/** An access outside guest memory. */
export class MemoryRangeError extends Error {
  override readonly name: string = "MemoryRangeError";
  readonly address: number;
  readonly byteLength: number;
  constructor(address: number, byteLength: number) {
    super(`address 0x${address.toString(16)} + ${byteLength} bytes lies outside guest memory`);
    this.address = address;
    this.byteLength = byteLength;
  }
}

/** A piece of guest address space that is memory. */
export interface MemoryRegion {
  readonly address: number;
  readonly byteLength: number;
}

/** Guest memory by guest-physical address. */
export interface GuestMemory {
  readonly regions: readonly MemoryRegion[];
  /** Whether all of `[address, address + byteLength)` is memory, in one region. Never throws, whatever the numbers. */
  contains(address: number, byteLength: number): boolean;
  /** Copies guest memory into `target` (all of it). */
  read(address: number, target: Uint8Array): void;
  /** Copies `source` into guest memory. */
  write(address: number, source: Uint8Array): void;
  /**
   * A live view, where this memory is mapped into the process; null where it lies behind a file. Not to be kept over an
   * await. Memory that moves (a WebAssembly memory that grows) leaves its old views empty: then a new one is to be taken.
   */
  view(address: number, byteLength: number): Uint8Array | null;
  /** Told of what was written through a view, where somebody must know: an emulator that keeps translated code. */
  written?(address: number, byteLength: number): void;
  /** A window for structures that both sides access concurrently. `address` must be 4-byte aligned. */
  ringMemory(address: number, byteLength: number): RingMemory;
}

/**
 * A window onto memory that the peer reads and writes concurrently: rings, command slots.
 *
 * Two kinds. *Mapped*: the arrays are the memory; `publish` and `refresh` do nothing; `load16`/`store16` are Atomics
 * (sequentially consistent), so a store16 orders every earlier plain write before it. *Behind a file*: the arrays are a
 * private shadow; `publish` writes a range through, `refresh` reads a range in, `load16`/`store16` go to the file, and
 * the order is that of the system calls.
 *
 * Use: write the arrays, `publish` the range, then `store16` the index that hands it over; `load16` the index, then
 * `refresh` the range it announced, then read the arrays. Never a DataView on what the peer may be writing.
 */
export interface RingMemory {
  readonly byteLength: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  /** Reads the 16-bit word at index `index` (byte offset 2 * index), with acquire order. */
  load16(index: number): number;
  /** Writes the 16-bit word at index `index`, after everything published before, and before anything loaded after. */
  store16(index: number, value: number): void;
  /** Writes a range through to the memory, where the arrays are a shadow. */
  publish(byteOffset: number, byteLength: number): void;
  /** Reads a range in from the memory, where the arrays are a shadow. */
  refresh(byteOffset: number, byteLength: number): void;
}

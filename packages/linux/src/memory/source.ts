/** Where the driver's memory comes from: in chunks, each mapped in one piece. */

/** A piece of memory that a device can reach. */
export interface MemoryChunk {
  /** Live; a multiple of the page size. Empty once the chunk is closed. */
  readonly bytes: Uint8Array;
  /** Bus page frames of `count` pages from page `first`, as they are now. Throws GpuError where no device reaches them. */
  frames(first: number, count: number): readonly number[];
  /** Pages may have moved: what was known of frames is asked for anew. */
  forgetFrames(): void;
  /** Gives it back: only when nobody, no device either, uses it any more. */
  close(): void;
}

/** Makes chunks. */
export interface MemorySource {
  /** Chunks are multiples of this. */
  readonly granularity: number;
  /** Throws GpuError ENOMEM. */
  allocate(byteLength: number): MemoryChunk;
  /** What was changed in the system is as it was. After the last chunk was closed. */
  close(): void;
}

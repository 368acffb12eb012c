/**
 * The guest's own pages: what the driver allocates, and how a device comes to see them.
 *
 * The driver's desired state holds {@link Pages}, never bus addresses: frame numbers move over a hibernation, and an
 * IOMMU's addresses belong to one life of the device. A {@link DmaMap} resolves them, anew for each session.
 */
import type { RingMemory } from "./guest-memory.ts";

/** The page size of scatter lists, in bytes. */
export const PAGE_BYTES = 4096;

/** Memory owned by the guest: `byteLength` bytes, a multiple of {@link PAGE_BYTES}, zeroed when allocated. */
export interface Pages {
  /** Stable over hibernation: names this allocation in a saved state. Never reused within one allocator's life. */
  readonly key: number;
  readonly byteLength: number;
  /** True when the device sees it as one range. Rings need that. */
  readonly contiguous: boolean;
  /** Copies from byte `offset` on into `target` (all of it). */
  read(offset: number, target: Uint8Array): void;
  /** Copies `source` to byte `offset` on. */
  write(offset: number, source: Uint8Array): void;
  /** A live view of all of it, where the guest has it mapped in one piece; else null. */
  view(): Uint8Array | null;
  /** A window for concurrent access; only on contiguous pages. `byteOffset` is a multiple of 4. */
  ringMemory(byteOffset: number, byteLength: number): RingMemory;
}

/** What an allocator must be told to build its map again in a new process. Plain data. */
export interface PagesRecord {
  readonly key: number;
  readonly byteLength: number;
  readonly contiguous: boolean;
  /** Page frame numbers, in order. */
  readonly frames: readonly number[];
}

/** Hands out and takes back pages. */
export interface PageAllocator {
  /** Bytes are rounded up to whole pages. Throws GpuError ENOMEM. */
  allocate(byteLength: number, options?: { readonly contiguous?: boolean }): Pages;
  /** Gives pages back. Freeing what is not allocated is an InvariantViolation. */
  free(pages: Pages): void;
  /** Bytes handed out now. */
  readonly allocatedBytes: number;
  /** The map, as plain data, for a saved state. */
  save(): readonly PagesRecord[];
  /** In a new process whose memory holds the old contents: takes a recorded allocation over. Throws EINVAL if the record is not sound. */
  adopt(record: PagesRecord): Pages;
}

/** A scatter list: `count` ranges of bus addresses, adjacent ones merged. */
export interface ScatterList {
  readonly count: number;
  readonly addresses: ArrayLike<number>;
  readonly lengths: ArrayLike<number>;
}

/** Makes pages visible to the device, for one session. */
export interface DmaMap {
  /** The ranges are an IOMMU's, not physical: only a device with ACCESS_PLATFORM goes by them. False unless given. */
  readonly translates?: boolean;
  /** Bus ranges for these pages. Throws GpuError ENOMEM when the mapping table is full. Mapping twice gives the same ranges and counts twice. */
  map(pages: Pages): ScatterList;
  /** Takes one {@link DmaMap.map} back; the last one ends the mapping. */
  unmap(pages: Pages): void;
}

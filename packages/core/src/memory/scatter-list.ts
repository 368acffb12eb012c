/**
 * Work on scatter lists: their size, ranges of them, and copies between what they name and plain bytes.
 *
 * A {@link DescriptorList} of a virtqueue has the shape of a scatter list too, so the same copies serve requests and
 * replies.
 */
import { assert } from "../base/assert.ts";
import type { GuestMemory } from "./guest-memory.ts";
import { PAGE_BYTES, type ScatterList } from "./pages.ts";

/** Below this many bytes a loop beats `TypedArray.set`, which needs a view made first. */
const LOOP_BYTES_MAX = 64;
/** Memory of more regions than this is accessed range by range: looking for the region would cost more than it saves. */
const REGIONS_SEARCHED_MAX = 8;
/** A merged range stays a multiple of a page and fits 32 bits. */
const RANGE_BYTES_MAX = 2 ** 32 - PAGE_BYTES;

/** Sum of the lengths, in bytes. */
export function scatterBytes(list: ScatterList): number {
  let sum = 0;
  for (let index = 0; index < list.count; index += 1) sum += list.lengths[index] ?? 0;
  return sum;
}

/** The scatter list of page frames in order, adjacent ones merged. */
export function scatterListOfFrames(frames: readonly number[]): ScatterList {
  // Small buffers are many, and typed arrays are large objects.
  if (frames.length === 1) return { count: 1, addresses: [(frames[0] ?? 0) * PAGE_BYTES], lengths: [PAGE_BYTES] };
  const addresses: number[] = [];
  const lengths: number[] = [];
  let end = -1;
  let last = -1;
  for (const frame of frames) {
    const address = frame * PAGE_BYTES;
    if (address === end && (lengths[last] ?? 0) < RANGE_BYTES_MAX) {
      lengths[last] = (lengths[last] ?? 0) + PAGE_BYTES;
    } else {
      last = addresses.push(address) - 1;
      lengths.push(PAGE_BYTES);
    }
    end = address + PAGE_BYTES;
  }
  return { count: addresses.length, addresses: new Float64Array(addresses), lengths: new Uint32Array(lengths) };
}

/**
 * Calls `visit` for each range of `[offset, offset + byteLength)` of the list, in order. Returns the bytes visited, fewer
 * than asked where the list ends.
 */
export function forEachRange(
  list: ScatterList,
  offset: number,
  byteLength: number,
  visit: (address: number, byteLength: number) => void,
): number {
  let skip = offset;
  let left = byteLength;
  for (let index = 0; index < list.count && left > 0; index += 1) {
    const length = list.lengths[index] ?? 0;
    if (skip >= length) {
      skip -= length;
      continue;
    }
    const bytes = Math.min(length - skip, left);
    visit((list.addresses[index] ?? 0) + skip, bytes);
    left -= bytes;
    skip = 0;
  }
  return byteLength - left;
}

/** See {@link ScatterAccess.gather}; for one copy. */
export function gather(
  memory: GuestMemory,
  list: ScatterList,
  offset: number,
  target: Uint8Array,
  targetOffset: number,
  byteLength: number,
): number {
  return new ScatterAccess(memory).use(list).gather(offset, target, targetOffset, byteLength);
}

/** See {@link ScatterAccess.scatter}; for one copy. */
export function scatter(
  memory: GuestMemory,
  list: ScatterList,
  offset: number,
  source: Uint8Array,
  sourceOffset: number,
  byteLength: number,
): number {
  return new ScatterAccess(memory).use(list).scatter(offset, source, sourceOffset, byteLength);
}

/**
 * Copies to and from what scatter lists name, remembering between calls where in the list it stood and the region last
 * touched: row after row of a picture costs no search. Holds a view of memory; {@link forget} drops it.
 */
export class ScatterAccess {
  readonly #memory: GuestMemory;
  #list: ScatterList = { count: 0, addresses: new Float64Array(0), lengths: new Uint32Array(0) };
  // The entry where the last copy ended, and the offset of that entry's first byte within the list.
  #entry = 0;
  #entryOffset = 0;
  // A mapped region: all its bytes, and their addresses.
  #bytes: Uint8Array | null = null;
  #start = 0;
  #end = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** The list to work on from now. It must not change before the next `use`. */
  use(list: ScatterList): this {
    this.#list = list;
    this.#entry = 0;
    this.#entryOffset = 0;
    return this;
  }

  /** Drops the view of memory, before that is unmapped or changes hands. */
  forget(): void {
    this.#bytes = null;
    this.#start = 0;
    this.#end = 0;
  }

  /**
   * Copies `byteLength` bytes from byte `offset` of the list to `target`. Returns the bytes copied, fewer where the list
   * ends. Throws MemoryRangeError where it names what is not memory.
   */
  gather(offset: number, target: Uint8Array, targetOffset: number, byteLength: number): number {
    assert(offset >= 0 && targetOffset + byteLength <= target.byteLength, "a copy lies within the target");
    const list = this.#list;
    let within = this.#seek(offset);
    let done = 0;
    while (done < byteLength && this.#entry < list.count) {
      const length = list.lengths[this.#entry] ?? 0;
      const bytes = Math.min(length - within, byteLength - done);
      this.#read((list.addresses[this.#entry] ?? 0) + within, target, targetOffset + done, bytes);
      done += bytes;
      within = this.#step(within + bytes, length);
    }
    return done;
  }

  /** Copies the other way: `byteLength` bytes of `source` to byte `offset` of the list. */
  scatter(offset: number, source: Uint8Array, sourceOffset: number, byteLength: number): number {
    assert(offset >= 0 && sourceOffset + byteLength <= source.byteLength, "a copy lies within the source");
    const list = this.#list;
    let within = this.#seek(offset);
    let done = 0;
    while (done < byteLength && this.#entry < list.count) {
      const length = list.lengths[this.#entry] ?? 0;
      const bytes = Math.min(length - within, byteLength - done);
      this.#write((list.addresses[this.#entry] ?? 0) + within, source, sourceOffset + done, bytes);
      done += bytes;
      within = this.#step(within + bytes, length);
    }
    return done;
  }

  /** Makes the entry that holds `offset` current; returns the offset within it. */
  #seek(offset: number): number {
    const { lengths, count } = this.#list;
    if (offset < this.#entryOffset) {
      this.#entry = 0;
      this.#entryOffset = 0;
    }
    while (this.#entry < count) {
      const length = lengths[this.#entry] ?? 0;
      if (offset < this.#entryOffset + length) break;
      this.#entryOffset += length;
      this.#entry += 1;
    }
    return offset - this.#entryOffset;
  }

  /** Moves on to the next entry when this one is used up; returns the offset within the current one. */
  #step(within: number, length: number): number {
    if (within < length) return within;
    this.#entry += 1;
    this.#entryOffset += length;
    return 0;
  }

  #read(address: number, target: Uint8Array, at: number, byteLength: number): void {
    const bytes = this.#mapped(address, byteLength);
    if (bytes === null) {
      this.#memory.read(address, target.subarray(at, at + byteLength));
      return;
    }
    const from = address - this.#start;
    if (byteLength > LOOP_BYTES_MAX) target.set(bytes.subarray(from, from + byteLength), at);
    else for (let index = 0; index < byteLength; index += 1) target[at + index] = bytes[from + index] ?? 0;
  }

  #write(address: number, source: Uint8Array, at: number, byteLength: number): void {
    const bytes = this.#mapped(address, byteLength);
    if (bytes === null) {
      this.#memory.write(address, source.subarray(at, at + byteLength));
      return;
    }
    const to = address - this.#start;
    if (byteLength > LOOP_BYTES_MAX) bytes.set(source.subarray(at, at + byteLength), to);
    else for (let index = 0; index < byteLength; index += 1) bytes[to + index] = source[at + index] ?? 0;
    this.#memory.written?.(address, byteLength);
  }

  /** The view that holds the range, or null where memory is not mapped in so few pieces. */
  #mapped(address: number, byteLength: number): Uint8Array | null {
    const isKnown = address >= this.#start && address + byteLength <= this.#end;
    // Memory that has moved leaves an empty view.
    if (isKnown && this.#bytes?.byteLength !== 0) return this.#bytes;
    const { regions } = this.#memory;
    if (regions.length > REGIONS_SEARCHED_MAX) return null;
    for (const region of regions) {
      const end = region.address + region.byteLength;
      if (address < region.address || address + byteLength > end) continue;
      const bytes = this.#memory.view(region.address, region.byteLength);
      if (bytes === null) return null;
      this.#bytes = bytes;
      this.#start = region.address;
      this.#end = end;
      return bytes;
    }
    return null;
  }
}

/**
 * Hands out page frames of a range of guest memory.
 *
 * Frame numbers are not for keeping: a hibernation may bring the same contents back in other frames (`moveFrames` does
 * that on purpose). Only {@link FrameSource.framesOf}, asked anew by each session's DmaMap, tells where pages lie now.
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { FrameTable } from "./frame-table.ts";
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "./guest-memory.ts";
import { PAGE_BYTES, type PageAllocator, type Pages, type PagesRecord } from "./pages.ts";

/** What freed pages are filled with, when asked. */
export const POISON = 0xaa;

/** Tells where pages lie now. */
export interface FrameSource {
  /** Page frame numbers, in order. Asking for pages that are not allocated here is an InvariantViolation. */
  framesOf(pages: Pages): readonly number[];
}

/** How a {@link RamPageAllocator} behaves. */
export interface RamAllocatorOptions {
  /** Hand out shuffled, non-adjacent frames wherever contiguous ones were not asked for. */
  readonly scatter?: Random | undefined;
  /** Fill freed pages with {@link POISON}, so that use after free shows. */
  readonly poison?: boolean | undefined;
}

/** See the file's head. */
export class RamPageAllocator implements PageAllocator, FrameSource {
  readonly #memory: GuestMemory;
  readonly #scatter: Random | undefined;
  readonly #poison: boolean;
  readonly #table: FrameTable;
  readonly #pages: Map<number, RamPages> = new Map();
  #nextKey = 1;
  #allocatedBytes = 0;

  /** Owns `range`, whole pages of `memory` that no one else uses. Throws GpuError EINVAL otherwise. */
  constructor(memory: GuestMemory, range: MemoryRegion, options: RamAllocatorOptions = {}) {
    const whole = range.address % PAGE_BYTES === 0 && range.byteLength % PAGE_BYTES === 0;
    if (!whole || !memory.contains(range.address, range.byteLength)) {
      throw new GpuError("EINVAL", `${range.byteLength} bytes at ${range.address} are not whole pages of guest memory`);
    }
    this.#memory = memory;
    this.#scatter = options.scatter;
    this.#poison = options.poison ?? false;
    this.#table = new FrameTable(range.address / PAGE_BYTES, range.byteLength / PAGE_BYTES);
  }

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  allocate(byteLength: number, options: { readonly contiguous?: boolean } = {}): Pages {
    assert(Number.isSafeInteger(byteLength) && byteLength > 0, `can't allocate ${byteLength} bytes`);
    const contiguous = options.contiguous ?? false;
    const count = Math.ceil(byteLength / PAGE_BYTES);
    const frames = this.#find(count, contiguous);
    if (frames === null) throw this.#outOfMemory(count, contiguous);
    const pages = this.#hold(this.#nextKey, contiguous, frames);
    this.#nextKey += 1;
    this.#fill(frames, 0);
    return pages;
  }

  free(pages: Pages): void {
    const own = this.#own(pages);
    this.#pages.delete(own.key);
    this.#allocatedBytes -= own.byteLength;
    this.#release(own.frames);
    own.frames = [];
  }

  framesOf(pages: Pages): readonly number[] {
    return this.#own(pages).frames;
  }

  /** The allocation of this key, or undefined. */
  find(key: number): Pages | undefined {
    return this.#pages.get(key);
  }

  save(): readonly PagesRecord[] {
    return [...this.#pages.values()].map(({ key, byteLength, contiguous, frames }) => {
      return { key, byteLength, contiguous, frames: [...frames] };
    });
  }

  adopt(record: PagesRecord): Pages {
    const reason = this.#refusal(record);
    if (reason !== null) throw new GpuError("EINVAL", `recorded pages can't be adopted: ${reason}`);
    this.#nextKey = Math.max(this.#nextKey, record.key + 1);
    return this.#hold(record.key, record.contiguous, [...record.frames]);
  }

  /**
   * Puts the contents of these allocations (all, by default) on other frames, as a hibernation may. Handles stay valid;
   * views, ring windows and DMA mappings made before do not. Throws ENOMEM when there are no other frames.
   */
  moveFrames(keys: Iterable<number> = this.#pages.keys()): void {
    for (const key of keys) {
      const pages = this.#pages.get(key);
      assert(pages !== undefined, `pages ${key} are not allocated`);
      const old = pages.frames;
      const frames = this.#find(old.length, pages.contiguous);
      if (frames === null) throw this.#outOfMemory(old.length, pages.contiguous);
      const page = new Uint8Array(PAGE_BYTES);
      for (const [index, frame] of frames.entries()) {
        this.#table.take(frame);
        this.#memory.read((old[index] ?? 0) * PAGE_BYTES, page);
        this.#memory.write(frame * PAGE_BYTES, page);
      }
      pages.frames = frames;
      this.#release(old);
    }
  }

  #find(count: number, contiguous: boolean): number[] | null {
    if (contiguous) return this.#table.findRun(count);
    return this.#scatter === undefined ? this.#table.findAny(count) : this.#table.findScattered(count, this.#scatter);
  }

  #hold(key: number, contiguous: boolean, frames: readonly number[]): RamPages {
    for (const frame of frames) this.#table.take(frame);
    const pages = new RamPages(this.#memory, key, contiguous, frames);
    this.#pages.set(key, pages);
    this.#allocatedBytes += pages.byteLength;
    return pages;
  }

  #release(frames: readonly number[]): void {
    for (const frame of frames) this.#table.give(frame);
    if (this.#poison) this.#fill(frames, POISON);
  }

  #fill(frames: readonly number[], value: number): void {
    let filler: Uint8Array | null = null;
    for (const frame of frames) {
      const view = this.#memory.view(frame * PAGE_BYTES, PAGE_BYTES);
      if (view !== null) {
        view.fill(value);
      } else {
        filler ??= new Uint8Array(PAGE_BYTES).fill(value);
        this.#memory.write(frame * PAGE_BYTES, filler);
      }
    }
  }

  #own(pages: Pages): RamPages {
    const own = this.#pages.get(pages.key);
    assert(own === pages, `pages ${pages.key} are not allocated here`);
    return own;
  }

  #outOfMemory(count: number, contiguous: boolean): GpuError {
    const what = `${count} ${contiguous ? "contiguous pages" : "pages"}`;
    return new GpuError("ENOMEM", `guest memory has no ${what} left (${this.#table.freeCount} pages are free)`);
  }

  /** Why a record is not sound, or null. It comes from a file: nothing in it is believed. */
  #refusal(record: PagesRecord): string | null {
    const { key, byteLength, contiguous, frames } = record;
    if (!Number.isSafeInteger(key) || key < 1 || !Number.isSafeInteger(key + 1)) return `${key} is no key`;
    if (this.#pages.has(key)) return `key ${key} is taken`;
    if (!Array.isArray(frames) || frames.length === 0) return `pages ${key} have no frames`;
    if (byteLength !== frames.length * PAGE_BYTES)
      return `pages ${key} have ${frames.length} frames for ${byteLength} bytes`;
    if (typeof contiguous !== "boolean") return `pages ${key} are neither contiguous nor scattered`;
    for (const frame of frames) {
      if (!this.#table.isFree(frame)) return `frame ${String(frame)} of pages ${key} is taken or out of range`;
    }
    if (new Set(frames).size !== frames.length) return `pages ${key} name a frame twice`;
    if (contiguous && !adjacent(frames)) return `pages ${key} are said to be contiguous and are not`;
    return null;
  }
}

/** Some pages: a handle that stays valid while their frames change. */
class RamPages implements Pages {
  readonly key: number;
  readonly byteLength: number;
  readonly contiguous: boolean;
  /** Empty once freed. */
  frames: readonly number[];
  readonly #memory: GuestMemory;

  constructor(memory: GuestMemory, key: number, contiguous: boolean, frames: readonly number[]) {
    this.#memory = memory;
    this.key = key;
    this.contiguous = contiguous;
    this.frames = frames;
    this.byteLength = frames.length * PAGE_BYTES;
  }

  read(offset: number, target: Uint8Array): void {
    this.#forEachPiece(offset, target.byteLength, (address, at, byteLength) => {
      this.#memory.read(address, target.subarray(at, at + byteLength));
    });
  }

  write(offset: number, source: Uint8Array): void {
    this.#forEachPiece(offset, source.byteLength, (address, at, byteLength) => {
      this.#memory.write(address, source.subarray(at, at + byteLength));
    });
  }

  view(): Uint8Array | null {
    this.#check(0, 0);
    return adjacent(this.frames) ? this.#memory.view(this.#address(0), this.byteLength) : null;
  }

  ringMemory(byteOffset: number, byteLength: number): RingMemory {
    assert(this.contiguous, `pages ${this.key} are not contiguous: no ring can lie there`);
    this.#check(byteOffset, byteLength);
    return this.#memory.ringMemory(this.#address(0) + byteOffset, byteLength);
  }

  #address(page: number): number {
    return (this.frames[page] ?? 0) * PAGE_BYTES;
  }

  #check(offset: number, byteLength: number): void {
    assert(this.frames.length > 0, `pages ${this.key} were freed`);
    const inside = offset >= 0 && byteLength >= 0 && offset + byteLength <= this.byteLength;
    if (!inside || !Number.isInteger(offset)) throw new MemoryRangeError(offset, byteLength);
  }

  /** Calls `visit` for each run of adjacent frames in the range. */
  #forEachPiece(
    offset: number,
    byteLength: number,
    visit: (address: number, at: number, byteLength: number) => void,
  ): void {
    this.#check(offset, byteLength);
    let done = 0;
    while (done < byteLength) {
      const page = Math.floor((offset + done) / PAGE_BYTES);
      const within = offset + done - page * PAGE_BYTES;
      let last = page;
      while ((last + 1) * PAGE_BYTES < offset + byteLength && this.frames[last + 1] === (this.frames[last] ?? 0) + 1)
        last += 1;
      const bytes = Math.min((last + 1 - page) * PAGE_BYTES - within, byteLength - done);
      visit(this.#address(page) + within, done, bytes);
      done += bytes;
    }
  }
}

function adjacent(frames: readonly number[]): boolean {
  const first = frames[0] ?? 0;
  return frames.every((frame, index) => frame === first + index);
}

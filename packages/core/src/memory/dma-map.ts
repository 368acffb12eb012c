/**
 * How the device comes to see the guest's pages: by their physical addresses, or through an IOMMU
 * (VIRTIO_F_ACCESS_PLATFORM, VIRTIO 1.2 section 6.1).
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import { type DmaMap, PAGE_BYTES, type Pages, type ScatterList } from "./pages.ts";
import type { FrameSource } from "./ram-allocator.ts";
import { scatterListOfFrames } from "./scatter-list.ts";

interface Mapping {
  readonly list: ScatterList;
  users: number;
}

/** Mappings counted by use, and those that ended with their session. */
class MappingTable {
  readonly #live: Map<Pages, Mapping> = new Map();
  // Mapped when a session ended: giving them back late is no mistake.
  readonly #ended: WeakSet<Pages> = new WeakSet();

  /** Counts one more use of what is mapped; null: it is not. */
  use(pages: Pages): ScatterList | null {
    const found = this.#live.get(pages);
    if (found === undefined) return null;
    found.users += 1;
    return found.list;
  }

  /** Counts the first use. */
  add(pages: Pages, list: ScatterList): ScatterList {
    this.#live.set(pages, { list, users: 1 });
    return list;
  }

  /** Counts one use less. Returns the list when that was the last, else null. */
  remove(pages: Pages): ScatterList | null {
    const found = this.#live.get(pages);
    if (found === undefined) {
      assert(this.#ended.has(pages), `pages ${pages.key} are not mapped`);
      return null;
    }
    found.users -= 1;
    if (found.users > 0) return null;
    this.#live.delete(pages);
    return found.list;
  }

  clear(): void {
    for (const pages of this.#live.keys()) this.#ended.add(pages);
    this.#live.clear();
  }
}

/** Bus addresses are guest-physical addresses. */
export class PhysicalDmaMap implements DmaMap {
  readonly #frames: FrameSource;
  readonly #table: MappingTable = new MappingTable();

  constructor(frames: FrameSource) {
    this.#frames = frames;
  }

  map(pages: Pages): ScatterList {
    return this.#table.use(pages) ?? this.#table.add(pages, scatterListOfFrames(this.#frames.framesOf(pages)));
  }

  unmap(pages: Pages): void {
    this.#table.remove(pages);
  }

  /** Forgets all mappings: frames may have moved. For a new session. */
  invalidate(): void {
    this.#table.clear();
  }
}

/** What an {@link IommuDmaMap} is made of. */
export interface IommuOptions {
  /** Pages that can be mapped at once. Default 65,536 (256 MiB). */
  readonly pagesMax?: number | undefined;
  /** The first bus address; far from any guest-physical one by default. A multiple of 4096. */
  readonly base?: number | undefined;
}

/** Bus addresses start here unless told otherwise: 1 TiB, where small guests have no memory. */
const BUS_BASE_DEFAULT = 2 ** 40;
const BUS_PAGES_DEFAULT = 65_536;
/** Bus pages per mappable page: addresses come into use again late, so that stale ones are found out. */
const WINDOW_FACTOR = 4;
const UNMAPPED = -1;

/**
 * An IOMMU: bus addresses of its own from a bounded table, each allocation one range. Stricter than a real one on
 * purpose: addresses are reused as late as possible, and {@link invalidate} moves on to others.
 */
export class IommuDmaMap implements DmaMap {
  readonly translates: boolean = true;
  readonly #frames: FrameSource;
  readonly #table: MappingTable = new MappingTable();
  readonly #basePage: number;
  readonly #pagesMax: number;
  // Frame per bus page, or UNMAPPED.
  readonly #translation: Float64Array;
  #mappedPages = 0;
  #next = 0;

  constructor(frames: FrameSource, options: IommuOptions = {}) {
    const base = options.base ?? BUS_BASE_DEFAULT;
    assert(Number.isSafeInteger(base) && base % PAGE_BYTES === 0, `bus address ${base} is not a page's`);
    this.#frames = frames;
    this.#basePage = base / PAGE_BYTES;
    this.#pagesMax = options.pagesMax ?? BUS_PAGES_DEFAULT;
    this.#translation = new Float64Array(this.#pagesMax * WINDOW_FACTOR).fill(UNMAPPED);
  }

  /** Pages mapped now. */
  get mappedPages(): number {
    return this.#mappedPages;
  }

  map(pages: Pages): ScatterList {
    const mapped = this.#table.use(pages);
    return mapped ?? this.#table.add(pages, this.#enter(this.#frames.framesOf(pages), pages.byteLength));
  }

  unmap(pages: Pages): void {
    const list = this.#table.remove(pages);
    if (list === null) return;
    const first = (list.addresses[0] ?? 0) / PAGE_BYTES - this.#basePage;
    const count = pages.byteLength / PAGE_BYTES;
    this.#translation.fill(UNMAPPED, first, first + count);
    this.#mappedPages -= count;
  }

  /** Ends all mappings: a device that still uses one of their addresses fails. For a new session. */
  invalidate(): void {
    this.#table.clear();
    this.#translation.fill(UNMAPPED);
    this.#mappedPages = 0;
  }

  /** The guest-physical address behind bus address `address`, or -1 where nothing is mapped. Any number may be asked for. */
  translate(address: number): number {
    const page = Math.floor(address / PAGE_BYTES);
    const frame = this.#translation[page - this.#basePage] ?? UNMAPPED;
    return frame === UNMAPPED ? -1 : frame * PAGE_BYTES + (address - page * PAGE_BYTES);
  }

  #enter(frames: readonly number[], byteLength: number): ScatterList {
    const first = this.#mappedPages + frames.length <= this.#pagesMax ? this.#findRun(frames.length) : -1;
    if (first < 0) {
      throw new GpuError(
        "ENOMEM",
        `the IOMMU's table has no room for ${frames.length} pages (${this.#mappedPages} mapped)`,
      );
    }
    this.#translation.set(frames, first);
    this.#mappedPages += frames.length;
    this.#next = first + frames.length;
    const address = (this.#basePage + first) * PAGE_BYTES;
    return { count: 1, addresses: Float64Array.of(address), lengths: Uint32Array.of(byteLength) };
  }

  /** A run of unmapped bus pages, looked for from the last one handed out. */
  #findRun(count: number): number {
    const above = this.#runBetween(this.#next, this.#translation.length, count);
    return above >= 0 ? above : this.#runBetween(0, this.#translation.length, count);
  }

  #runBetween(start: number, end: number, count: number): number {
    let run = 0;
    for (let page = start; page < end; page += 1) {
      run = this.#translation[page] === UNMAPPED ? run + 1 : 0;
      if (run === count) return page - count + 1;
    }
    return -1;
  }
}

/**
 * A DMA map that fails when told, and knows which bus addresses the device may use at any moment.
 */
import { GpuError } from "../../base/errors.ts";
import { assert } from "../../base/assert.ts";
import { type DmaMap, PAGE_BYTES, type Pages, type ScatterList } from "../../memory/pages.ts";

/** A {@link DmaMap} whose mappings end with a session. */
export interface SessionDmaMap extends DmaMap {
  /** Ends all mappings. */
  invalidate(): void;
}

/** See the file's head. */
export class FaultyDmaMap implements SessionDmaMap {
  /** Pages of memory that can be mapped at once; beyond them ENOMEM. */
  pagesMax: number = Infinity;
  readonly #inner: SessionDmaMap;
  readonly #uses: Map<Pages, { readonly list: ScatterList; count: number }> = new Map();
  // How many mappings name a bus page.
  readonly #busPages: Map<number, number> = new Map();
  #attempts = 0;
  #failFrom = Infinity;
  #failTo = Infinity;

  constructor(inner: SessionDmaMap) {
    this.#inner = inner;
  }

  get translates(): boolean {
    return this.#inner.translates ?? false;
  }

  /** Requests for a mapping so far. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Allocations mapped now. */
  get mapped(): readonly Pages[] {
    return [...this.#uses.keys()];
  }

  /** The k-th mapping from now fails with ENOMEM, and so do those after it until `times` have. */
  failAt(k: number, times: number = 1): void {
    this.#failFrom = this.#attempts + k;
    this.#failTo = this.#failFrom + times;
  }

  map(pages: Pages): ScatterList {
    this.#attempts += 1;
    if (this.#attempts >= this.#failFrom && this.#attempts < this.#failTo) {
      throw new GpuError("ENOMEM", `mapping ${this.#attempts} fails, as planned`);
    }
    const known = this.#uses.get(pages);
    if (known === undefined && this.#busPages.size + pages.byteLength / PAGE_BYTES > this.pagesMax) {
      throw new GpuError("ENOMEM", `more than ${this.pagesMax} pages can't be mapped, as planned`);
    }
    const list = this.#inner.map(pages);
    if (known === undefined) {
      this.#uses.set(pages, { list, count: 1 });
      this.#count(list, 1);
    } else {
      known.count += 1;
    }
    return list;
  }

  unmap(pages: Pages): void {
    this.#inner.unmap(pages);
    const use = this.#uses.get(pages);
    if (use === undefined) return;
    use.count -= 1;
    if (use.count > 0) return;
    this.#uses.delete(pages);
    this.#count(use.list, -1);
  }

  invalidate(): void {
    this.#inner.invalidate();
    this.#uses.clear();
    this.#busPages.clear();
  }

  /** Whether the device may use all of a range of bus addresses now. */
  covers(address: number, byteLength: number): boolean {
    const last = address + Math.max(byteLength, 1) - 1;
    for (let page = Math.floor(address / PAGE_BYTES); page * PAGE_BYTES <= last; page += 1) {
      if (!this.#busPages.has(page)) return false;
    }
    return true;
  }

  /** Throws InvariantViolation unless exactly `kept` are mapped. */
  assertBalanced(kept: Iterable<Pages> = []): void {
    const expected = new Set(kept);
    const left = this.mapped.filter((pages) => !expected.has(pages)).map((pages) => pages.key);
    assert(left.length === 0, `pages were never unmapped: ${left.join(", ")}`);
    const lost = [...expected].filter((pages) => !this.#uses.has(pages)).map((pages) => pages.key);
    assert(lost.length === 0, `pages were unmapped too early: ${lost.join(", ")}`);
  }

  #count(list: ScatterList, by: number): void {
    for (let index = 0; index < list.count; index += 1) {
      const first = Math.floor((list.addresses[index] ?? 0) / PAGE_BYTES);
      const pages = (list.lengths[index] ?? 0) / PAGE_BYTES;
      for (let page = first; page < first + pages; page += 1) {
        const count = (this.#busPages.get(page) ?? 0) + by;
        if (count > 0) this.#busPages.set(page, count);
        else this.#busPages.delete(page);
      }
    }
  }
}

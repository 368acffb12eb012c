/**
 * A page allocator that fails when told, and keeps books: what is out, what was ever out at once, what was given back twice
 * or never.
 */
import { assert } from "../../base/assert.ts";
import { GpuError } from "../../base/errors.ts";
import type { PageAllocator, Pages, PagesRecord } from "../../memory/pages.ts";

/** An allocation that was asked for, granted or not. */
export interface Allocation {
  /** Counted from 1. */
  readonly sequence: number;
  readonly byteLength: number;
  readonly contiguous: boolean;
  /** The pages' key, or null where the request failed. */
  readonly key: number | null;
}

/** See the file's head. */
export class FaultyAllocator implements PageAllocator {
  /** Requests that would lead beyond this many bytes handed out fail. */
  bytesMax: number = Infinity;
  /** Called before pages are given back. */
  onFree: ((pages: Pages) => void) | null = null;
  readonly #inner: PageAllocator;
  readonly #live: Set<Pages> = new Set();
  #history: Allocation[] = [];
  #forgotten = 0;
  #failFrom = Infinity;
  #failTo = Infinity;
  #frees = 0;
  #peakBytes = 0;

  constructor(inner: PageAllocator) {
    this.#inner = inner;
  }

  get allocatedBytes(): number {
    return this.#inner.allocatedBytes;
  }

  /** Requests so far, failed ones included. */
  get attempts(): number {
    return this.#forgotten + this.#history.length;
  }

  /** Calls of `free` so far. */
  get frees(): number {
    return this.#frees;
  }

  /** Most bytes ever handed out at once. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** The requests, from the one after `since` on (an {@link attempts} taken before). */
  history(since: number = 0): readonly Allocation[] {
    return this.#history.slice(Math.max(0, since - this.#forgotten));
  }

  /** Forgets the requests so far; they stay counted. */
  forgetHistory(): void {
    this.#forgotten += this.#history.length;
    this.#history = [];
  }

  /** What is out now. */
  live(): ReadonlySet<Pages> {
    return this.#live;
  }

  /** The k-th request from now fails with ENOMEM, and so do those after it until `times` have. */
  failAt(k: number, times: number = 1): void {
    this.#failFrom = this.attempts + k;
    this.#failTo = this.#failFrom + times;
  }

  /** From now on requests fail only for want of memory. */
  clear(): void {
    this.#failFrom = Infinity;
    this.bytesMax = Infinity;
  }

  allocate(byteLength: number, options: { readonly contiguous?: boolean } = {}): Pages {
    const sequence = this.attempts + 1;
    const contiguous = options.contiguous ?? false;
    const planned = sequence >= this.#failFrom && sequence < this.#failTo;
    if (planned || this.allocatedBytes + byteLength > this.bytesMax) {
      this.#history.push({ sequence, byteLength, contiguous, key: null });
      throw new GpuError("ENOMEM", `request ${sequence} for ${byteLength} bytes of memory fails, as planned`);
    }
    let pages: Pages | null = null;
    try {
      pages = this.#inner.allocate(byteLength, options);
      return this.#take(pages);
    } finally {
      this.#history.push({ sequence, byteLength, contiguous, key: pages?.key ?? null });
    }
  }

  free(pages: Pages): void {
    assert(this.#live.has(pages), `pages ${pages.key} are given back twice, or were never handed out`);
    this.onFree?.(pages);
    this.#inner.free(pages);
    this.#live.delete(pages);
    this.#frees += 1;
  }

  save(): readonly PagesRecord[] {
    return this.#inner.save();
  }

  adopt(record: PagesRecord): Pages {
    return this.#take(this.#inner.adopt(record));
  }

  /** Throws InvariantViolation unless exactly `kept` are out. */
  assertNoLeak(kept: Iterable<Pages> = []): void {
    const expected = new Set(kept);
    const leaked = [...this.#live].filter((pages) => !expected.has(pages));
    const named = leaked.map((pages) => `${pages.key} (${pages.byteLength} bytes)`).join(", ");
    assert(leaked.length === 0, `pages were never given back: ${named}`);
    const lost = [...expected].filter((pages) => !this.#live.has(pages)).map((pages) => pages.key);
    assert(lost.length === 0, `pages were given back too early: ${lost.join(", ")}`);
  }

  #take(pages: Pages): Pages {
    this.#live.add(pages);
    this.#peakBytes = Math.max(this.#peakBytes, this.allocatedBytes);
    return pages;
  }
}

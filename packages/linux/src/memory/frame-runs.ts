/** Which pages of a chunk are taken: first fit, a byte a page. */
import { assert } from "../assert.ts";

/** See the file's head. */
export class FrameRuns {
  readonly count: number;
  readonly #taken: Uint8Array;
  #free: number;
  /** No page below this one is free. */
  #lowest = 0;

  constructor(count: number) {
    this.count = count;
    this.#taken = new Uint8Array(count);
    this.#free = count;
  }

  get isUnused(): boolean {
    return this.#free === this.count;
  }

  /**
   * The first of `count` free pages in a row, or -1. With `frames`, those of the whole chunk, they have to follow each
   * other there too.
   */
  find(count: number, frames: readonly number[] | null = null): number {
    if (count > this.#free) return -1;
    let run = 0;
    for (let page = this.#lowest; page < this.count; page += 1) {
      if (this.#taken[page] === 1) {
        run = 0;
        continue;
      }
      const follows = frames === null || frames[page] === (frames[page - 1] ?? -2) + 1;
      run = run > 0 && follows ? run + 1 : 1;
      if (run === count) return page - count + 1;
    }
    return -1;
  }

  take(first: number, count: number): void {
    for (let page = first; page < first + count; page += 1) {
      assert(this.#taken[page] === 0, `page ${page} is free`);
      this.#taken[page] = 1;
    }
    this.#free -= count;
    if (first <= this.#lowest) this.#lowest = first + count;
  }

  give(first: number, count: number): void {
    this.#taken.fill(0, first, first + count);
    this.#free += count;
    this.#lowest = Math.min(this.#lowest, first);
  }
}

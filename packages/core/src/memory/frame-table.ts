/**
 * Which page frames of a range of memory are taken: a byte a frame, first fit.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";

/** See the file's head. Frames are numbered from `first`. */
export class FrameTable {
  readonly first: number;
  readonly count: number;
  readonly #taken: Uint8Array;
  #freeCount: number;
  // No frame below this index is free.
  #lowest = 0;

  constructor(first: number, count: number) {
    this.first = first;
    this.count = count;
    this.#taken = new Uint8Array(count);
    this.#freeCount = count;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** Whether `frame`, which may be any number, is in the table and free. */
  isFree(frame: number): boolean {
    return Number.isSafeInteger(frame) && this.#taken[frame - this.first] === 0;
  }

  /** Takes one free frame. */
  take(frame: number): void {
    const index = frame - this.first;
    assert(this.#taken[index] === 0, `frame ${frame} is not free`);
    this.#taken[index] = 1;
    this.#freeCount -= 1;
    if (index === this.#lowest) this.#lowest += 1;
  }

  /** Gives one frame back. */
  give(frame: number): void {
    const index = frame - this.first;
    assert(this.#taken[index] === 1, `frame ${frame} is not taken`);
    this.#taken[index] = 0;
    this.#freeCount += 1;
    if (index < this.#lowest) this.#lowest = index;
  }

  /** The lowest `count` free frames, or null when there are fewer. They are not taken yet. */
  findAny(count: number): number[] | null {
    if (count > this.#freeCount) return null;
    const frames: number[] = [];
    this.#skipTaken();
    for (let index = this.#lowest; frames.length < count; index += 1) {
      if (this.#taken[index] === 0) frames.push(this.first + index);
    }
    return frames;
  }

  /** The first run of `count` free frames, or null. They are not taken yet. */
  findRun(count: number): number[] | null {
    if (count > this.#freeCount) return null;
    this.#skipTaken();
    let run = 0;
    for (let index = this.#lowest; index < this.count; index += 1) {
      run = this.#taken[index] === 0 ? run + 1 : 0;
      if (run < count) continue;
      const start = this.first + index - count + 1;
      return Array.from({ length: count }, (_, offset) => start + offset);
    }
    return null;
  }

  /**
   * `count` free frames in random order, no two consecutive ones adjacent where the free frames allow it; or null. For
   * tests: nothing may lean on frames that happen to follow each other. They are not taken yet.
   */
  findScattered(count: number, random: Random): number[] | null {
    if (count > this.#freeCount) return null;
    const frames: number[] = [];
    const chosen = new Set<number>();
    while (frames.length < count) {
      const frame = this.#pick(chosen, frames.at(-1) ?? -2, random);
      chosen.add(frame);
      frames.push(frame);
    }
    return frames;
  }

  /** A free frame not in `chosen`, looked for from a random place, not next to `last` if there is such a one. */
  #pick(chosen: ReadonlySet<number>, last: number, random: Random): number {
    const start = random.nextU32() % this.count;
    let next = -1;
    for (let step = 0; step < this.count; step += 1) {
      const index = (start + step) % this.count;
      const frame = this.first + index;
      if (this.#taken[index] === 1 || chosen.has(frame)) continue;
      if (Math.abs(frame - last) > 1) return frame;
      next = frame;
    }
    return next;
  }

  #skipTaken(): void {
    while (this.#lowest < this.count && this.#taken[this.#lowest] === 1) this.#lowest += 1;
  }
}

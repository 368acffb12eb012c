/**
 * Randomness that can be replayed: xoshiro128** (Blackman and Vigna, 2018), its state filled from a 32-bit seed or from a
 * text. Print the generator in a failing test's message: the seed is all that is needed to see the failure again.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";

const TWO_32 = 2 ** 32;

/** See the file's head. */
export class SeededRandom implements Random {
  /** What it was made from: gives the same numbers again. */
  readonly seed: number | string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number | string) {
    this.seed = seed;
    const next = mixer(typeof seed === "number" ? seed >>> 0 : hash(seed));
    this.#a = next();
    this.#b = next();
    this.#c = next();
    // All four words zero would stay zero for ever.
    this.#d = next() | 1;
  }

  nextU32(): number {
    const result = Math.imul(rotate(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotate(this.#d, 11);
    return result;
  }

  /** An integer in `[0, count)`, each as likely as the other. `count` is 1 to 2^32. */
  below(count: number): number {
    assert(Number.isInteger(count) && count > 0 && count <= TWO_32, `no integer lies in [0, ${count})`);
    const fair = TWO_32 - (TWO_32 % count);
    for (;;) {
      const value = this.nextU32();
      if (value < fair) return value % count;
    }
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.nextU32() / TWO_32 < p;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    assert(list.length > 0, "there is nothing to pick from");
    // The index lies within the list; the type alone does not say so where T includes undefined.
    return list[this.below(list.length)] as T;
  }

  /** The same elements in another order; the list stays as it is. */
  shuffle<T>(list: readonly T[]): T[] {
    const left = [...list];
    return list.map(() => left.splice(this.below(left.length), 1)[0] as T);
  }

  /** `byteLength` random bytes. */
  bytes(byteLength: number): Uint8Array {
    return Uint8Array.from({ length: byteLength }, () => this.nextU32() >>> 24);
  }

  /**
   * Another generator, told by this one's seed and `label` alone: how many numbers were drawn here does not matter, so a
   * part of a simulation that draws more does not change what another part sees.
   */
  fork(label: string): SeededRandom {
    return new SeededRandom(`${this.seed}/${label}`);
  }

  /** e.g. `seed 1234`. */
  toString(): string {
    return `seed ${this.seed}`;
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** FNV-1a over the text's UTF-16 units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value >>> 0;
}

/** SplitMix32: spreads one word over many, so that seeds 1 and 2 have nothing in common. */
function mixer(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let value = state ^ (state >>> 16);
    value = Math.imul(value, 0x21f0aaad);
    value ^= value >>> 15;
    value = Math.imul(value, 0x735a2d97);
    return (value ^ (value >>> 15)) | 0;
  };
}

/** The loop: an input that goes a new way is kept, and changed further. One seed gives one run. */
import { SeededRandom } from "@virtgpu/core/sim";
import { dictionaryOf, mutate } from "./mutate.ts";
import type { FuzzProgram } from "./program.ts";

/** An input that should not have done what it did. */
export interface Finding {
  readonly input: Uint8Array;
  /** The error's message and stack. */
  readonly error: string;
}

const BYTES_MAX = 4096;
/** Counts that are told apart, as powers of two: 1, 2, 4, ... 128 times and more. */
const bucketOf = (count: number): number => (count === 0 ? 0 : 1 << (31 - Math.clz32(count)));

/** See the file's head. */
export class Fuzzer {
  readonly #program: FuzzProgram;
  readonly #random: SeededRandom;
  readonly #dictionary: readonly Uint8Array[];
  readonly #corpus: Uint8Array[] = [];
  /** Buckets seen, one byte of bits a place. */
  readonly #seen: Uint8Array;
  readonly #about: (input: Uint8Array) => void;
  runs: number = 0;

  /** `about` is told of each input before it runs. */
  constructor(program: FuzzProgram, seed: number, about: (input: Uint8Array) => void = () => undefined) {
    this.#program = program;
    this.#random = new SeededRandom(seed);
    this.#dictionary = dictionaryOf(program.numbers, program.texts);
    this.#seen = new Uint8Array(program.places);
    this.#about = about;
  }

  /** Inputs that each go a way which none before them went. */
  get corpus(): readonly Uint8Array[] {
    return this.#corpus;
  }

  /** Places that some input came to. */
  get covered(): number {
    let count = 0;
    for (const bits of this.#seen) if (bits !== 0) count += 1;
    return count;
  }

  /** Runs an input as it is, and keeps it if it is new. Gives what is wrong with it, or null. */
  async add(input: Uint8Array): Promise<Finding | null> {
    const finding = await this.run(input);
    if (this.#isNew()) this.#corpus.push(input);
    return finding;
  }

  /** Whether the last run came to a place where none that was kept has been. */
  get wentFarther(): boolean {
    return this.#program.counters.some((count, place) => count > 0 && this.#seen[place] === 0);
  }

  /** Runs one mutated input. */
  async step(): Promise<Finding | null> {
    if (this.#corpus.length === 0) this.#corpus.push(new Uint8Array(1));
    const bytesMax = this.#program.target.bytesMax ?? BYTES_MAX;
    const other = (): Uint8Array => this.#random.pick(this.#corpus);
    // Half of the time one of the newest: what was just found is where the next step lies.
    const newest = this.#corpus.slice(-8);
    const parent = this.#random.chance(0.5) ? this.#random.pick(newest) : other();
    return this.add(mutate(parent, { random: this.#random, dictionary: this.#dictionary, other, bytesMax }));
  }

  /** The shortest input found that fails with the same words. */
  async shrink(finding: Finding): Promise<Finding> {
    let best = finding;
    for (let size = best.input.length >> 1; size >= 1; size >>= 1) {
      for (let offset = 0; offset + size <= best.input.length; ) {
        const input = new Uint8Array([...best.input.subarray(0, offset), ...best.input.subarray(offset + size)]);
        const again = await this.run(input);
        if (again !== null && firstLine(again.error) === firstLine(best.error)) best = again;
        else offset += size;
      }
    }
    return best;
  }

  /** Runs an input and keeps nothing. */
  async run(input: Uint8Array): Promise<Finding | null> {
    const { counters, target } = this.#program;
    this.#about(input);
    this.runs += 1;
    counters.fill(0);
    try {
      const running = target.fuzz(input.slice());
      if (running !== undefined) await running;
      return null;
    } catch (error) {
      return { input, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
  }

  #isNew(): boolean {
    const { counters } = this.#program;
    let isNew = false;
    for (let place = 0; place < counters.length; place += 1) {
      const count = counters[place] ?? 0;
      if (count === 0) continue;
      const bucket = bucketOf(count);
      const seen = this.#seen[place] ?? 0;
      if ((seen & bucket) !== 0) continue;
      this.#seen[place] = seen | bucket;
      isNew = true;
    }
    return isNew;
  }
}

/** What two findings of the same kind have in common. */
export function firstLine(text: string): string {
  return text.slice(0, text.indexOf("\n") >>> 0);
}

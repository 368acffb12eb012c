/** Mutations of an input, after those of the well-known coverage-guided fuzzers: small changes, stacked. */
import type { SeededRandom } from "@virtgpu/core/sim";

/** What mutations draw from. */
export interface MutationSource {
  readonly random: SeededRandom;
  /** Constants of the program, as bytes. */
  readonly dictionary: readonly Uint8Array[];
  /** Another input of the corpus. */
  readonly other: () => Uint8Array;
  /** Inputs never grow beyond it. */
  readonly bytesMax: number;
}

const INTERESTING = [
  0,
  1,
  2,
  7,
  8,
  16,
  32,
  64,
  100,
  127,
  128,
  255,
  256,
  1024,
  4095,
  4096,
  32767,
  32768,
  65535,
  65536,
  1 << 20,
];
const INTERESTING_WIDE = [0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffe, 0xfffff000, 0x40000000];
const STACK_MAX = 5;

type Mutation = (bytes: Uint8Array, source: MutationSource) => Uint8Array;

const at = (bytes: Uint8Array, random: SeededRandom): number => random.between(0, Math.max(0, bytes.length - 1));

/** Replaces `removed` bytes at `offset` by `added`. */
function splice(bytes: Uint8Array, offset: number, removed: number, added: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length - removed + added.length);
  result.set(bytes.subarray(0, offset));
  result.set(added, offset);
  result.set(bytes.subarray(offset + removed), offset + added.length);
  return result;
}

/** A piece of `bytes`, of at least one byte if there is one. */
function piece(bytes: Uint8Array, random: SeededRandom): { readonly offset: number; readonly part: Uint8Array } {
  const offset = at(bytes, random);
  const rest = bytes.length - offset;
  const length = Math.min(rest, 1 + random.between(0, random.chance(0.5) ? 7 : Math.max(0, rest - 1)));
  return { offset, part: bytes.subarray(offset, offset + length) };
}

function overwrite(bytes: Uint8Array, offset: number, added: Uint8Array): Uint8Array {
  const kept = added.subarray(0, Math.max(0, bytes.length - offset));
  const result = bytes.slice();
  result.set(kept, Math.min(offset, result.length));
  return result;
}

/** An interesting number in 1, 2 or 4 bytes, little or big endian. */
function number({ random }: MutationSource): Uint8Array {
  const wide = random.between(0, 2) === 0;
  const value = random.pick(wide ? INTERESTING_WIDE : INTERESTING);
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, random.between(0, 3) !== 0);
  const width = wide ? 4 : 2 ** random.between(0, 2);
  return new Uint8Array(view.buffer.slice(0, width));
}

const MUTATIONS: readonly Mutation[] = [
  (bytes, { random }) => {
    const result = bytes.slice();
    const offset = at(bytes, random);
    if (result.length > 0) result[offset] = (result[offset] ?? 0) ^ (1 << random.between(0, 7));
    return result;
  },
  (bytes, { random }) => overwrite(bytes, at(bytes, random), Uint8Array.of(random.between(0, 255))),
  (bytes, { random }) => {
    const offset = at(bytes, random);
    return overwrite(bytes, offset, Uint8Array.of((bytes[offset] ?? 0) + random.between(-16, 16)));
  },
  (bytes, source) => overwrite(bytes, at(bytes, source.random) & ~3, number(source)),
  (bytes, source) => overwrite(bytes, at(bytes, source.random), number(source)),
  (bytes, source) => splice(bytes, at(bytes, source.random), 0, number(source)),
  (bytes, { random }) => {
    const { offset, part } = piece(bytes, random);
    return splice(bytes, offset, part.length, new Uint8Array(0));
  },
  (bytes, { random }) => {
    const { offset, part } = piece(bytes, random);
    return splice(bytes, offset, 0, part);
  },
  (bytes, { random }) => splice(bytes, at(bytes, random), 0, piece(bytes, random).part),
  (bytes, { random }) => overwrite(bytes, at(bytes, random), piece(bytes, random).part),
  (bytes, { random, other }) => splice(bytes, at(bytes, random), 0, piece(other(), random).part),
  (bytes, { random, other }) => overwrite(bytes, at(bytes, random), piece(other(), random).part),
  (bytes, { random, dictionary }) => {
    if (dictionary.length === 0) return bytes;
    const word = random.pick(dictionary);
    const offset = at(bytes, random);
    return random.chance(0.5) ? splice(bytes, offset, 0, word) : overwrite(bytes, offset, word);
  },
  (bytes, { random }) => bytes.slice(0, at(bytes, random)),
];

/** One to five mutations of an input; never longer than the source allows. */
export function mutate(input: Uint8Array, source: MutationSource): Uint8Array {
  const { random } = source;
  let bytes = input;
  for (let left = random.between(1, STACK_MAX); left > 0; left -= 1) {
    bytes = random.pick(MUTATIONS)(bytes, source);
  }
  return bytes.length > source.bytesMax ? bytes.slice(0, source.bytesMax) : bytes;
}

/** Constants of a program as they may stand in an input: texts as they are, numbers in 2 and 4 bytes. */
export function dictionaryOf(numbers: readonly number[], texts: readonly string[]): readonly Uint8Array[] {
  const encoder = new TextEncoder();
  const words = texts.filter((text) => text.length > 0).map((text) => encoder.encode(text));
  for (const value of numbers) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) continue;
    const wide = Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
    words.push(value > 0xffff ? wide : wide.slice(0, 2));
  }
  return words;
}

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../base/assert.ts";
import { FileGuestMemory } from "./file-memory.ts";
import { type GuestMemory, MemoryRangeError } from "./guest-memory.ts";
import { GuestRam } from "./guest-ram.ts";
import type { ScatterList } from "./pages.ts";
import { ScatterAccess, forEachRange, gather, scatter, scatterBytes, scatterListOfFrames } from "./scatter-list.ts";

const BYTES = 0x4000;

function filled(): Uint8Array {
  return Uint8Array.from({ length: BYTES }, (_, index) => (index * 13 + (index >> 8)) & 0xff);
}

const kinds: readonly (readonly [string, (bytes: Uint8Array) => GuestMemory])[] = [
  ["mapped in one piece", (bytes) => new GuestRam([{ address: 0, buffer: bytes }])],
  [
    "mapped in many pieces",
    (bytes) =>
      new GuestRam(
        Array.from({ length: 16 }, (_, index) => {
          return { address: index * 0x10000, buffer: bytes.subarray(index * 0x400, (index + 1) * 0x400) };
        }),
      ),
  ],
  [
    "behind a file",
    (bytes) =>
      new FileGuestMemory(
        {
          readAt: (position, target) => target.set(bytes.subarray(position, position + target.length)),
          writeAt: (position, source) => bytes.set(source, position),
        },
        [{ address: 0, byteLength: BYTES, fileOffset: 0 }],
      ),
  ],
];

/** Ranges within pieces of 0x400 bytes; `spread` puts the pieces where "many pieces" has them. */
function listOf(
  pieces: readonly (readonly [number, number, number])[],
  spread: boolean,
): { list: ScatterList; places: number[] } {
  const places = pieces.flatMap(([piece, start, length]) => {
    return Array.from({ length: Math.min(length, 0x400 - start) }, (_, index) => piece * 0x400 + start + index);
  });
  const list = {
    count: pieces.length,
    addresses: Float64Array.from(pieces, ([piece, start]) => piece * (spread ? 0x10000 : 0x400) + start),
    lengths: Uint32Array.from(pieces, ([, start, length]) => Math.min(length, 0x400 - start)),
  };
  return { list, places };
}

const pieces = fc.array(fc.tuple(fc.nat(15), fc.nat(0x3ff), fc.integer({ min: 0, max: 0x400 })), { maxLength: 12 });

describe.each(kinds)("scatter access to memory %s", (name, make) => {
  const spread = name === "mapped in many pieces";

  it("gathers what the list names, from any offset, in any order of calls, to the list's end", () => {
    const copies = fc.array(fc.tuple(fc.nat(0x1000), fc.nat(0x900)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(pieces, copies, (named, calls) => {
        const bytes = filled();
        const { list, places } = listOf(named, spread);
        const access = new ScatterAccess(make(bytes)).use(list);
        for (const [offset, byteLength] of calls) {
          const target = new Uint8Array(byteLength + 2).fill(0xcc);
          const expected = places.slice(offset, offset + byteLength).map((place) => bytes[place] ?? 0);
          expect(access.gather(offset, target, 1, byteLength)).toBe(expected.length);
          expect([...target.subarray(1, 1 + expected.length)]).toEqual(expected);
          expect(target[0]).toBe(0xcc);
          expect(target[1 + expected.length]).toBe(0xcc);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("scatters to what the list names and to nothing else", () => {
    fc.assert(
      fc.property(pieces, fc.nat(0x800), fc.nat(0x900), (named, offset, byteLength) => {
        const bytes = filled();
        const { list, places } = listOf(named, spread);
        const reference = filled();
        const source = Uint8Array.from({ length: byteLength + 3 }, (_, index) => (index * 5 + 1) & 0xff);
        const touched = places.slice(offset, offset + byteLength);
        for (const [index, place] of touched.entries()) reference[place] = source[3 + index] ?? 0;
        expect(new ScatterAccess(make(bytes)).use(list).scatter(offset, source, 3, byteLength)).toBe(touched.length);
        expect(Buffer.compare(bytes, reference)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it("throws MemoryRangeError for an address outside, and copies one list after another", () => {
    const memory = make(filled());
    const outside = { count: 1, addresses: Float64Array.of(2 ** 40), lengths: Uint32Array.of(16) };
    expect(() => gather(memory, outside, 0, new Uint8Array(16), 0, 16)).toThrow(MemoryRangeError);
    expect(() => scatter(memory, outside, 0, new Uint8Array(16), 0, 16)).toThrow(MemoryRangeError);
    const access = new ScatterAccess(memory);
    for (const start of [1, 0, 2]) {
      const target = new Uint8Array(4);
      const list = { count: 1, addresses: Float64Array.of(start * 16), lengths: Uint32Array.of(4) };
      access.use(list).gather(0, target, 0, 4);
      expect(target).toEqual(filled().subarray(start * 16, start * 16 + 4));
      access.forget();
    }
  });
});

describe("scatter lists", () => {
  it("know their size, and merge frames up to what 32 bits hold", () => {
    expect(
      scatterBytes({ count: 2, addresses: Float64Array.of(0, 8192, 9), lengths: Uint32Array.of(4, 2 ** 32 - 1, 7) }),
    ).toBe(2 ** 32 + 3);
    const many = scatterListOfFrames(Array.from({ length: 2 ** 20 + 1 }, (_, frame) => frame));
    expect(Array.from(many.lengths)).toEqual([2 ** 32 - 4096, 8192]);
    expect(scatterListOfFrames([]).count).toBe(0);
  });

  it("are walked range by range without leaving the asked part", () => {
    const list = { count: 3, addresses: Float64Array.of(100, 200, 300), lengths: Uint32Array.of(10, 20, 30) };
    const seen: number[][] = [];
    expect(forEachRange(list, 5, 30, (address, byteLength) => seen.push([address, byteLength]))).toBe(30);
    expect(seen).toEqual([
      [105, 5],
      [200, 20],
      [300, 5],
    ]);
    expect(forEachRange(list, 50, 100, () => {})).toBe(10);
  });

  it("copies only within the target: anything else is a bug", () => {
    const list = { count: 1, addresses: Float64Array.of(0), lengths: Uint32Array.of(16) };
    const memory = GuestRam.of(4096);
    expect(() => gather(memory, list, 0, new Uint8Array(8), 4, 5)).toThrow(InvariantViolation);
    expect(() => scatter(memory, list, -1, new Uint8Array(8), 0, 5)).toThrow(InvariantViolation);
  });
});

/**
 * Memory entries for backings: whole ones in one piece or scattered, short, overlapping ones, and those a device must
 * refuse.
 */
import * as fc from "fast-check";
import { ORACLE_RAM_BYTES } from "../../src/oracle/side.ts";
import { PIXEL_MEMORY } from "../../src/oracle/sequence.ts";

type Entry = readonly [address: number, length: number];

/** What a backing is like. Offsets are from the start of {@link PIXEL_MEMORY}. */
export type EntriesIntent =
  /** As many bytes as the image has, in pieces of `piece` bytes, each `step` bytes behind the last. */
  | { readonly kind: "cover"; readonly start: number; readonly piece: number; readonly step: number }
  | { readonly kind: "list"; readonly list: readonly Entry[] }
  /** A good entry or none, then one that is wrong. */
  | { readonly kind: "bad"; readonly behind: boolean; readonly which: number };

const BAD: readonly Entry[] = [
  [PIXEL_MEMORY.address, 0],
  [PIXEL_MEMORY.address, 0xffffffff],
  [2 ** 64 - 4096, 8192],
  [ORACLE_RAM_BYTES, 4096],
  [ORACLE_RAM_BYTES - 1000, 4096],
  [0, 0],
];

const start = fc.nat({ max: 0x20000 });

export const entries: fc.Arbitrary<EntriesIntent> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("cover" as const),
      start,
      piece: fc.constantFrom(1 << 20, 4096, 1024, 1000, 333),
      step: fc.constantFrom(4096, 8192, 1024, -4096, 0, 100),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("list" as const),
      list: fc.array(fc.tuple(start, fc.constantFrom(1, 2, 3, 5, 64, 100, 1024, 4096, 65536)), { maxLength: 12 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("bad" as const),
      behind: fc.boolean(),
      which: fc.nat({ max: BAD.length - 1 }),
    }),
  },
);

/** The entries, for an image of `byteLength` bytes. */
export function entriesOf(intent: EntriesIntent, byteLength: number): readonly Entry[] {
  const { address, byteLength: room } = PIXEL_MEMORY;
  if (intent.kind === "list") return intent.list.map(([at, length]) => [address + at, length]);
  if (intent.kind === "bad") {
    const good: readonly Entry[] = intent.behind ? [[address, byteLength]] : [];
    return [...good, BAD[intent.which] ?? [0, 0]];
  }
  const found: Entry[] = [];
  for (let done = 0; done < byteLength; done += intent.piece) {
    const length = Math.min(intent.piece, byteLength - done);
    // Wrapped into the picture memory: pieces may overlap.
    const span = room - length;
    const at = (((intent.start + found.length * intent.step) % span) + span) % span;
    found.push([address + at, length]);
  }
  return found;
}

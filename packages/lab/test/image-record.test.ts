/** Headers of records: what their bitmaps tell, byte by byte, is what they tell bit by bit. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeRecordHeader, encodeRecordHeader, pageRuns } from "../src/image/record.ts";

const SEED = 7;
const PAGE_BYTES = 4096;
const CHUNK_BYTES: number = 64 * PAGE_BYTES;

/** A bitmap of 64 pages, often with whole bytes of them. */
const pages = fc
  .array(fc.oneof(fc.constant([0xff]), fc.constant([0]), fc.array(fc.nat(255), { minLength: 1, maxLength: 1 })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((bytes) => Uint8Array.from(bytes.flat()));

function namedIn(bitmap: Uint8Array): readonly number[] {
  return Array.from({ length: bitmap.length * 8 }, (_, page) => page).filter(
    (page) => (((bitmap[page >> 3] ?? 0) >> (page & 7)) & 1) === 1,
  );
}

describe("a bitmap of pages", () => {
  it("tells of runs that hold each of its pages once, in order, none next to another", () => {
    fc.assert(
      fc.property(pages, (bitmap) => {
        const runs = pageRuns(bitmap);
        const found = runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at));
        expect(found).toEqual(namedIn(bitmap));
        let before = 0;
        let end = -1;
        for (const run of runs) {
          expect([run.before, run.first > end]).toEqual([before, true]);
          before += run.count;
          end = run.first + run.count;
        }
      }),
    );
  });

  it("must have as many pages as the record says, and none behind the end of memory", () => {
    fc.assert(
      fc.property(pages, fc.integer({ min: 1, max: 64 }), (bitmap, left) => {
        const named = namedIn(bitmap);
        fc.pre(named.length > 0);
        const dataBytes = named.length * PAGE_BYTES;
        const header = { stream: 0, index: 1, dataBytes, storedBytes: dataBytes, codec: "raw" as const, checksum: 1 };
        const found = decodeRecordHeader(encodeRecordHeader({ ...header, bitmap }, SEED), {
          stream: 0,
          indexMin: 0,
          byteLength: CHUNK_BYTES + left * PAGE_BYTES,
          chunkBytes: CHUNK_BYTES,
          isRam: true,
          seed: SEED,
          left: dataBytes,
        });
        expect(typeof found === "string").toBe((named.at(-1) ?? 0) >= left);
      }),
    );
  });
});

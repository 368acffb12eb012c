/**
 * The codecs of single timings, by themselves: every number of every field, also those that no timing of ours has.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitsDetailed, readDetailed, writeDetailed } from "./detailed-timing.ts";
import { checksum, displayIdBlocks, fitsDisplayId, readDisplayId } from "./display-id.ts";
import { type EdidBlanking, type EdidTiming, refreshOf, withRefresh } from "./timing.ts";

const between = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });

/** Blanking whose parts fit into it. */
function blanking(blankingMax: number, frontMax: number, syncMax: number, least: number): fc.Arbitrary<EdidBlanking> {
  return fc
    .tuple(between(least, frontMax), between(least, syncMax), between(0, blankingMax), fc.boolean())
    .map(([frontPorch, syncWidth, more, syncPositive]) => ({
      frontPorch,
      syncWidth,
      blanking: Math.min(blankingMax, Math.max(more, frontPorch + syncWidth)),
      syncPositive,
    }));
}

function timing(
  sizeMax: number,
  clockMax: number,
  horizontal: fc.Arbitrary<EdidBlanking>,
  vertical: fc.Arbitrary<EdidBlanking>,
): fc.Arbitrary<EdidTiming> {
  return fc
    .record({
      width: between(1, sizeMax),
      height: between(1, sizeMax),
      pixelClockKhz: between(1, clockMax).map((steps) => steps * 10),
      horizontal,
      vertical,
      interlaced: fc.constant(false),
    })
    .map(withRefresh);
}

const detailed = timing(0xfff, 0xffff, blanking(0xfff, 0x3ff, 0x3ff, 0), blanking(0xfff, 0x3f, 0x3f, 0));
const large = timing(
  0x1_0000,
  0x100_0000,
  blanking(0x1_0000, 0x7fff, 0x7fff, 1),
  blanking(0x1_0000, 0x7fff, 0x7fff, 1),
);

const product = {
  vendor: "VGP",
  product: 1,
  serialNumber: 2,
  year: 2026,
  widthMm: 100,
  heightMm: 100,
  width: 1,
  height: 1,
};

describe("a detailed timing", () => {
  it("comes back as it was written, and touches nothing beside it", () => {
    fc.assert(
      fc.property(detailed, between(0, 0xfff), between(0, 0xfff), (wanted, widthMm, heightMm) => {
        const bytes = new Uint8Array(20).fill(0xaa);
        expect(fitsDetailed(wanted)).toBe(true);
        writeDetailed(bytes, 1, { timing: wanted, widthMm, heightMm });
        expect(readDetailed(bytes, 1)).toEqual({ timing: wanted, widthMm, heightMm });
        expect([bytes[0], bytes[19]]).toEqual([0xaa, 0xaa]);
      }),
    );
  });

  it("is refused where a number does not fit its field", () => {
    const fits: EdidTiming = withRefresh({
      width: 0xfff,
      height: 0xfff,
      pixelClockKhz: 655_350,
      horizontal: { frontPorch: 0x3ff, syncWidth: 0x3ff, blanking: 0xfff, syncPositive: true },
      vertical: { frontPorch: 0x3f, syncWidth: 0x3f, blanking: 0xfff, syncPositive: true },
      interlaced: false,
    });
    expect(fitsDetailed(fits)).toBe(true);
    const { horizontal, vertical } = fits;
    const tooMuch: readonly EdidTiming[] = [
      { ...fits, width: 0x1000 },
      { ...fits, height: 0x1000 },
      { ...fits, pixelClockKhz: 655_360 },
      { ...fits, horizontal: { ...horizontal, blanking: 0x1000 } },
      { ...fits, horizontal: { ...horizontal, frontPorch: 0x400 } },
      { ...fits, horizontal: { ...horizontal, syncWidth: 0x400 } },
      { ...fits, vertical: { ...vertical, blanking: 0x1000 } },
      { ...fits, vertical: { ...vertical, frontPorch: 0x40 } },
      { ...fits, vertical: { ...vertical, syncWidth: 0x40 } },
      { ...fits, interlaced: true },
    ];
    expect(tooMuch.map(fitsDetailed)).toEqual(tooMuch.map(() => false));
  });

  it("is not read from bytes that are not all there", () => {
    expect(readDetailed(new Uint8Array(20).fill(1), 3)).toBeNull();
    expect(readDetailed(new Uint8Array(20).fill(1), -1)).toBeNull();
  });
});

describe("DisplayID timings", () => {
  it("come back as they were written, over as many blocks as they need", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ timing: large, preferred: fc.boolean() }), { maxLength: 12 }), (wanted) => {
        expect(wanted.every(({ timing: one }) => fitsDisplayId(one))).toBe(true);
        const blocks = displayIdBlocks(product, wanted);
        expect(blocks.every((block) => block.length === 128 && block[127] === checksum(block, 0, 127))).toBe(true);
        const read = blocks.flatMap((block) => {
          const section = readDisplayId(block);
          return section.ok ? section.timings : [];
        });
        expect(read).toEqual(wanted);
      }),
    );
  });

  it("are not read from a data block that ends outside of its section", () => {
    const wanted = withRefresh({
      width: 5000,
      height: 3000,
      pixelClockKhz: 900_000,
      horizontal: { frontPorch: 48, syncWidth: 32, blanking: 160, syncPositive: true },
      vertical: { frontPorch: 3, syncWidth: 10, blanking: 60, syncPositive: false },
      interlaced: false,
    });
    const [block] = displayIdBlocks(product, [{ timing: wanted, preferred: true }]);
    if (block === undefined) throw new Error("no block");
    const timingBlockAt = 5 + 15 + 15 + 13;
    expect(block[timingBlockAt]).toBe(3);
    block[timingBlockAt + 2] = 80;
    block[126] = checksum(block, 1, 126);
    expect(readDisplayId(block)).toEqual({ ok: true, timings: [] });
  });
});

it("a timing without pixels has no refresh rate", () => {
  const nothing: EdidBlanking = { frontPorch: 0, syncWidth: 0, blanking: 0, syncPositive: false };
  const timingOf = { width: 0, height: 0, pixelClockKhz: 1, horizontal: nothing, vertical: nothing, interlaced: false };
  expect(refreshOf(timingOf)).toBe(0);
});

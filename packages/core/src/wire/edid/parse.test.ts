/**
 * EDIDs as they come from a host: real ones from QEMU, ours, and bytes of an enemy.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { generateEdid } from "./generate.ts";
import { type Edid, parseEdid } from "./parse.ts";

interface GoldenEdids {
  readonly edids: Readonly<Record<string, string>>;
}

const golden: GoldenEdids = JSON.parse(
  readFileSync(new URL("../../../test/golden/qemu-7.2-edid.json", import.meta.url), "utf8"),
);

function accepted(bytes: Uint8Array): Edid {
  const result = parseEdid(bytes);
  if (!result.ok) throw new Error(result.reason);
  return result.edid;
}

/** Makes the checksum of block `index` right again. */
function mend(bytes: Uint8Array, index: number): Uint8Array {
  const block = bytes.subarray(index * 128, index * 128 + 128);
  block[127] = -block.subarray(0, 127).reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}

const sizes = (timings: readonly { readonly width: number; readonly height: number }[]): string[] =>
  timings.map(({ width, height }) => `${width}x${height}`);

describe("QEMU's own EDIDs", () => {
  it.each(Object.entries(golden.edids))("%s: the preferred timing is the size that QEMU was given", (size, hex) => {
    const edid = accepted(Uint8Array.from(Buffer.from(hex, "hex")));
    expect(edid).toMatchObject({ vendor: "RHT", product: 0x1234, name: "QEMU Monitor", year: 2014, tolerated: [] });
    const { width, height, refreshMilliHz } = edid.preferred ?? { width: 0, height: 0, refreshMilliHz: 0 };
    expect(`${width}x${height}`).toBe(size);
    expect(Math.abs(refreshMilliHz - 75_000)).toBeLessThan(20);
    expect(Math.abs(edid.widthMm - width * 0.254)).toBeLessThan(6);
  });

  it("name the same timings as edid-decode does", () => {
    const edid = accepted(Uint8Array.from(Buffer.from(golden.edids["8192x4320"] ?? "", "hex")));
    expect(sizes(edid.established)).toEqual(
      "640x480 800x600 1024x768 1280x768 1360x768 1400x1050 1792x1344 1856x1392 1920x1440".split(" "),
    );
    expect(sizes(edid.standard)).toEqual(
      "2048x1152 1920x1080 1920x1200 1600x1200 1680x1050 1440x900 1280x1024 1280x960".split(" "),
    );
    expect(edid.video.map(({ vic }) => vic)).toEqual([125, 101, 96, 89, 31, 97]);
    expect(edid.video.map(({ timing }) => timing?.pixelClockKhz)).toEqual([
      742_500, 594_000, 594_000, 185_625, 148_500, 594_000,
    ]);
    expect(edid.detailed).toEqual([]);
    expect(edid.displayId).toEqual([
      {
        width: 8192,
        height: 4320,
        refreshMilliHz: 75_000,
        pixelClockKhz: 3_708_360,
        horizontal: { blanking: 2867, frontPorch: 2048, syncWidth: 245, syncPositive: false },
        vertical: { blanking: 151, frontPorch: 21, syncWidth: 21, syncPositive: false },
        interlaced: false,
      },
    ]);
  });
});

describe("bytes that are no EDID", () => {
  const good = generateEdid({ width: 1920, height: 1080 });

  it.each([
    ["too few of them", good.subarray(0, 127), /127 bytes are less/],
    ["none", new Uint8Array(0), /0 bytes/],
    ["zeros", new Uint8Array(1024), /header/],
    ["another version", mend(good.slice().fill(2, 18, 19), 0), /version 2/],
    ["a flipped bit in the base block", good.slice().fill(0x7f, 60, 61), /checksum/],
  ])("are refused: %s", (_, bytes, reason) => {
    const result = parseEdid(bytes);
    expect(result.ok ? "" : result.reason).toMatch(reason);
  });
});

describe("what is tolerated", () => {
  const large = { width: 8192, height: 4320 };

  it("an extension count beyond the bytes: what is there is read", () => {
    const bytes = generateEdid(large);
    bytes[126] = 255;
    const edid = accepted(mend(bytes, 0));
    expect(edid.preferred).toMatchObject(large);
    expect(edid.tolerated).toEqual(["255 extensions are announced, 2 are there"]);
  });

  it("an extension with a wrong checksum: it is left out, and the base block's timing is preferred", () => {
    const bytes = generateEdid(large);
    bytes[3 * 128 - 3] = 1;
    const edid = accepted(bytes);
    expect(edid.preferred).toMatchObject({ width: 4096 >> 1, height: 1080 });
    expect(edid.tolerated).toEqual(["extension 2 is left out: its checksum is wrong"]);
  });

  it("a DisplayID section that claims to be longer than its block, or whose own checksum is wrong", () => {
    const long = generateEdid(large);
    long[2 * 128 + 2] = 122;
    expect(accepted(mend(long, 2)).tolerated).toEqual(["extension 2: a DisplayID section of 122 bytes"]);
    const wrong = generateEdid(large);
    wrong[2 * 128 + 126] = (wrong[2 * 128 + 126] ?? 0) ^ 1;
    expect(accepted(mend(wrong, 2)).tolerated).toEqual(["extension 2: a DisplayID section's checksum is wrong"]);
  });

  it("an unknown extension, and a data block that ends outside of its collection", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes[128 + 4] = 0x5f;
    expect(accepted(mend(bytes, 1)).tolerated).toEqual([
      "extension 1: the data block at byte 4 ends outside of its collection",
    ]);
    bytes[128] = 0x40;
    expect(accepted(mend(bytes, 1)).tolerated).toEqual(["extension 1: left out: the kind 0x40 is unknown"]);
  });

  it("timings that begin inside the header of their block, or behind its end", () => {
    for (const at of [1, 3, 128, 255]) {
      const bytes = generateEdid({ width: 800, height: 600, modes: [{ width: 801, height: 600 }] });
      bytes[128 + 2] = at;
      expect(accepted(mend(bytes, 1)).tolerated).toEqual([`extension 1: left out: its timings begin at byte ${at}`]);
    }
  });

  it("porches wider than the blanking are cut to it", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    const blanking = bytes[54 + 3] ?? 0;
    bytes[54 + 8] = 0xff;
    expect(accepted(mend(bytes, 0)).preferred?.horizontal).toMatchObject({
      frontPorch: blanking,
      syncWidth: 0,
      blanking,
    });
  });

  it("a detailed timing without a picture is no timing", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes.fill(0, 54 + 2, 54 + 3);
    bytes[54 + 4] = 0;
    const edid = accepted(mend(bytes, 0));
    expect(edid.preferred).toBeNull();
    expect(edid.tolerated).toEqual(["the detailed timing at byte 54 has no picture"]);
  });
});

describe("details of the format", () => {
  it("an interlaced timing has both fields' lines, and fields a second", () => {
    // CTA-861's VIC 5 as a detailed timing: 1920x1080i, 60 fields.
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes.set([0x01, 0x1d, 0x80, 0x18, 0x71, 0x1c, 0x16, 0x20, 0x58, 0x2c, 0x25, 0x00, 0, 0, 0, 0, 0, 0x9e], 54);
    expect(accepted(mend(bytes, 0)).preferred).toEqual({
      width: 1920,
      height: 1080,
      refreshMilliHz: 60_000,
      pixelClockKhz: 74_250,
      horizontal: { frontPorch: 88, syncWidth: 44, blanking: 280, syncPositive: true },
      vertical: { frontPorch: 2, syncWidth: 5, blanking: 22, syncPositive: true },
      interlaced: true,
    });
  });

  it("native short video descriptors have the high bit, up to 64 only", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes.set([8, 0x83, 0x46, 16, 128 + 16, 0, 193, 255, 128], 128 + 2);
    bytes.set([0x46, 16, 128 + 16, 0, 193, 255, 128], 128 + 4);
    bytes[128 + 2] = 11;
    const { video } = accepted(mend(bytes, 1));
    expect(video.map(({ vic, native }) => [vic, native])).toEqual([
      [16, false],
      [16, true],
      [193, false],
    ]);
    expect(video[2]?.timing).toMatchObject({ width: 5120, height: 2160, refreshMilliHz: 120_000 });
  });

  it("before revision 4 the first detailed timing is preferred only where the display says so", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes[19] = 3;
    expect(accepted(mend(bytes, 0)).preferred).toMatchObject({ width: 800 });
    bytes[24] = 4;
    expect(accepted(mend(bytes, 0)).preferred).toBeNull();
  });

  it("standard timings that DMT does not name are computed from their bytes", () => {
    const bytes = generateEdid({ width: 800, height: 600 });
    bytes.set([(2288 >> 3) - 31, 0xc0 | (75 - 60)], 38);
    expect(accepted(mend(bytes, 0)).standard[0]).toMatchObject({ width: 2288, height: 1287, refreshMilliHz: 75_000 });
    bytes.set([(1280 >> 3) - 31, 0x00], 38);
    bytes[19] = 2;
    expect(accepted(mend(bytes, 0)).standard[0]).toMatchObject({ width: 1280, height: 1280, refreshMilliHz: 60_000 });
  });

  it("a detailed timing's millimetres give way where the base block's centimetres contradict them", () => {
    const bytes = generateEdid({ width: 1920, height: 1080, widthMm: 600, heightMm: 340 });
    bytes.set([16, 9, 0], 54 + 12);
    expect(accepted(mend(bytes, 0))).toMatchObject({ widthMm: 600, heightMm: 340 });
  });

  it("names end at a line feed, and what can't be printed is a question mark", () => {
    const bytes = generateEdid({ width: 800, height: 600, name: "abcdefghijklm" });
    const at = bytes.indexOf(0x61, 54);
    bytes[at + 1] = 0xe4;
    bytes[at + 4] = 0x0a;
    expect(accepted(mend(bytes, 0)).name).toBe("a?cd");
  });
});

describe("whatever the bytes", () => {
  /** Bytes that get past the first checks, so that everything behind them is reached. */
  const plausible = fc
    .tuple(
      fc.uint8Array({ minLength: 128, maxLength: 1024 }),
      fc.array(fc.constantFrom(0x02, 0x70, 0xf0, 0x40), { maxLength: 8 }),
      fc.integer({ min: 0, max: 255 }),
    )
    .map(([bytes, tags, extensions]) => {
      bytes.set([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0]);
      bytes.set([1], 18);
      bytes[126] = extensions;
      for (const [index, tag] of tags.entries()) {
        const at = (index + 1) * 128;
        if (at + 128 > bytes.length) break;
        bytes[at] = tag;
        if (tag === 0x70) {
          bytes[at + 2] = Math.min(bytes[at + 2] ?? 0, 121);
          const end = at + 5 + (bytes[at + 2] ?? 0);
          bytes[end] = -bytes.subarray(at + 1, end).reduce((sum, byte) => sum + byte, 0) & 0xff;
        }
        mend(bytes, index + 1);
      }
      return mend(bytes, 0);
    });

  it("nothing throws, and no number is left undefined or not a number", () => {
    fc.assert(
      fc.property(fc.oneof(plausible, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        const before = bytes.slice();
        const result = parseEdid(bytes);
        expect(bytes).toEqual(before);
        if (!result.ok) return;
        const { detailed, established, standard, displayId, video } = result.edid;
        expect(detailed.length + established.length + standard.length + displayId.length + video.length).toBeLessThan(
          bytes.length,
        );
        for (const timing of [...detailed, ...established, ...standard, ...displayId]) {
          expect(timing.width).toBeGreaterThan(0);
          expect(timing.height).toBeGreaterThan(0);
          expect(Number.isInteger(timing.refreshMilliHz)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });
});

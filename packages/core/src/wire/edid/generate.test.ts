/**
 * What is generated is read back the same. Whether the world accepts it: `test/edid-decode.test.ts`.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../../base/errors.ts";
import { type EdidOptions, generateEdid } from "./generate.ts";
import { type Edid, parseEdid } from "./parse.ts";

function roundTrip(options: EdidOptions): Edid {
  const result = parseEdid(generateEdid(options));
  if (!result.ok) throw new Error(result.reason);
  return result.edid;
}

const text = fc.stringMatching(/^[!-~]([ -~]{0,11}[!-~])?$/);
const size = fc.oneof(
  fc.integer({ min: 1, max: 1024 }),
  fc.integer({ min: 32, max: 8192 }),
  fc.integer({ min: 1, max: 16384 }),
);
const mode = fc.record({
  width: size,
  height: size,
  refreshMilliHz: fc.integer({ min: 24, max: 240 }).map((hertz) => hertz * 1000),
});

const options = fc
  .record(
    {
      mode,
      name: text,
      serial: text,
      serialNumber: fc.nat(0xffffffff),
      vendor: fc.stringMatching(/^[A-Z]{3}$/),
      product: fc.nat(0xffff),
      widthMm: fc.integer({ min: 10, max: 2550 }),
      heightMm: fc.integer({ min: 10, max: 2550 }),
      modes: fc.array(mode, { maxLength: 4 }),
    },
    { requiredKeys: ["mode", "widthMm", "heightMm", "modes"] },
  )
  .map(({ mode: preferred, ...rest }): EdidOptions => ({ ...preferred, ...rest }));

describe("an EDID of ours", () => {
  it("says what it was told: identity, size, and every mode at its exact rate", () => {
    fc.assert(
      fc.property(options, (wanted) => {
        const bytes = generateEdid(wanted);
        expect(bytes.length % 128).toBe(0);
        expect(bytes.length).toBeLessThanOrEqual(1024);
        const result = parseEdid(bytes);
        if (!result.ok) throw new Error(result.reason);
        const { edid } = result;
        const { width, height, refreshMilliHz = 60_000 } = wanted;
        expect(edid.preferred).toMatchObject({ width, height, refreshMilliHz, interlaced: false });
        expect(edid).toMatchObject({
          revision: 4,
          vendor: wanted.vendor ?? "VGP",
          product: wanted.product ?? 0x1050,
          serialNumber: wanted.serialNumber ?? 0,
          name: wanted.name ?? "virtgpu",
          serial: wanted.serial ?? null,
          widthMm: wanted.widthMm,
          heightMm: wanted.heightMm,
          digital: true,
          tolerated: [],
        });
        const told = [...edid.detailed, ...edid.displayId, ...edid.established, ...edid.standard];
        for (const other of wanted.modes ?? []) {
          const rate = other.refreshMilliHz ?? 60_000;
          const found = told.some(
            (timing) =>
              timing.width === other.width &&
              timing.height === other.height &&
              Math.abs(timing.refreshMilliHz - rate) < 500,
          );
          expect(found, `${other.width}x${other.height} at ${rate}`).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("comes as near to a rate of broken hertz as a pixel clock in steps of 10 kHz can", () => {
    for (const [width, height] of [
      [640, 480],
      [1366, 768],
      [1920, 1080],
      [7680, 4320],
    ] as const) {
      for (const refreshMilliHz of [23_976, 29_970, 59_940, 143_856]) {
        const { preferred } = roundTrip({ width, height, refreshMilliHz });
        expect(Math.abs((preferred?.refreshMilliHz ?? 0) - refreshMilliHz)).toBeLessThanOrEqual(1);
      }
    }
  });

  it("defaults to 60 Hz, 100 dots per inch and the usual smaller modes, each in two bytes or a bit", () => {
    const bytes = generateEdid({ width: 1920, height: 1080 });
    expect(bytes).toHaveLength(256);
    const edid = roundTrip({ width: 1920, height: 1080 });
    expect(edid).toMatchObject({ widthMm: 488, heightMm: 274, serial: null, serialNumber: 0, name: "virtgpu" });
    expect(edid.preferred?.refreshMilliHz).toBe(60_000);
    const sizes = [...edid.established, ...edid.standard].map(({ width, height }) => `${width}x${height}`);
    expect(sizes.sort()).toEqual(
      "1024x768 1280x1024 1280x720 1280x800 1440x900 1680x1050 640x480 800x600".split(" ").sort(),
    );
    expect(edid.detailed).toHaveLength(1);
  });

  it("has only 640x480 besides its own mode when told so", () => {
    const edid = roundTrip({ width: 1920, height: 1080, modes: [] });
    expect([...edid.established, ...edid.standard, ...edid.video]).toHaveLength(1);
  });

  it("keeps a large mode in DisplayID, and a smaller one of its shape where every reader looks", () => {
    for (const [width, height, refreshMilliHz] of [
      [4096, 2160, 60_000],
      [3840, 2160, 144_000],
      [32, 8192, 60_000],
    ] as const) {
      const edid = roundTrip({ width, height, refreshMilliHz });
      expect(edid.displayId).toHaveLength(1);
      expect(edid.preferred).toMatchObject({ width, height, refreshMilliHz });
      const [first] = edid.detailed;
      expect(first?.refreshMilliHz).toBe(60_000);
      expect(Math.abs((first?.width ?? 0) / (first?.height ?? 1) - width / height)).toBeLessThan(0.01);
    }
  });

  it("fits 34 modes of its own into 1024 bytes, and refuses one more", () => {
    const modes = Array.from({ length: 35 }, (_, index) => ({ width: 1001 + index, height: 700 }));
    expect(generateEdid({ width: 1920, height: 1080, modes: modes.slice(0, 34) })).toHaveLength(1024);
    expect(() => generateEdid({ width: 1920, height: 1080, modes })).toThrow(/more modes/);
    const { detailed, displayId } = roundTrip({ width: 1920, height: 1080, modes: modes.slice(0, 34) });
    expect(detailed.length + displayId.length).toBe(35);
  });
});

describe("options out of their range", () => {
  it.each([
    ["a width of 0", { width: 0, height: 10 }],
    ["a broken height", { width: 10, height: 10.5 }],
    ["a size beyond 16384", { width: 16385, height: 10 }],
    ["a rate of 0", { width: 10, height: 10, refreshMilliHz: 0 }],
    ["a rate that is not a number", { width: 10, height: 10, refreshMilliHz: NaN }],
    ["an empty name", { width: 10, height: 10, name: "" }],
    ["a name of 14 letters", { width: 10, height: 10, name: "abcdefghijklmn" }],
    ["a name beyond ASCII", { width: 10, height: 10, name: "Bildschürm" }],
    ["a name with a space at its end", { width: 10, height: 10, name: "name " }],
    ["a serial with a line feed", { width: 10, height: 10, serial: "a\nb" }],
    ["a vendor of two letters", { width: 10, height: 10, vendor: "AB" }],
    ["a product beyond 16 bits", { width: 10, height: 10, product: 0x10000 }],
    ["a negative serial number", { width: 10, height: 10, serialNumber: -1 }],
    ["a picture of 3 m", { width: 10, height: 10, widthMm: 3000, heightMm: 100 }],
    ["a pixel clock that no field holds", { width: 16384, height: 16384, refreshMilliHz: 1_000_000 }],
    ["a further mode of no size", { width: 10, height: 10, modes: [{ width: 0, height: 0 }] }],
  ])("are EINVAL: %s", (_, wrong) => {
    try {
      generateEdid(wrong);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(GpuError);
      expect(error).toMatchObject({ code: "EINVAL" });
    }
  });
});

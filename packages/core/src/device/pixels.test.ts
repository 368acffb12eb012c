/**
 * Conversion of every format, aligned and not, against the bytes that QEMU was measured to show.
 */
import { describe, expect, it } from "vitest";
import { FORMATS, Format } from "../wire/gpu.ts";
import { framebufferToRgba, intersect, toRgba } from "./pixels.ts";
import { firstDifference, patterned } from "./test-bench.ts";

const PIXEL = Uint8Array.of(0x10, 0x20, 0x30, 0x40);
/** What the bytes 10 20 30 40 are in each format: RGB as measured on QEMU, and alpha. */
const MEASURED: readonly (readonly [number, readonly number[]])[] = [
  [Format.B8G8R8A8, [0x30, 0x20, 0x10, 0x40]],
  [Format.B8G8R8X8, [0x30, 0x20, 0x10, 0xff]],
  [Format.A8R8G8B8, [0x20, 0x30, 0x40, 0x10]],
  [Format.X8R8G8B8, [0x20, 0x30, 0x40, 0xff]],
  [Format.R8G8B8A8, [0x10, 0x20, 0x30, 0x40]],
  [Format.X8B8G8R8, [0x40, 0x30, 0x20, 0xff]],
  [Format.A8B8G8R8, [0x40, 0x30, 0x20, 0x10]],
  [Format.R8G8B8X8, [0x10, 0x20, 0x30, 0xff]],
];

describe("conversion to RGBA", () => {
  it.each(MEASURED)("of format %i is what QEMU shows", (format, rgba) => {
    const source = { bytes: PIXEL, offset: 0, stride: 4, format };
    expect([...toRgba(source, { width: 1, height: 1, alpha: "keep" })]).toEqual(rgba);
    expect([...toRgba(source, { width: 1, height: 1, alpha: "opaque" })]).toEqual([...rgba.slice(0, 3), 0xff]);
  });

  it("is the same byte by byte as by words, with gaps between rows", () => {
    const bytes = patterned(4096, 5);
    for (const format of FORMATS.keys()) {
      for (const alpha of ["keep", "opaque"] as const) {
        const size = { width: 7, height: 5, alpha };
        const aligned = toRgba({ bytes, offset: 8, stride: 64, format }, size);
        const shifted = new Uint8Array(bytes.byteLength + 1);
        shifted.set(bytes, 1);
        const odd = toRgba({ bytes: shifted, offset: 9, stride: 64, format }, size);
        expect(firstDifference(odd, aligned), `format ${format}`).toBe(-1);
      }
    }
    expect(MEASURED.map(([format]) => format)).toEqual([...FORMATS.keys()]);
  });

  it("writes nothing outside the target's rectangle", () => {
    const target = new Uint8Array(10 * 64).fill(0x55);
    const source = { bytes: patterned(4096, 9), offset: 0, stride: 40, format: Format.B8G8R8X8 };
    framebufferToRgba(
      source,
      { bytes: target, offset: 2 * 64 + 8, stride: 64 },
      { width: 3, height: 4, alpha: "keep" },
    );
    const touched = [...target.keys()].filter((at) => target[at] !== 0x55);
    const inside = touched.every((at) => at >> 6 >= 2 && at >> 6 < 6 && at % 64 >= 8 && at % 64 < 20);
    expect(inside).toBe(true);
    expect(touched.length).toBeGreaterThan(40);
  });

  it("is a bug with an unknown format, or rows that are not there", () => {
    const bytes = new Uint8Array(16);
    expect(() => toRgba({ bytes, offset: 0, stride: 8, format: 77 }, { width: 1, height: 1, alpha: "keep" })).toThrow();
    expect(() => toRgba({ bytes, offset: 4, stride: 8, format: 1 }, { width: 2, height: 2, alpha: "keep" })).toThrow();
    expect(toRgba({ bytes, offset: 99, stride: 8, format: 1 }, { width: 0, height: 9, alpha: "keep" }).length).toBe(0);
  });
});

describe("intersection", () => {
  it("is what both share, or null", () => {
    const one = { x: 10, y: 10, width: 20, height: 20 };
    expect(intersect(one, { x: 25, y: 0, width: 20, height: 15 })).toEqual({ x: 25, y: 10, width: 5, height: 5 });
    expect(intersect(one, { x: 30, y: 10, width: 5, height: 5 })).toBeNull();
    expect(intersect(one, { x: 15, y: 15, width: 0, height: 5 })).toBeNull();
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitPicture } from "./fit.ts";

const picture = (
  width: number,
  height: number,
  colour: (x: number, y: number) => number,
): Parameters<typeof fitPicture>[0] => ({
  width,
  height,
  pixels: new Uint8Array(
    Uint32Array.from({ length: width * height }, (_, at) => colour(at % width, Math.floor(at / width))).buffer,
  ),
});
const at = (pixels: Uint8Array, width: number, x: number, y: number): number =>
  new Uint32Array(pixels.buffer)[y * width + x] ?? 0;

describe("a picture on an output", () => {
  it("is in the middle, as it is, where it fits", () => {
    const shown = fitPicture(
      picture(2, 2, (x, y) => 0x100 * x + y + 1),
      6,
      4,
    );
    expect(at(shown, 6, 2, 1)).toBe(1);
    expect(at(shown, 6, 3, 2)).toBe(0x102);
    expect([at(shown, 6, 1, 1), at(shown, 6, 4, 1), at(shown, 6, 2, 0), at(shown, 6, 2, 3)]).toEqual([0, 0, 0, 0]);
  });

  it("is shrunk by means where it does not, with its proportions", () => {
    const shown = fitPicture(
      picture(8, 4, (x) => (x % 2 === 0 ? 0x10 : 0x30)),
      4,
      4,
    );
    expect([at(shown, 4, 0, 0), at(shown, 4, 0, 1), at(shown, 4, 3, 2), at(shown, 4, 0, 3)]).toEqual([
      0, 0x20, 0x20, 0,
    ]);
  });

  it("has the output's size, whatever its own", () => {
    const side = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(side, side, side, side, (width, height, wide, high) => {
        const shown = fitPicture(
          picture(width, height, () => 0x00ffffff),
          wide,
          high,
        );
        expect(shown.byteLength).toBe(wide * high * 4);
        expect(at(shown, wide, (wide - 1) >> 1, (high - 1) >> 1)).toBe(0x00ffffff);
      }),
    );
  });
});

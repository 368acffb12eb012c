/**
 * Pictures of a report, read back by a decoder that is not ours.
 */
import { decode } from "fast-png";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { differencePicture, fitPicture, halved } from "../src/report/pictures.ts";
import { encodePng } from "../src/report/png.ts";

const side = fc.integer({ min: 1, max: 12 });
const picture = (channels: number): fc.Arbitrary<{ width: number; height: number; pixels: Uint8Array }> =>
  fc.tuple(side, side).chain(([width, height]) => {
    const length = width * height * channels;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((pixels) => ({ width, height, pixels }));
  });

describe("a PNG of ours", () => {
  it("is read by another decoder, with and without alpha", () => {
    fc.assert(
      fc.property(picture(3), picture(4), ({ pixels: rgb, ...three }, { pixels: rgba, ...four }) => {
        const opaque = decode(encodePng({ ...three, rgb }), { checkCrc: true });
        expect(opaque).toMatchObject({ ...three, depth: 8, channels: 3 });
        expect(Buffer.from(opaque.data.buffer, opaque.data.byteOffset, opaque.data.byteLength)).toEqual(
          Buffer.from(rgb),
        );
        const clear = decode(encodePng({ ...four, rgba }), { checkCrc: true });
        expect(clear).toMatchObject({ ...four, depth: 8, channels: 4 });
        expect(Buffer.from(clear.data.buffer, clear.data.byteOffset, clear.data.byteLength)).toEqual(Buffer.from(rgba));
      }),
    );
  });

  it("is none for a picture without all its pixels", () => {
    expect(() => encodePng({ width: 2, height: 2, rgb: new Uint8Array(11) })).toThrow("all its pixels");
    expect(() => encodePng({ width: 0, height: 2, rgb: new Uint8Array(0) })).toThrow("all its pixels");
  });
});

describe("a picture of what differs", () => {
  it("highlights what differs, and shows the rest in the dark", () => {
    const before = { width: 2, height: 1, rgba: Uint8Array.of(200, 200, 200, 255, 10, 20, 30, 255) };
    const after = { width: 2, height: 1, rgb: Uint8Array.of(200, 200, 200, 10, 20, 31) };
    const found = differencePicture(before, after);
    expect(found).toEqual({
      picture: { width: 2, height: 1, rgb: Uint8Array.of(50, 50, 50, 255, 64, 160) },
      differingPixels: 1,
    });
  });

  it("counts each pixel in which any channel but alpha differs", () => {
    fc.assert(
      fc.property(picture(4), fc.uint8Array({ minLength: 1, maxLength: 50 }), ({ pixels: rgba, ...size }, places) => {
        const other = rgba.slice();
        const pixels = rgba.length / 4;
        const touched = new Set<number>();
        for (const [index, place] of places.entries()) {
          const at = (place % pixels) * 4;
          other[at + 3] = place;
          if (touched.has(at)) continue;
          other[at + (index % 3)] = 255 - (rgba[at + (index % 3)] ?? 0);
          touched.add(at);
        }
        const found = differencePicture({ ...size, rgba }, { ...size, rgba: other });
        expect(found?.differingPixels).toBe(touched.size);
      }),
    );
  });

  it("is none where the sizes differ", () => {
    const rgb = new Uint8Array(12);
    expect(differencePicture({ width: 2, height: 2, rgb }, { width: 4, height: 1, rgb })).toBeNull();
  });
});

describe("a smaller picture", () => {
  it("has the mean of four pixels in each of its own, and counts an odd last column twice", () => {
    const rgb = Uint8Array.of(0, 0, 0, 100, 100, 100, 7, 8, 9, 50, 50, 50, 50, 50, 50, 9, 10, 11);
    expect(halved({ width: 3, height: 2, rgb })).toEqual({
      width: 2,
      height: 1,
      rgb: Uint8Array.of(50, 50, 50, 8, 9, 10),
    });
  });

  it("is made until it is small enough, and not at all if it is already", () => {
    let state = 1;
    const noise = Uint8Array.from({ length: 512 * 256 * 3 }, () => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      return state >> 16;
    });
    const whole = { width: 512, height: 256, rgb: noise };
    const png = encodePng(whole);
    const same = fitPicture(whole, png, png.length);
    expect(same.png).toBe(png);
    expect(same.scale).toBe(1);
    const small = fitPicture(whole, png, 30_000);
    expect(small.png.length).toBeLessThanOrEqual(30_000);
    expect(decode(small.png)).toMatchObject({ width: 512 / small.scale, height: 256 / small.scale });
    expect(small.scale).toBe(4);
  });
});

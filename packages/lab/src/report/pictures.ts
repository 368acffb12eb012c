/**
 * What is done with pictures for a report: where two differ, and smaller ones for a page that must not grow without bound.
 */
import { encodePng, type Picture, pixelsOf } from "./png.ts";

/** Where pictures differ. */
export interface Difference {
  readonly picture: Picture;
  readonly differingPixels: number;
}

/** What differs is shown in this colour, over the picture from before in dark greys. */
const HIGHLIGHT = [255, 64, 160] as const;

/** Compares two pictures of one size; null where the sizes differ. Alpha does not count: nobody sees it on an output. */
export function differencePicture(before: Picture, after: Picture): Difference | null {
  const { width, height } = before;
  if (width !== after.width || height !== after.height) return null;
  const { pixels: one, channels: oneStep } = pixelsOf(before);
  const { pixels: other, channels: otherStep } = pixelsOf(after);
  const rgb = new Uint8Array(width * height * 3);
  let differingPixels = 0;
  for (let at = 0, from = 0, against = 0; at < rgb.length; at += 3, from += oneStep, against += otherStep) {
    const [red = 0, green = 0, blue = 0] = [one[from], one[from + 1], one[from + 2]];
    if (red === other[against] && green === other[against + 1] && blue === other[against + 2]) {
      // Weights of ITU-R BT.601 in 256ths, at a quarter of the brightness.
      rgb.fill((77 * red + 150 * green + 29 * blue) >> 10, at, at + 3);
    } else {
      differingPixels += 1;
      rgb.set(HIGHLIGHT, at);
    }
  }
  return { picture: { width, height, rgb }, differingPixels };
}

/** Half as wide and half as high: each pixel the mean of four. An odd last row or column counts twice. */
export function halved(picture: Picture): Picture {
  const { pixels, channels } = pixelsOf(picture);
  const [width, height] = [Math.ceil(picture.width / 2), Math.ceil(picture.height / 2)];
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y += 1) {
    const upper = 2 * y * picture.width;
    const lower = Math.min(2 * y + 1, picture.height - 1) * picture.width;
    for (let x = 0; x < width; x += 1) {
      const left = 2 * x;
      const right = Math.min(left + 1, picture.width - 1);
      for (let channel = 0; channel < 3; channel += 1, to += 1) {
        let sum = 2;
        for (const row of [upper, lower]) {
          sum += (pixels[(row + left) * channels + channel] ?? 0) + (pixels[(row + right) * channels + channel] ?? 0);
        }
        rgb[to] = sum >> 2;
      }
    }
  }
  return { width, height, rgb };
}

/** A picture for a page: PNG, and by how much it was made smaller (1: not at all). */
export interface PagePicture {
  readonly png: Uint8Array;
  readonly scale: number;
}

/** The picture as it is, or halved until its file is no larger than `bytesMax` or nothing is left to halve. */
export function fitPicture(picture: Picture, png: Uint8Array, bytesMax: number): PagePicture {
  let fitted: PagePicture = { png, scale: 1 };
  let smaller = picture;
  while (fitted.png.length > bytesMax && Math.min(smaller.width, smaller.height) > 64) {
    smaller = halved(smaller);
    fitted = { png: encodePng(smaller), scale: fitted.scale * 2 };
  }
  return fitted;
}

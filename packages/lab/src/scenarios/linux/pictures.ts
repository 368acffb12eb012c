/**
 * What outputs show, held against what they should: patterns of a seed, whole or in the upper left corner.
 */
import type { Size } from "@virtgpu/linux/agent";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";

/** The agent's picture of a seed: B8G8R8X8, rows without padding. */
export type Pattern = (seed: number, width: number, height: number) => Uint8Array;

/** The picture of a seed, as a screendump has it. */
export function expectedPicture(pattern: Pattern, seed: number, { width, height }: Size): RgbPicture {
  const pixels = pattern(seed, width, height);
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = pixels[from + 2] ?? 0;
    rgb[to + 1] = pixels[from + 1] ?? 0;
    rgb[to + 2] = pixels[from] ?? 0;
  }
  return { width, height, rgb };
}

/** Whether both have the same size and pixels. */
export function isSamePicture(one: RgbPicture, other: RgbPicture): boolean {
  return one.width === other.width && one.height === other.height && Buffer.compare(one.rgb, other.rgb) === 0;
}

/** Whether a screen that is at least as large shows `picture` in its upper left corner. */
export function showsInCorner(screen: RgbPicture, picture: RgbPicture): boolean {
  if (screen.width < picture.width || screen.height < picture.height) return false;
  const rowBytes = picture.width * 3;
  for (let y = 0; y < picture.height; y += 1) {
    const at = y * screen.width * 3;
    const row = picture.rgb.subarray(y * rowBytes, (y + 1) * rowBytes);
    if (Buffer.compare(screen.rgb.subarray(at, at + rowBytes), row) !== 0) return false;
  }
  return true;
}

/** Of `count` numbers from `first`, at most `most`, spread evenly, with the first and the last. */
export function sampleOf(numbers: readonly number[], most: number): readonly number[] {
  if (numbers.length <= most) return numbers;
  const step = (numbers.length - 1) / Math.max(1, most - 1);
  const picked = Array.from({ length: most }, (_, at) => numbers[Math.round(at * step)] ?? 0);
  return [...new Set(picked)];
}

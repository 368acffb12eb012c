/** The pictures of the guest scenes: the same bytes on both sides of the serial port, from a seed alone. */

/**
 * The pattern of a seed: B8G8R8X8 with X = 0, `width * height * 4` bytes, rows without padding. Bands, a diagonal and noise,
 * different in every row and for every seed, so that a shifted, stale or half-copied picture is not the same.
 */
export function pattern(seed: number, width: number, height: number): Uint8Array<ArrayBuffer> {
  const pixels = new Uint32Array(width * height);
  let noise = (Math.imul(seed + 1, 0x9e3779b1) ^ 0x5bd1e995) >>> 0;
  let at = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      noise = (Math.imul(noise, 1664525) + 1013904223) >>> 0;
      const red = (x * 255) / width;
      const green = (y * 255) / height;
      const blue = ((x + y + seed * 37) >> 3) & 1 ? 200 : 40;
      pixels[at] = (((red & 0xf8) | (noise >>> 29)) << 16) | ((green & 0xff) << 8) | blue;
      at += 1;
    }
  }
  return new Uint8Array(pixels.buffer);
}

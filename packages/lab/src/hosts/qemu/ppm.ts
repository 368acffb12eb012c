/**
 * The picture format that QEMU's `screendump` writes: binary PPM ("P6"), 8 bits a channel.
 */
import { GpuError } from "@virtgpu/core/base";

/** A picture: rows from the top, three bytes (red, green, blue) a pixel, no padding. */
export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/**
 * Decodes a P6 file. Throws GpuError EPROTO on anything else. QEMU 7.2 pads each row to four bytes, which the format has
 * no word for: the file's length tells.
 */
export function decodePpm(bytes: Uint8Array): RgbPicture {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  const match = /^P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s/.exec(head);
  if (match === null) throw new GpuError("EPROTO", "the screen dump is not a binary PPM of 8 bits a channel");
  const width = Number(match[1]);
  const height = Number(match[2]);
  const start = match[0].length;
  const rowBytes = width * 3;
  if (bytes.length < start + rowBytes * height) throw new GpuError("EPROTO", "the screen dump is cut short");
  const padded = Math.ceil(rowBytes / 4) * 4;
  const stride = bytes.length === start + padded * height ? padded : rowBytes;
  const rgb = new Uint8Array(rowBytes * height);
  for (let y = 0; y < height; y += 1) {
    rgb.set(bytes.subarray(start + y * stride, start + y * stride + rowBytes), y * rowBytes);
  }
  return { width, height, rgb };
}

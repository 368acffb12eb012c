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

/** Decodes a P6 file. Throws GpuError EPROTO on anything else. */
export function decodePpm(bytes: Uint8Array): RgbPicture {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 64));
  const match = /^P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s/.exec(head);
  if (match === null) throw new GpuError("EPROTO", "the screen dump is not a binary PPM of 8 bits a channel");
  const width = Number(match[1]);
  const height = Number(match[2]);
  const start = match[0].length;
  const byteLength = width * height * 3;
  if (bytes.length < start + byteLength) throw new GpuError("EPROTO", "the screen dump is cut short");
  return { width, height, rgb: new Uint8Array(bytes.subarray(start, start + byteLength)) };
}

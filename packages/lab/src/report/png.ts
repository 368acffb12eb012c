/**
 * Pictures to PNG (ISO/IEC 15948): eight bits a channel, with or without alpha, rows without filters.
 */
import { crc32, deflateSync } from "node:zlib";
import { assert } from "@virtgpu/core/base";

/** A picture, rows from the top without padding: three bytes (red, green, blue) or four (and alpha) a pixel. */
export type Picture =
  | { readonly width: number; readonly height: number; readonly rgb: Uint8Array }
  | { readonly width: number; readonly height: number; readonly rgba: Uint8Array };

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Colour types of IHDR. */
const TRUECOLOUR = 2;
const TRUECOLOUR_ALPHA = 6;

/** The pixels, and how many bytes each takes. */
export function pixelsOf(picture: Picture): { readonly pixels: Uint8Array; readonly channels: 3 | 4 } {
  return "rgb" in picture ? { pixels: picture.rgb, channels: 3 } : { pixels: picture.rgba, channels: 4 };
}

/** Encodes a picture; at least one pixel. `level` is zlib's. */
export function encodePng(picture: Picture, level: number = 3): Uint8Array {
  const { width, height } = picture;
  const { pixels, channels } = pixelsOf(picture);
  assert(width > 0 && height > 0 && pixels.length === width * height * channels, "a picture has all its pixels");
  const rowBytes = width * channels;
  // Each row is led by its filter: 0, none.
  const rows = new Uint8Array(height * (1 + rowBytes));
  for (let y = 0; y < height; y += 1)
    rows.set(pixels.subarray(y * rowBytes, (y + 1) * rowBytes), y * (1 + rowBytes) + 1);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, channels === 3 ? TRUECOLOUR : TRUECOLOUR_ALPHA, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    ...chunk("IHDR", header),
    ...chunk("IDAT", deflateSync(rows, { level })),
    ...chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Length, type, data, and the checksum of the last two. */
function chunk(type: string, data: Uint8Array): readonly Uint8Array[] {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length, 0);
  head.write(type, 4, "latin1");
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(data, crc32(head.subarray(4))), 0);
  return [head, data, tail];
}

/**
 * From the formats of virtio-gpu (VIRTIO 1.2 section 5.7.6.8) to RGBA, as canvases and picture files want it. All
 * formats have four bytes a pixel.
 *
 * Whole pixels are moved as 32-bit words where source and target are aligned to them, else byte by byte.
 */
import { assert } from "../base/assert.ts";
import { BYTES_PER_PIXEL, FORMATS, type FormatChannels, Format } from "../wire/gpu.ts";

/** A rectangle, in pixels. */
export interface PixelRect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Bytes that can be written: RGBA for a canvas is a `Uint8ClampedArray`. */
export type ByteArray = Uint8Array | Uint8ClampedArray;

/** Where the pixels of a picture lie. */
export interface PixelSource {
  readonly bytes: ByteArray;
  /** Byte offset of the first pixel. */
  readonly offset: number;
  /** Bytes from row to row. */
  readonly stride: number;
  /** A Format. */
  readonly format: number;
}

/** Where RGBA goes. */
export interface RgbaTarget {
  readonly bytes: ByteArray;
  /** Byte offset of the first pixel. */
  readonly offset: number;
  /** Bytes from row to row. */
  readonly stride: number;
}

/** How many pixels, and what becomes of alpha. */
export interface ConversionSize {
  readonly width: number;
  readonly height: number;
  /** "opaque": 255 for every pixel, as on a screen. "keep": the format's own, 255 where it has none. */
  readonly alpha: "opaque" | "keep";
}

/**
 * Converts a picture to RGBA. Source and target must hold all rows (a bug otherwise), the format must be known. Source and
 * target may be the same bytes.
 */
export function framebufferToRgba(source: PixelSource, target: RgbaTarget, size: ConversionSize): void {
  const channels = FORMATS.get(source.format);
  assert(channels !== undefined, `format ${source.format} is not known`);
  const { width, height } = size;
  if (width === 0 || height === 0) return;
  const rowBytes = width * BYTES_PER_PIXEL;
  assert(
    source.offset + source.stride * (height - 1) + rowBytes <= source.bytes.byteLength &&
      target.offset + target.stride * (height - 1) + rowBytes <= target.bytes.byteLength,
    `${width} x ${height} pixels lie within source and target`,
  );
  const opaque = size.alpha === "opaque" || channels.alpha < 0;
  if (!isAligned(source) || !isAligned(target)) {
    convertBytes(source, target, width, height, channels, opaque);
    return;
  }
  const from = words(source.bytes);
  const to = words(target.bytes);
  for (let row = 0; row < height; row += 1) {
    const at = (source.offset + row * source.stride) >>> 2;
    const out = (target.offset + row * target.stride) >>> 2;
    if (source.format === Format.B8G8R8A8 || source.format === Format.B8G8R8X8) {
      if (opaque) bgrxRow(from, at, to, out, width);
      else bgraRow(from, at, to, out, width);
    } else convertRow(from, at, to, out, width, channels, opaque);
  }
}

/** The same picture, `width` x `height`, as RGBA of its own. */
export function toRgba(source: PixelSource, size: ConversionSize): Uint8Array {
  const stride = size.width * BYTES_PER_PIXEL;
  const bytes = new Uint8Array(stride * size.height);
  framebufferToRgba(source, { bytes, offset: 0, stride }, size);
  return bytes;
}

/** What both rectangles share; null when that is nothing. */
export function intersect(one: PixelRect, other: PixelRect): PixelRect | null {
  const x = Math.max(one.x, other.x);
  const y = Math.max(one.y, other.y);
  const width = Math.min(one.x + one.width, other.x + other.width) - x;
  const height = Math.min(one.y + one.height, other.y + other.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

function isAligned({ bytes, offset, stride }: RgbaTarget): boolean {
  return (bytes.byteOffset + offset) % 4 === 0 && stride % 4 === 0 && bytes.byteOffset % 4 === 0;
}

function words(bytes: ByteArray): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
}

function bgrxRow(from: Uint32Array, at: number, to: Uint32Array, out: number, width: number): void {
  for (let index = 0; index < width; index += 1) {
    const pixel = from[at + index] ?? 0;
    to[out + index] = 0xff00_0000 | (pixel & 0xff00) | ((pixel & 0xff) << 16) | ((pixel >>> 16) & 0xff);
  }
}

function bgraRow(from: Uint32Array, at: number, to: Uint32Array, out: number, width: number): void {
  for (let index = 0; index < width; index += 1) {
    const pixel = from[at + index] ?? 0;
    to[out + index] = (pixel & 0xff00_ff00) | ((pixel & 0xff) << 16) | ((pixel >>> 16) & 0xff);
  }
}

function convertRow(
  from: Uint32Array,
  at: number,
  to: Uint32Array,
  out: number,
  width: number,
  channels: FormatChannels,
  opaque: boolean,
): void {
  const red = channels.red * 8;
  const green = channels.green * 8;
  const blue = channels.blue * 8;
  const alpha = opaque ? 0 : channels.alpha * 8;
  const fill = opaque ? 0xff : 0;
  for (let index = 0; index < width; index += 1) {
    const pixel = from[at + index] ?? 0;
    const rgb = ((pixel >>> red) & 0xff) | (((pixel >>> green) & 0xff) << 8) | (((pixel >>> blue) & 0xff) << 16);
    to[out + index] = rgb | ((((pixel >>> alpha) & 0xff) | fill) << 24);
  }
}

function convertBytes(
  source: PixelSource,
  target: RgbaTarget,
  width: number,
  height: number,
  channels: FormatChannels,
  opaque: boolean,
): void {
  const from = source.bytes;
  const to = target.bytes;
  for (let row = 0; row < height; row += 1) {
    let at = source.offset + row * source.stride;
    let out = target.offset + row * target.stride;
    for (let index = 0; index < width; index += 1, at += BYTES_PER_PIXEL, out += BYTES_PER_PIXEL) {
      const red = from[at + channels.red] ?? 0;
      const green = from[at + channels.green] ?? 0;
      const blue = from[at + channels.blue] ?? 0;
      const alpha = opaque ? 0xff : (from[at + channels.alpha] ?? 0);
      to[out] = red;
      to[out + 1] = green;
      to[out + 2] = blue;
      to[out + 3] = alpha;
    }
  }
}

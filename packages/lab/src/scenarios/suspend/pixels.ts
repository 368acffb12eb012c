/** Pixels of the suite's buffers, and how they differ from what a host shows. */
import { FORMATS } from "@virtgpu/core/wire";
import type { Rect } from "@virtgpu/core/driver";
import type { HostPicture } from "../../hosts/machine.ts";
import type { TestedBuffer } from "./driver.ts";
import { must } from "./subject.ts";

/** Bytes that differ by seed, place and row; alpha wherever it may lie is anything. */
export function pattern(byteLength: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  for (let index = 0; index < byteLength; index += 1) bytes[index] = (index * 7 + (index >> 8) * 3 + seed * 41) & 0xff;
  return bytes;
}

/** A cursor's bytes, B8G8R8A8: each pixel is opaque, or nothing at all, so that a host with masks can show it too. */
export function cursorPattern(byteLength: number, seed: number): Uint8Array {
  const bytes = pattern(byteLength, seed);
  for (let at = 0; at < byteLength; at += 4) {
    if (((at >> 2) + (at >> 8) + seed) % 3 === 0) bytes.fill(0, at, at + 4);
    else bytes[at + 3] = 0xff;
  }
  return bytes;
}

/** A part of a buffer with these bytes, as an output shows it: red, green, blue, opaque. */
export function shownPicture(buffer: TestedBuffer, bytes: Uint8Array, rect: Rect): HostPicture {
  const { format, stride, offset } = buffer.shape;
  const channels = FORMATS.get(format);
  must(channels !== undefined, `format ${format} is unknown`);
  const { red, green, blue } = channels;
  const rgba = new Uint8Array(rect.width * rect.height * 4);
  for (let y = 0, to = 0; y < rect.height; y += 1) {
    let from = offset + (rect.y + y) * stride + rect.x * 4;
    for (let x = 0; x < rect.width; x += 1, from += 4, to += 4) {
      rgba[to] = bytes[from + red] ?? 0;
      rgba[to + 1] = bytes[from + green] ?? 0;
      rgba[to + 2] = bytes[from + blue] ?? 0;
      rgba[to + 3] = 0xff;
    }
  }
  return { width: rect.width, height: rect.height, rgba };
}

/** A cursor's bytes, B8G8R8A8, as red, green, blue, alpha. */
export function cursorPicture(bytes: Uint8Array): Uint8Array {
  const rgba = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 4) {
    rgba[at] = bytes[at + 2] ?? 0;
    rgba[at + 1] = bytes[at + 1] ?? 0;
    rgba[at + 2] = bytes[at] ?? 0;
    rgba[at + 3] = bytes[at + 3] ?? 0;
  }
  return rgba;
}

/** How a picture differs from the one that is wanted; null when it does not. */
export function pictureDifference(seen: HostPicture | null, wanted: HostPicture): string | null {
  if (seen === null) return "it is dark";
  if (seen.width !== wanted.width || seen.height !== wanted.height) {
    return `it is ${seen.width}x${seen.height} pixels instead of ${wanted.width}x${wanted.height}`;
  }
  const count = differentPixels(seen.rgba, wanted.rgba);
  return count === 0 ? null : `${count} of ${wanted.width * wanted.height} pixels are wrong`;
}

/** How many units of four bytes differ. */
export function differentPixels(seen: Uint8Array, wanted: Uint8Array): number {
  if (Buffer.compare(seen, wanted) === 0) return 0;
  let count = 0;
  for (let at = 0; at < Math.max(seen.length, wanted.length); at += 4) {
    if ([0, 1, 2, 3].some((byte) => seen[at + byte] !== wanted[at + byte])) count += 1;
  }
  return count;
}

/**
 * The picture of the second GPU of a pair: that of the first with red and green in each other's place. So a GPU that shows
 * what belongs to the other is found out, and a transparent pixel stays one.
 */
import { FORMATS, type Format } from "@virtgpu/core/wire";
import type { HostPicture } from "../../hosts/machine.ts";
import { must } from "./subject.ts";

const PIXEL_BYTES = 4;

/** Bytes of a buffer of this format, from a whole pixel on; twice is the same again. */
export function mirroredBytes(bytes: Uint8Array, format: Format): Uint8Array {
  const channels = FORMATS.get(format);
  must(channels !== undefined, `format ${format} is unknown`);
  return exchanged(bytes, channels.red, channels.green);
}

/** A picture, or a cursor: red, green, blue, alpha. */
export function mirroredPicture<T extends HostPicture>(picture: T): T {
  return { ...picture, rgba: exchanged(picture.rgba, 0, 1) };
}

function exchanged(bytes: Uint8Array, one: number, other: number): Uint8Array {
  const result = bytes.slice();
  for (let at = 0; at + PIXEL_BYTES <= bytes.length; at += PIXEL_BYTES) {
    result[at + one] = bytes[at + other] ?? 0;
    result[at + other] = bytes[at + one] ?? 0;
  }
  return result;
}

/**
 * Plain data as bytes: what the device's saved state is in v86's saved state, in a file, in IndexedDB.
 *
 * Format, all numbers little endian: "VGPU" (4 bytes), version (u32), length of the text (u32), the text (UTF-8, JSON),
 * then the contents of its byte arrays, one after the other. In the text a byte array stands as `{"$bytes": [start,
 * length]}`, counted from the end of the text.
 */
import { GpuError } from "@virtgpu/core/base";

const MAGIC = 0x5550_4756;
const VERSION = 1;
const HEAD_BYTES = 12;
const MARK = "$bytes";

/** Numbers, strings, booleans, null, lists, records and Uint8Array: nothing else. */
export function packState(state: unknown): Uint8Array {
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  const text = JSON.stringify(state, (_key, value: unknown) => {
    if (!(value instanceof Uint8Array)) return value;
    const place = [byteLength, value.byteLength];
    parts.push(value);
    byteLength += value.byteLength;
    return { [MARK]: place };
  });
  const textBytes = new TextEncoder().encode(text);
  const packed = new Uint8Array(HEAD_BYTES + textBytes.byteLength + byteLength);
  const head = new DataView(packed.buffer);
  head.setUint32(0, MAGIC, true);
  head.setUint32(4, VERSION, true);
  head.setUint32(8, textBytes.byteLength, true);
  packed.set(textBytes, HEAD_BYTES);
  let at = HEAD_BYTES + textBytes.byteLength;
  for (const part of parts) {
    packed.set(part, at);
    at += part.byteLength;
  }
  return packed;
}

/** The other way; its byte arrays are copies. Throws GpuError EINVAL for bytes that {@link packState} did not make. */
export function unpackState(packed: Uint8Array): unknown {
  const { buffer, byteOffset, byteLength } = packed;
  if (byteLength < HEAD_BYTES) throw wrong("they are too short");
  const head = new DataView(buffer, byteOffset, byteLength);
  if (head.getUint32(0, true) !== MAGIC) throw wrong("they do not begin as one");
  const version = head.getUint32(4, true);
  if (version !== VERSION) throw wrong(`version ${version} is not known`);
  const start = HEAD_BYTES + head.getUint32(8, true);
  if (start > byteLength) throw wrong("they end too early");
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(packed.subarray(HEAD_BYTES, start));
    const contents = packed.subarray(start);
    // No byte belongs to two arrays, so a short text can't ask for more than came with it.
    let left = contents.byteLength;
    const state: unknown = JSON.parse(text, (_key, value: unknown) => {
      const revived = revive(value, contents);
      if (revived instanceof Uint8Array) left -= revived.byteLength;
      if (left < 0) throw wrong("byte arrays overlap");
      return revived;
    });
    return state;
  } catch (error) {
    if (error instanceof GpuError) throw error;
    throw wrong("their text can't be read", error);
  }
}

function revive(value: unknown, contents: Uint8Array): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, MARK)) return value;
  const place: unknown = Reflect.get(value, MARK);
  if (!Array.isArray(place)) throw wrong("a byte array has no place");
  const [start, length]: unknown[] = place;
  const isPlace =
    typeof start === "number" &&
    typeof length === "number" &&
    Number.isInteger(start) &&
    Number.isInteger(length) &&
    start >= 0 &&
    length >= 0 &&
    start + length <= contents.byteLength;
  if (!isPlace) throw wrong("a byte array lies outside of them");
  return contents.slice(start, start + length);
}

function wrong(why: string, cause?: unknown): GpuError {
  return new GpuError("EINVAL", `these bytes are not a saved state of the GPU: ${why}`, { cause });
}

/**
 * The image's first 512 bytes. Everything in them is checked; the mark is apart, since it alone changes later.
 */
import { crc32 } from "node:zlib";
import { GpuError } from "@virtgpu/core/base";
import { damaged, truncated } from "./errors.ts";
import {
  DIRECTORY_BYTES_MAX,
  FieldReader,
  FieldWriter,
  HEADER_BYTES,
  isChunkBytes,
  isEqual,
  isUuid,
  MAGIC,
  MARK_BYTES,
  MARK_FRESH,
  MARK_OFFSET,
  MARK_USED,
  PAGE_BYTES,
  RAM_BYTES_MAX,
  SECTIONS_MAX,
  uuidBytes,
  uuidText,
  VERSION,
} from "./layout.ts";
import type { ImageIdentity, ImageMark } from "./types.ts";

/** The header's fields. */
export interface HeaderFields {
  readonly id: string;
  readonly identity: ImageIdentity;
  readonly writtenAtMs: number;
  readonly ramBytes: number;
  readonly chunkBytes: number;
  readonly directoryOffset: number;
  readonly directoryBytes: number;
  /** Streams in the directory: the sections, and RAM. */
  readonly streams: number;
}

const CHECKSUM_OFFSET: number = HEADER_BYTES - 4;
const FIELDS_END = 104;

/** The header of a fresh image. */
export function encodeHeader(fields: HeaderFields): Uint8Array {
  const { id, identity, writtenAtMs, ramBytes, chunkBytes, directoryOffset, directoryBytes, streams } = fields;
  const { bytes } = new FieldWriter(HEADER_BYTES)
    .put(MAGIC)
    .put(MARK_FRESH)
    .u32(VERSION)
    .u32(HEADER_BYTES)
    .put(uuidBytes(id))
    .put(uuidBytes(identity.machine))
    .u64(identity.generation)
    .u64(writtenAtMs)
    .u64(ramBytes)
    .u64(directoryOffset)
    .u32(directoryBytes)
    .u32(streams)
    .u32(chunkBytes)
    .u32(PAGE_BYTES);
  bytes.writeUInt32LE(headerChecksum(bytes), CHECKSUM_OFFSET);
  return bytes;
}

/** Of all but the mark and itself. */
function headerChecksum(bytes: Uint8Array): number {
  return crc32(bytes.subarray(MARK_OFFSET + MARK_BYTES, CHECKSUM_OFFSET), crc32(bytes.subarray(0, MARK_OFFSET)));
}

/** Checks a header as it was read from a file of `fileBytes`. */
export function decodeHeader(bytes: Uint8Array, fileBytes: number, path: string): HeaderFields {
  if (bytes.length < MAGIC.length || !isEqual(bytes.subarray(0, MAGIC.length), MAGIC)) {
    throw new GpuError("EINVAL", "this is no hibernation image of virtgpu", { object: path });
  }
  if (bytes.length < HEADER_BYTES) throw truncated(path, `it has ${bytes.length} bytes, its header alone has more`);
  const fields = new FieldReader(bytes.subarray(MARK_OFFSET + MARK_BYTES));
  const version = fields.u32();
  if (version !== VERSION) {
    throw new GpuError("ENOTSUP", `the image has format version ${version}, this program reads ${VERSION}`, {
      object: path,
    });
  }
  const checksum = new FieldReader(bytes.subarray(CHECKSUM_OFFSET)).u32();
  if (checksum !== headerChecksum(bytes)) throw damaged(path, "its header's checksum is wrong");
  const headerBytes = fields.u32();
  const id = uuidText(fields.take(16));
  const machine = uuidText(fields.take(16));
  const generation = fields.u64();
  const writtenAtMs = fields.u64();
  const ramBytes = fields.u64();
  const directoryOffset = fields.u64();
  const directoryBytes = fields.u32();
  const streams = fields.u32();
  const chunkBytes = fields.u32();
  const pageBytes = fields.u32();
  const sound: Readonly<Record<string, boolean>> = {
    "header size": headerBytes === HEADER_BYTES,
    generation: generation >= 0,
    "time of writing": writtenAtMs >= 0,
    "RAM size": isRamBytes(ramBytes),
    "chunk size": isChunkBytes(chunkBytes),
    "page size": pageBytes === PAGE_BYTES,
    "number of sections": streams >= 1 && streams <= SECTIONS_MAX + 1,
    "directory offset": directoryOffset >= HEADER_BYTES,
    "directory size": directoryBytes <= DIRECTORY_BYTES_MAX,
    "reserved space": bytes.subarray(FIELDS_END, CHECKSUM_OFFSET).every((byte) => byte === 0),
  };
  for (const [what, isSound] of Object.entries(sound)) {
    if (!isSound) throw damaged(path, `its ${what} is impossible`);
  }
  const end = directoryOffset + directoryBytes;
  if (fileBytes < end) throw truncated(path, `${fileBytes} bytes are left of ${end}`);
  if (fileBytes > end) throw damaged(path, `${fileBytes - end} bytes follow its end`);
  const identity = { machine, generation };
  return { id, identity, writtenAtMs, ramBytes, chunkBytes, directoryOffset, directoryBytes, streams };
}

/** Whether an image can hold RAM of this size. */
export function isRamBytes(value: number): boolean {
  return value >= 0 && value <= RAM_BYTES_MAX && value % PAGE_BYTES === 0;
}

/** Reads the mark. One that is between its two values was being changed when power was lost. */
export function decodeMark(bytes: Uint8Array, path: string): ImageMark {
  const mark = bytes.subarray(0, MARK_BYTES);
  if (isEqual(mark, MARK_FRESH)) return "fresh";
  if (isEqual(mark, MARK_USED)) return "used";
  if (mark.every((byte, index) => byte === MARK_FRESH[index] || byte === MARK_USED[index])) {
    throw new GpuError("ESTALE", "the image was being marked as used when power was lost; it can't be trusted", {
      object: path,
    });
  }
  throw damaged(path, "its mark is neither that of a fresh nor that of a used one");
}

/** Refuses what the header can't say, before anything is written. */
export function checkIdentity({ machine, generation }: ImageIdentity): void {
  if (!isUuid(machine)) throw new GpuError("EINVAL", `a machine's identity is a UUID in lower case, not "${machine}"`);
  if (!Number.isSafeInteger(generation) || generation < 0) {
    throw new GpuError("EINVAL", `the generation ${generation} is no whole number from 0 to 2^53 - 1`);
  }
}

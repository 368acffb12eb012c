/**
 * A record: one chunk of a section or of RAM, with a header that says what it is and how it was packed. Of a RAM chunk
 * only the pages that are not zero are in it, one after the other; a bitmap tells which.
 */
import { crc32 } from "node:zlib";
import { CODECS } from "./codec.ts";
import { bitmapBytes, FieldReader, FieldWriter, PAGE_BYTES, RECORD_BYTES } from "./layout.ts";
import type { ImageCodec } from "./types.ts";

/** A record's header. */
export interface RecordHeader {
  /** Which stream of the directory it belongs to. */
  readonly stream: number;
  /** Which chunk of that stream it is. */
  readonly index: number;
  /** Bytes unpacked, and as stored. */
  readonly dataBytes: number;
  readonly storedBytes: number;
  readonly codec: ImageCodec;
  /** crc32 of the stored bytes. */
  readonly checksum: number;
  /** Bit `n % 8` of byte `n >> 3`: page `n` of the chunk is in the record. Null in a section. */
  readonly bitmap: Uint8Array | null;
}

const HEADER_CHECKSUM_OFFSET = 28;

export function encodeRecordHeader(header: RecordHeader, seed: number): Uint8Array {
  const { stream, index, dataBytes, storedBytes, codec, checksum, bitmap } = header;
  const { bytes } = new FieldWriter(RECORD_BYTES + (bitmap?.length ?? 0))
    .u32(stream)
    .u32(index)
    .u32(dataBytes)
    .u32(storedBytes)
    .u32(CODECS.indexOf(codec))
    .u32(checksum)
    .u32(0)
    .u32(0)
    .put(bitmap ?? new Uint8Array(0));
  bytes.writeUInt32LE(recordChecksum(bytes, seed), HEADER_CHECKSUM_OFFSET);
  return bytes;
}

/** Of all but itself. */
function recordChecksum(bytes: Uint8Array, seed: number): number {
  return crc32(bytes.subarray(RECORD_BYTES), crc32(bytes.subarray(0, HEADER_CHECKSUM_OFFSET), seed));
}

/** What a reader knows of the record that comes next. */
export interface ExpectedRecord {
  readonly stream: number;
  /** The least index it may have. */
  readonly indexMin: number;
  /** Unpacked bytes of the whole stream, and of a chunk. */
  readonly byteLength: number;
  readonly chunkBytes: number;
  readonly isRam: boolean;
  readonly seed: number;
  /** Bytes of the stream behind this header. */
  readonly left: number;
}

/** The header, or what is wrong with it. Nothing in it is larger afterwards than a chunk or the stream allows. */
export function decodeRecordHeader(bytes: Uint8Array, expected: ExpectedRecord): RecordHeader | string {
  const reader = new FieldReader(bytes);
  const stream = reader.u32();
  const index = reader.u32();
  const dataBytes = reader.u32();
  const storedBytes = reader.u32();
  const codec = CODECS[reader.u32()];
  const checksum = reader.u32();
  const reserved = reader.u32();
  if (reader.u32() !== recordChecksum(bytes, expected.seed)) return "a chunk's header has a wrong checksum";
  const { chunkBytes, byteLength, isRam, indexMin, left } = expected;
  if (stream !== expected.stream) return "a chunk is in the wrong place";
  if (isRam ? index < indexMin : index !== indexMin) return "its chunks are out of order";
  if (codec === undefined) return "a chunk is packed in a way that this program does not know";
  if (reserved !== 0) return "a reserved field of a chunk is used";
  const room = Math.min(chunkBytes, byteLength - index * chunkBytes);
  if (room <= 0) return "a chunk lies behind the end of what it is a part of";
  const bitmap = isRam ? reader.take(bitmapBytes(chunkBytes)).slice() : null;
  const needed = bitmap === null ? room : pagesIn(bitmap, room / PAGE_BYTES) * PAGE_BYTES;
  if (needed !== dataBytes || dataBytes === 0) return "a chunk has not the size that it should have";
  const isShrunk = codec === "raw" ? storedBytes === dataBytes : storedBytes > 0 && storedBytes < dataBytes;
  if (!isShrunk || storedBytes > left) return "a chunk takes an impossible number of bytes";
  return { stream, index, dataBytes, storedBytes, codec, checksum, bitmap };
}

/** Pages that the bitmap tells of; NaN where there are some behind `pagesMax`. */
function pagesIn(bitmap: Uint8Array, pagesMax: number): number {
  let pages = 0;
  for (let index = 0; index < bitmap.length; index += 1) {
    const byte = bitmap[index] ?? 0;
    if (byte >> Math.min(8, Math.max(0, pagesMax - index * 8)) !== 0) return Number.NaN;
    pages += BITS_OF[byte] ?? 0;
  }
  return pages;
}

/** How many bits of a byte are set. */
const BITS_OF: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);
const ALL = 0xff;

const hasPage = (bitmap: Uint8Array, page: number): boolean => (((bitmap[page >> 3] ?? 0) >> (page & 7)) & 1) === 1;

/** Pages of a chunk that follow each other: from page `first` on, `count` of them, with `before` pages in the record before. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
  readonly before: number;
}

/** The runs that a bitmap tells of, upwards. */
export function pageRuns(bitmap: Uint8Array): readonly PageRun[] {
  const runs: PageRun[] = [];
  let before = 0;
  let page = 0;
  while (page < bitmap.length * 8) {
    const first = page;
    page = endOfRun(bitmap, page);
    if (page > first) runs.push({ first, count: page - first, before });
    before += page - first;
    page += 1;
  }
  return runs;
}

/** The first page from `page` on that is not there; most chunks have all of theirs, so bytes are looked at before bits. */
function endOfRun(bitmap: Uint8Array, page: number): number {
  let end = page;
  while (end < bitmap.length * 8) {
    if ((end & 7) === 0 && bitmap[end >> 3] === ALL) end += 8;
    else if (hasPage(bitmap, end)) end += 1;
    else break;
  }
  return end;
}

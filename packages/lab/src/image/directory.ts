/**
 * The image's directory, behind all data: where each section and RAM lie. They follow each other from the header to the
 * directory without gap or overlap, so a directory that says anything else is refused.
 */
import { crc32 } from "node:zlib";
import { damaged } from "./errors.ts";
import type { HeaderFields } from "./header.ts";
import {
  bitmapBytes,
  checksumSeed,
  FieldReader,
  FieldWriter,
  HEADER_BYTES,
  isSectionName,
  RECORD_BYTES,
} from "./layout.ts";
import type { ImageStream } from "./types.ts";

/** A stream with its place in the file. */
export interface StreamEntry extends ImageStream {
  readonly offset: number;
  /** crc32 over the headers of its records, in order. */
  readonly checksum: number;
}

/** RAM's name in the directory. */
export const RAM_NAME = "";

const ENTRY_BYTES = 48;

/** Sections first, RAM last. */
export function encodeDirectory(streams: readonly StreamEntry[], id: string): Uint8Array {
  const entries = streams.map((stream) => {
    const name = Buffer.from(stream.name, "latin1");
    const { offset, byteLength, dataBytes, storedBytes, chunks, checksum } = stream;
    return new FieldWriter(ENTRY_BYTES + name.length)
      .u64(offset)
      .u64(byteLength)
      .u64(dataBytes)
      .u64(storedBytes)
      .u32(chunks)
      .u32(checksum)
      .u32(name.length)
      .u32(0)
      .put(name).bytes;
  });
  const bytes = Buffer.concat(entries);
  return Buffer.concat([bytes, new FieldWriter(4).u32(crc32(bytes, checksumSeed(id))).bytes]);
}

/** Checks a directory as it was read from the file. */
export function decodeDirectory(bytes: Uint8Array, header: HeaderFields, path: string): readonly StreamEntry[] {
  const body = bytes.subarray(0, Math.max(0, bytes.length - 4));
  if (bytes.length < 4 || new FieldReader(bytes.subarray(-4)).u32() !== crc32(body, checksumSeed(header.id))) {
    throw damaged(path, "its directory's checksum is wrong");
  }
  const reader = new FieldReader(body);
  const streams: StreamEntry[] = [];
  const names = new Set<string>();
  let end = HEADER_BYTES;
  for (let index = 0; index < header.streams; index += 1) {
    const isRam = index === header.streams - 1;
    const stream = decodeEntry(reader, path);
    if (isRam ? stream.name !== RAM_NAME : !isSectionName(stream.name)) {
      throw damaged(path, isRam ? "its directory does not end with RAM" : "a section has no proper name");
    }
    if (names.has(stream.name)) throw damaged(path, `it has two sections "${stream.name}"`);
    names.add(stream.name);
    if (stream.offset !== end) throw damaged(path, `${titleOf(stream)} is not where the one before it ends`);
    if (!isPlausible(stream, isRam, header)) throw damaged(path, `${titleOf(stream)} has an impossible size`);
    end += stream.storedBytes;
    streams.push(stream);
  }
  if (reader.left !== 0) throw damaged(path, "its directory is longer than its entries");
  if (end !== header.directoryOffset) throw damaged(path, "its directory does not begin where its data end");
  return streams;
}

/** For messages. */
export const titleOf = ({ name }: ImageStream): string => (name === RAM_NAME ? "its RAM" : `its section "${name}"`);

function decodeEntry(reader: FieldReader, path: string): StreamEntry {
  if (reader.left < ENTRY_BYTES) throw damaged(path, "its directory is shorter than its entries");
  const offset = reader.u64();
  const byteLength = reader.u64();
  const dataBytes = reader.u64();
  const storedBytes = reader.u64();
  const chunks = reader.u32();
  const checksum = reader.u32();
  const nameBytes = reader.u32();
  const reserved = reader.u32();
  if (reserved !== 0) throw damaged(path, "a reserved field of its directory is used");
  if (nameBytes > reader.left) throw damaged(path, "its directory is shorter than its entries");
  const name = Buffer.from(reader.take(nameBytes)).toString("latin1");
  return { name, byteLength, dataBytes, storedBytes, chunks, offset, checksum };
}

/** Whether the sizes of a stream agree with each other: every chunk has a header and at least a byte, and none grows. */
function isPlausible(stream: StreamEntry, isRam: boolean, { ramBytes, chunkBytes }: HeaderFields): boolean {
  const { byteLength, dataBytes, storedBytes, chunks } = stream;
  const headers = chunks * (RECORD_BYTES + (isRam ? bitmapBytes(chunkBytes) : 0));
  const chunksMax = Math.ceil(byteLength / chunkBytes);
  return (
    byteLength >= 0 &&
    (isRam ? byteLength === ramBytes && dataBytes <= byteLength : dataBytes === byteLength) &&
    (isRam ? chunks <= chunksMax : chunks === chunksMax) &&
    dataBytes <= chunks * chunkBytes &&
    storedBytes >= headers + chunks &&
    storedBytes <= headers + dataBytes
  );
}

/**
 * Streams out of a file, record by record: while one chunk is unpacked and used, the next one is read. Holds two chunks
 * and what unpacking takes, whatever the file says; hands out nothing whose checksums are not right.
 */
import { crc32 } from "node:zlib";
import { unpack } from "./codec.ts";
import { type StreamEntry, titleOf } from "./directory.ts";
import { damaged, truncated, withFileErrors } from "./errors.ts";
import type { ImageFile } from "./files.ts";
import { bitmapBytes, RECORD_BYTES } from "./layout.ts";
import { decodeRecordHeader, type RecordHeader } from "./record.ts";

/** A chunk, unpacked. `data` is used again when the next one is asked for. */
export interface ReadRecord {
  readonly header: RecordHeader;
  readonly data: Uint8Array;
}

/** What there is to read. */
export interface RecordReaderOptions {
  readonly path: string;
  readonly stream: StreamEntry;
  /** Its place in the directory. */
  readonly number: number;
  readonly isRam: boolean;
  readonly chunkBytes: number;
  /** What all checksums begin with. */
  readonly seed: number;
}

/** All records of a stream. Throws GpuError EINVAL at the first that is not as it must be, EIO where the file can't be read. */
export async function* readRecords(file: ImageFile, options: RecordReaderOptions): AsyncGenerator<ReadRecord, void> {
  const cursor = new Cursor(file, options);
  let reading = cursor.start();
  try {
    for (;;) {
      const read = await reading;
      if (read === null) break;
      // Asked for before this one is used, into the other buffer.
      reading = cursor.next(read);
      // It is awaited above; until then a failure is nobody's unhandled one.
      reading.catch(() => {});
      yield { header: read.header, data: await cursor.unpacked(read) };
    }
    cursor.finish();
  } finally {
    await reading.catch(() => {});
  }
}

/** A record as stored, and behind it the bytes of the next one's header, if there is one. */
interface StoredRecord {
  readonly header: RecordHeader;
  readonly stored: Uint8Array;
  readonly nextHeader: Uint8Array | null;
}

class Cursor {
  readonly #file: ImageFile;
  readonly #options: RecordReaderOptions;
  readonly #headerBytes: number;
  readonly #end: number;
  readonly #buffers: readonly [Uint8Array, Uint8Array];
  #position: number;
  #indexMin = 0;
  #chunks = 0;
  #dataBytes = 0;
  #checksum: number;

  constructor(file: ImageFile, options: RecordReaderOptions) {
    const { stream, chunkBytes, isRam, seed } = options;
    this.#file = file;
    this.#options = options;
    this.#headerBytes = RECORD_BYTES + (isRam ? bitmapBytes(chunkBytes) : 0);
    this.#position = stream.offset;
    this.#end = stream.offset + stream.storedBytes;
    this.#checksum = seed;
    const room = Math.min(chunkBytes, stream.storedBytes) + this.#headerBytes;
    this.#buffers = [new Uint8Array(room), new Uint8Array(room)];
  }

  async start(): Promise<StoredRecord | null> {
    if (this.#options.stream.chunks === 0) return null;
    return this.#record((await this.#read(new Uint8Array(this.#headerBytes))).slice());
  }

  async next({ nextHeader }: StoredRecord): Promise<StoredRecord | null> {
    return nextHeader === null ? null : this.#record(nextHeader);
  }

  /** Reads the record of this header. */
  async #record(headerBytes: Uint8Array): Promise<StoredRecord> {
    const { stream, number, isRam, chunkBytes, seed } = this.#options;
    const header = decodeRecordHeader(headerBytes, {
      stream: number,
      indexMin: this.#indexMin,
      byteLength: stream.byteLength,
      chunkBytes,
      isRam,
      seed,
      left: this.#end - this.#position,
    });
    if (typeof header === "string") throw this.#damaged(header);
    this.#indexMin = header.index + 1;
    this.#checksum = crc32(headerBytes, this.#checksum);
    this.#dataBytes += header.dataBytes;
    const buffer = this.#buffers[this.#chunks & 1] ?? this.#buffers[0];
    this.#chunks += 1;
    const isLast = this.#chunks === stream.chunks;
    const wanted = header.storedBytes + (isLast ? 0 : this.#headerBytes);
    if (wanted > this.#end - this.#position) throw this.#damaged("its chunks are longer than they should be together");
    const bytes = await this.#read(buffer.subarray(0, wanted));
    const nextHeader = isLast ? null : bytes.slice(header.storedBytes);
    return { header, stored: bytes.subarray(0, header.storedBytes), nextHeader };
  }

  async #read(target: Uint8Array): Promise<Uint8Array> {
    const { path, stream } = this.#options;
    const count = await withFileErrors(path, "read the image", () => this.#file.read(target, this.#position));
    if (count < target.length) throw truncated(path, `it ended while ${titleOf(stream)} was read`);
    this.#position += count;
    return target;
  }

  async unpacked({ header, stored }: StoredRecord): Promise<Uint8Array> {
    if (crc32(stored, this.#options.seed) !== header.checksum) throw this.#damaged("a chunk has a wrong checksum");
    if (header.codec === "raw") return stored;
    const data = await unpack(stored, header.codec, header.dataBytes);
    if (data === null) throw this.#damaged("a chunk can't be unpacked to the size that it should have");
    return data;
  }

  /** After the last record. */
  finish(): void {
    const { stream } = this.#options;
    if (this.#position !== this.#end) throw this.#damaged("its chunks are shorter than they should be together");
    if (this.#dataBytes !== stream.dataBytes)
      throw this.#damaged("its chunks are not as much as they should be together");
    if (this.#checksum !== stream.checksum) throw this.#damaged("its chunks are not those that belong together");
  }

  #damaged(what: string): Error {
    return damaged(this.#options.path, `in ${titleOf(this.#options.stream)}, ${what}`);
  }
}

/**
 * Streams to a file, record by record: while one chunk is packed and written, the next one is read. Holds two chunks and
 * what packing them takes.
 */
import { crc32 } from "node:zlib";
import { GpuError } from "@virtgpu/core/base";
import { pack } from "./codec.ts";
import type { StreamEntry } from "./directory.ts";
import { withFileErrors } from "./errors.ts";
import type { ImageFile } from "./files.ts";
import { Lane } from "./lane.ts";
import { bitmapBytes, HEADER_BYTES, PAGE_BYTES, RECORD_BYTES } from "./layout.ts";
import { encodeRecordHeader } from "./record.ts";
import type { ImageCodec, ImageProgress, RamSource } from "./types.ts";

/** How a {@link RecordWriter} writes. */
export interface RecordWriterOptions {
  readonly path: string;
  readonly codec: ImageCodec;
  readonly chunkBytes: number;
  /** What all checksums begin with. */
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** A stream while it is written. */
interface OpenStream {
  readonly number: number;
  readonly offset: number;
  dataBytes: number;
  chunks: number;
  checksum: number;
}

/** Chunks without anything to write, after which others get a turn. */
const TURN_CHUNKS = 32;

/** See the file's head. */
export class RecordWriter {
  /** Where the next record goes, once {@link settle} has resolved. */
  position: number = HEADER_BYTES;
  readonly #file: ImageFile;
  readonly #options: RecordWriterOptions;
  readonly #lanes: readonly [Lane, Lane];
  #turn = 0;
  #streams = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(file: ImageFile, options: RecordWriterOptions) {
    this.#file = file;
    this.#options = options;
    const headerBytes = RECORD_BYTES + bitmapBytes(options.chunkBytes);
    this.#lanes = [new Lane(options.chunkBytes, headerBytes), new Lane(options.chunkBytes, headerBytes)];
  }

  async section(name: string, bytes: Uint8Array): Promise<StreamEntry> {
    const stream = this.#begin();
    const { chunkBytes } = this.#options;
    for (let index = 0; index * chunkBytes < bytes.length; index += 1) {
      const lane = await this.#nextLane();
      const chunk = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes);
      lane.data.set(chunk);
      this.#submit(lane, stream, { index, dataBytes: chunk.length, bitmap: null });
    }
    return this.#end(stream, name, bytes.length);
  }

  async ram(name: string, source: RamSource, onProgress: ImageProgress): Promise<StreamEntry> {
    const stream = this.#begin();
    const { chunkBytes } = this.#options;
    const { byteLength } = source;
    for (let index = 0; index * chunkBytes < byteLength; index += 1) {
      const offset = index * chunkBytes;
      if (index > 0) onProgress(offset, byteLength);
      if (index % TURN_CHUNKS === TURN_CHUNKS - 1) await new Promise(setImmediate);
      const lane = await this.#nextLane();
      const chunk = Math.min(chunkBytes, byteLength - offset);
      await source.read(offset, lane.data.subarray(0, chunk));
      const bitmap = new Uint8Array(bitmapBytes(chunkBytes));
      const pages = lane.dropZeroPages(chunk, bitmap);
      if (pages > 0) this.#submit(lane, stream, { index, dataBytes: pages * PAGE_BYTES, bitmap });
    }
    const entry = await this.#end(stream, name, byteLength);
    onProgress(byteLength, byteLength);
    return entry;
  }

  /** Resolves when nothing is on its way any more, whatever became of it. */
  async settle(): Promise<void> {
    await this.#last.catch(() => {});
  }

  #begin(): OpenStream {
    this.#streams += 1;
    return { number: this.#streams - 1, offset: this.position, dataBytes: 0, chunks: 0, checksum: this.#options.seed };
  }

  async #end(stream: OpenStream, name: string, byteLength: number): Promise<StreamEntry> {
    await this.#last;
    const { offset, dataBytes, chunks, checksum } = stream;
    return { name, byteLength, dataBytes, chunks, offset, checksum, storedBytes: this.position - offset };
  }

  async #nextLane(): Promise<Lane> {
    if (this.#options.signal?.aborted === true) throw new GpuError("ECANCELED", "writing the image was given up");
    const lane = this.#lanes[this.#turn & 1] ?? this.#lanes[0];
    await lane.idle;
    return lane;
  }

  /** Packs what is in the lane, and writes it once all before it is written. */
  #submit(
    lane: Lane,
    stream: OpenStream,
    chunk: { readonly index: number; readonly dataBytes: number; readonly bitmap: Uint8Array | null },
  ): void {
    this.#turn += 1;
    const packing = pack(lane.data.subarray(0, chunk.dataBytes), this.#options.codec);
    this.#last = Promise.all([packing, this.#last]).then(([packed]) => this.#write(lane, stream, chunk, packed));
    // Whoever takes the lane next, or ends the stream, hears of a failure; until then it is not an unhandled one.
    this.#last.catch(() => {});
    lane.idle = this.#last;
  }

  async #write(
    lane: Lane,
    stream: OpenStream,
    chunk: { readonly index: number; readonly dataBytes: number; readonly bitmap: Uint8Array | null },
    packed: Uint8Array | null,
  ): Promise<void> {
    const { path, codec, seed } = this.#options;
    if (packed !== null) lane.data.set(packed);
    const storedBytes = packed?.length ?? chunk.dataBytes;
    const checksum = crc32(lane.data.subarray(0, storedBytes), seed);
    const used = packed === null ? "raw" : codec;
    const header = encodeRecordHeader({ ...chunk, stream: stream.number, storedBytes, codec: used, checksum }, seed);
    const record = lane.record(header, storedBytes);
    await withFileErrors(path, "write the image", () => this.#file.write(record, this.position));
    this.position += record.length;
    stream.dataBytes += chunk.dataBytes;
    stream.chunks += 1;
    stream.checksum = crc32(header, stream.checksum);
  }
}

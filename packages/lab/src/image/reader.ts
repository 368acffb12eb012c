/**
 * Opens images. Nothing in the file is believed before it was checked, and no length makes us take more memory than a
 * few chunks, or than the longest section that the caller wants.
 */
import { resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { decodeDirectory, RAM_NAME, type StreamEntry, titleOf } from "./directory.ts";
import { truncated, withFileErrors } from "./errors.ts";
import { type ImageFile, type ImageFiles, nodeImageFiles } from "./files.ts";
import { decodeHeader, decodeMark, type HeaderFields } from "./header.ts";
import {
  checksumSeed,
  HEADER_BYTES,
  isEqual,
  MARK_BYTES,
  MARK_OFFSET,
  MARK_USED,
  PAGE_BYTES,
  SECTION_BYTES_MAX,
  VERSION,
} from "./layout.ts";
import { pageRuns } from "./record.ts";
import { type ReadRecord, readRecords } from "./record-reader.ts";
import type {
  ImageCheck,
  ImageCodec,
  ImageHeader,
  ImageProgress,
  ImageReader,
  OpenImageOptions,
  RamSink,
} from "./types.ts";

/**
 * Opens an image and checks its header and directory.
 *
 * Throws GpuError: ENOENT and EACCES; EINVAL of what is no image, cut off or damaged; ENOTSUP of another format version;
 * ESTALE of one that was used, or is not what `expect` asks for.
 */
export async function openImage(path: string, options: OpenImageOptions = {}): Promise<ImageReader> {
  const { files = nodeImageFiles } = options;
  const place = resolve(path);
  const kind = await withFileErrors(place, "look for the image", () => files.kind(place));
  if (kind === null) throw new GpuError("ENOENT", "there is no image of this name", { object: place });
  if (kind !== "file") throw new GpuError("EINVAL", "this is no plain file, and so no image", { object: place });
  const file = await withFileErrors(place, "open the image", () => files.open(place, "read"));
  try {
    const fileBytes = await withFileErrors(place, "read the image", () => file.size());
    const bytes = await readUpTo(file, place, 0, HEADER_BYTES);
    const fields = decodeHeader(bytes, fileBytes, place);
    const mark = decodeMark(bytes.subarray(MARK_OFFSET), place);
    const directory = await readUpTo(file, place, fields.directoryOffset, fields.directoryBytes);
    if (directory.length < fields.directoryBytes) throw truncated(place, "it ended while its directory was read");
    const streams = decodeDirectory(directory, fields, place);
    const [ram] = streams.slice(-1);
    if (ram === undefined) throw truncated(place, "it has no RAM");
    const { id, identity, writtenAtMs, ramBytes, chunkBytes } = fields;
    const header: ImageHeader = {
      version: VERSION,
      id,
      identity,
      mark,
      writtenAtMs,
      ramBytes,
      chunkBytes,
      fileBytes,
      sections: streams.slice(0, -1).map(publicStream),
      ram: publicStream(ram),
    };
    checkUse(header, options, place);
    return new FileImageReader(place, file, header, fields, streams, options);
  } catch (error) {
    await file.close().catch(() => {});
    throw error;
  }
}

async function readUpTo(file: ImageFile, path: string, position: number, byteLength: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  const count = await withFileErrors(path, "read the image", () => file.read(bytes, position));
  return bytes.subarray(0, count);
}

function publicStream({ name, byteLength, dataBytes, storedBytes, chunks }: StreamEntry): ImageHeader["ram"] {
  return { name, byteLength, dataBytes, storedBytes, chunks };
}

function checkUse({ mark, identity }: ImageHeader, { expect, allowUsed }: OpenImageOptions, path: string): void {
  if (mark === "used" && allowUsed !== true) throw usedError(path);
  const { machine, generation } = expect ?? {};
  if (machine !== undefined && machine !== identity.machine) {
    throw new GpuError("ESTALE", `the image is of machine ${identity.machine}, not of ${machine}`, { object: path });
  }
  if (generation !== undefined && generation !== identity.generation) {
    throw new GpuError("ESTALE", `the image is of sleep ${identity.generation} of its machine, not of ${generation}`, {
      object: path,
    });
  }
}

function usedError(path: string): GpuError {
  return new GpuError("ESTALE", "the image was used already: what it holds is of the past; hibernate anew", {
    object: path,
  });
}

class FileImageReader implements ImageReader {
  readonly header: ImageHeader;
  readonly #path: string;
  readonly #file: ImageFile;
  readonly #files: ImageFiles;
  readonly #seed: number;
  readonly #chunkBytes: number;
  readonly #streams: readonly StreamEntry[];
  readonly #sectionBytesMax: number;
  #isUsed: boolean;
  #isClosed = false;

  constructor(
    path: string,
    file: ImageFile,
    header: ImageHeader,
    { id, chunkBytes }: HeaderFields,
    streams: readonly StreamEntry[],
    { files = nodeImageFiles, sectionBytesMax = SECTION_BYTES_MAX }: OpenImageOptions,
  ) {
    this.#path = path;
    this.#file = file;
    this.header = header;
    this.#files = files;
    this.#seed = checksumSeed(id);
    this.#chunkBytes = chunkBytes;
    this.#streams = streams;
    this.#sectionBytesMax = sectionBytesMax;
    this.#isUsed = header.mark === "used";
  }

  async section(name: string): Promise<Uint8Array | null> {
    const stream = this.#streams.find((candidate) => candidate.name === name);
    if (stream === undefined || name === RAM_NAME) return null;
    if (stream.byteLength > this.#sectionBytesMax) {
      throw new GpuError(
        "EINVAL",
        `${titleOf(stream)} is of ${stream.byteLength} bytes, more than the ${this.#sectionBytesMax} that are allowed`,
        { object: this.#path },
      );
    }
    const bytes = new Uint8Array(stream.byteLength);
    for await (const { header, data } of this.#records(stream)) bytes.set(data, header.index * this.#chunkBytes);
    return bytes;
  }

  async readRam(sink: RamSink, onProgress: ImageProgress = () => {}): Promise<void> {
    const { ram, ramBytes } = this.header;
    if (sink.byteLength !== ramBytes) {
      throw new GpuError("EINVAL", `the image is of ${ramBytes} bytes of RAM, this machine has ${sink.byteLength}`, {
        object: this.#path,
      });
    }
    let done = 0;
    const zeroUpTo = async (offset: number): Promise<void> => {
      if (offset > done) await sink.zero?.(done, offset - done);
    };
    for await (const { header, data } of this.#records(this.#ramStream)) {
      const base = header.index * this.#chunkBytes;
      for (const { first, count, before } of pageRuns(header.bitmap ?? new Uint8Array(0))) {
        const offset = base + first * PAGE_BYTES;
        await zeroUpTo(offset);
        await sink.write(offset, data.subarray(before * PAGE_BYTES, (before + count) * PAGE_BYTES));
        done = offset + count * PAGE_BYTES;
      }
      if (done < ram.byteLength) onProgress(done, ram.byteLength);
    }
    await zeroUpTo(ram.byteLength);
    onProgress(ram.byteLength, ram.byteLength);
  }

  async verify(onProgress: ImageProgress = () => {}): Promise<ImageCheck> {
    const { ramBytes, ram } = this.header;
    const chunks: Record<ImageCodec, number> = { raw: 0, deflate: 0, brotli: 0 };
    for (const stream of this.#streams) {
      for await (const { header } of this.#records(stream)) {
        chunks[header.codec] += 1;
        const done = header.index * this.#chunkBytes;
        if (stream === this.#ramStream && done > 0) onProgress(done, ramBytes);
      }
    }
    onProgress(ramBytes, ramBytes);
    const pages = ram.dataBytes / PAGE_BYTES;
    return { pages, zeroPages: ramBytes / PAGE_BYTES - pages, chunks };
  }

  async consume(): Promise<void> {
    if (this.#isUsed) throw usedError(this.#path);
    const release = await this.#files.claim(this.header.id);
    if (release === null) {
      throw new GpuError("EBUSY", "another process is using the image at this moment", { object: this.#path });
    }
    try {
      await this.#mark();
      this.#isUsed = true;
    } finally {
      await release();
    }
  }

  /** Through its name, so that only the image that has it counts; in place, so that no copy of it is left fresh. */
  async #mark(): Promise<void> {
    const path = this.#path;
    const doing = "mark the image as used";
    const kind = await withFileErrors(path, doing, () => this.#files.kind(path));
    const file = kind === "file" ? await withFileErrors(path, doing, () => this.#files.open(path, "update")) : null;
    try {
      if (file?.identity !== this.#file.identity) {
        throw new GpuError("ESTALE", "another image has taken this one's place, or it was removed", { object: path });
      }
      const mark = await readUpTo(file, path, MARK_OFFSET, MARK_BYTES);
      if (isEqual(mark, MARK_USED)) throw usedError(path);
      decodeMark(mark, path);
      await withFileErrors(path, doing, async () => {
        await file.write(MARK_USED, MARK_OFFSET);
        await file.sync();
      });
    } finally {
      await file?.close().catch(() => {});
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await withFileErrors(this.#path, "close the image", () => this.#file.close());
  }

  get #ramStream(): StreamEntry | undefined {
    return this.#streams.at(-1);
  }

  #records(stream: StreamEntry | undefined): AsyncGenerator<ReadRecord, void> {
    if (stream === undefined || this.#isClosed) {
      throw new GpuError("EBUSY", "the image was closed", { object: this.#path });
    }
    return readRecords(this.#file, {
      path: this.#path,
      stream,
      number: this.#streams.indexOf(stream),
      isRam: stream === this.#ramStream,
      chunkBytes: this.#chunkBytes,
      seed: this.#seed,
    });
  }
}

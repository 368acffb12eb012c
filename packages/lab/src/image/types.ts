/**
 * Hibernation images as their users see them: what goes in, what comes out, and what can be asked. The file's layout is
 * in docs/image-format.md.
 */
import type { ImageFiles } from "./files.ts";

/** How a chunk's bytes are packed. A chunk that would not shrink is stored raw, whatever was asked for. */
export type ImageCodec = "raw" | "deflate" | "brotli";

/** Whose image it is. */
export interface ImageIdentity {
  /** The machine, as a UUID. */
  readonly machine: string;
  /** Which of its sleeps this is: grows with each. From 0 to 2^53 - 1. */
  readonly generation: number;
}

/** Memory to save: `byteLength` bytes from 0 on, without holes, whole pages of 4096 bytes. Must not change meanwhile. */
export interface RamSource {
  readonly byteLength: number;
  /** Fills `target` from byte `offset`. */
  read(offset: number, target: Uint8Array): void | Promise<void>;
}

/** Memory to fill. */
export interface RamSink {
  /** Must be that of the image. */
  readonly byteLength: number;
  /** Whole pages; `bytes` is used again after this has returned or resolved. */
  write(offset: number, bytes: Uint8Array): void | Promise<void>;
  /** Pages that are nothing but zeros. Left out by those whose memory is new, and so zero already. */
  zero?(offset: number, byteLength: number): void | Promise<void>;
}

/** What an image is made of. */
export interface ImageContent {
  readonly identity: ImageIdentity;
  readonly ram: RamSource;
  /** Opaque bytes by name, e.g. a driver's state as JSON. A name is 1 to 255 characters, `!` to `~` of ASCII. */
  readonly sections: ReadonlyMap<string, Uint8Array>;
  /** Default: brotli, which gives up quickly on what does not shrink. */
  readonly codec?: ImageCodec | undefined;
  /** Milliseconds since the epoch, to be shown; 0 or left out: not told. */
  readonly writtenAtMs?: number | undefined;
}

/** Called now and then with bytes of RAM, the last time with `done` = `total`. */
export type ImageProgress = (done: number, total: number) => void;

/** How to write. */
export interface WriteImageOptions {
  readonly onProgress?: ImageProgress | undefined;
  /** Gives up between two chunks: GpuError ECANCELED, and nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes that are read, packed and checked as one: a power of 2 from 4096 to 16 MiB. Default 1 MiB. Memory use is a small multiple. */
  readonly chunkBytes?: number | undefined;
  /** Default: the real file system. */
  readonly files?: ImageFiles | undefined;
  /** Makes a UUID. Default: node:crypto's. */
  readonly newId?: (() => string) | undefined;
}

/** What was written. */
export interface WrittenImage {
  /** Names this image among all. */
  readonly id: string;
  readonly fileBytes: number;
  readonly ramBytes: number;
  /** Pages of RAM in the file, and those that were nothing but zeros and take no room. */
  readonly pages: number;
  readonly zeroPages: number;
}

/** How to open. */
export interface OpenImageOptions {
  /** Refuses an image of another machine or of another of its sleeps: GpuError ESTALE. */
  readonly expect?: { readonly machine?: string; readonly generation?: number } | undefined;
  /** Opens one that was used already, to look at it. Default: GpuError ESTALE. */
  readonly allowUsed?: boolean | undefined;
  /** The longest section to take into memory, in bytes. Default 256 MiB. */
  readonly sectionBytesMax?: number | undefined;
  readonly files?: ImageFiles | undefined;
}

/** Whether an image was used: `fresh` once, `used` ever after. */
export type ImageMark = "fresh" | "used";

/** What the file says of itself, checked. */
export interface ImageHeader {
  readonly version: number;
  readonly id: string;
  readonly identity: ImageIdentity;
  readonly mark: ImageMark;
  readonly writtenAtMs: number;
  readonly ramBytes: number;
  readonly chunkBytes: number;
  readonly fileBytes: number;
  /** In the file's order. */
  readonly sections: readonly ImageStream[];
  /** RAM: `dataBytes` is what its pages in the file take unpacked. */
  readonly ram: ImageStream;
}

/** A section, or RAM. */
export interface ImageStream {
  readonly name: string;
  /** Unpacked, with zero pages. */
  readonly byteLength: number;
  /** Unpacked, without zero pages. */
  readonly dataBytes: number;
  /** In the file, with the records' own headers. */
  readonly storedBytes: number;
  /** How many chunks it has in the file. */
  readonly chunks: number;
}

/** What a check of every byte has found. */
export interface ImageCheck {
  readonly pages: number;
  readonly zeroPages: number;
  /** Chunks by codec, sections and RAM together. */
  readonly chunks: Readonly<Record<ImageCodec, number>>;
}

/**
 * An open image. All that it reads is checked before it is handed out; all methods throw GpuError.
 *
 * The order of a restore: open, section and readRam into a machine that has not run yet, then {@link consume}, and only
 * then let the machine go on. What fails before `consume` leaves the image as good as it was; after it the image is of
 * the past, whatever becomes of the machine. Whoever wants to keep an image usable does not consume it.
 */
export interface ImageReader {
  readonly header: ImageHeader;
  /** A section's bytes; null where the image has none of this name. */
  section(name: string): Promise<Uint8Array | null>;
  /** Writes all pages, upwards. The sink may hold part of them when this fails. */
  readRam(sink: RamSink, onProgress?: ImageProgress): Promise<void>;
  /** Reads and checks everything. */
  verify(onProgress?: ImageProgress): Promise<ImageCheck>;
  /**
   * Marks the image used, durably. Throws ESTALE when it was used already or another image has taken its place, EBUSY
   * when another process is about to do the same: the machine must not go on then.
   */
  consume(): Promise<void>;
  close(): Promise<void>;
}

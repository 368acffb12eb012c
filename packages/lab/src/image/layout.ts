/** Numbers and small parts of the image format, version 1 (docs/image-format.md). All integers are little-endian. */
import { crc32 } from "node:zlib";

export const VERSION = 1;
/** Begins with a byte that is no text and ends with what transfers as text would change. */
export const MAGIC: Uint8Array = Uint8Array.from([0x8b, ...Buffer.from("VGPU"), 0x0d, 0x0a, 0x1a]);
/** The two values of the mark; no byte of one is that of the other. */
export const MARK_FRESH: Uint8Array = Buffer.from("fresh...");
export const MARK_USED: Uint8Array = Buffer.from("WAS USED");
export const MARK_OFFSET = 8;
export const MARK_BYTES = 8;

export const HEADER_BYTES = 512;
export const PAGE_BYTES = 4096;
export const CHUNK_BYTES_MIN: number = PAGE_BYTES;
export const CHUNK_BYTES_MAX: number = 16 << 20;
export const CHUNK_BYTES_DEFAULT: number = 1 << 20;
export const RAM_BYTES_MAX: number = 2 ** 44;
export const SECTIONS_MAX = 256;
export const SECTION_BYTES_MAX: number = 256 << 20;
export const DIRECTORY_BYTES_MAX: number = 1 << 20;

/** Bytes of a record's header before its page bitmap. */
export const RECORD_BYTES = 32;

const SECTION_NAME = /^[!-~]{1,255}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const isSectionName = (name: string): boolean => SECTION_NAME.test(name);
export const isUuid = (text: string): boolean => UUID.test(text);
export const isChunkBytes = (value: number): boolean =>
  Number.isInteger(Math.log2(value)) && value >= CHUNK_BYTES_MIN && value <= CHUNK_BYTES_MAX;

/** Bytes of the page bitmap of a RAM record. */
export const bitmapBytes = (chunkBytes: number): number => Math.ceil(chunkBytes / PAGE_BYTES / 8);

export function uuidBytes(text: string): Uint8Array {
  return Buffer.from(text.replaceAll("-", ""), "hex");
}

export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** What all checksums of an image begin with, so that no part of another image passes for one of this. */
export const checksumSeed = (id: string): number => crc32(uuidBytes(id));

export const isEqual = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0;

/** Writes the fields of a structure one after the other. */
export class FieldWriter {
  readonly bytes: Buffer;
  #at = 0;

  constructor(byteLength: number) {
    this.bytes = Buffer.alloc(byteLength);
  }

  u8(value: number): this {
    this.#at = this.bytes.writeUInt8(value, this.#at);
    return this;
  }

  u16(value: number): this {
    this.#at = this.bytes.writeUInt16LE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.bytes.writeUInt32LE(value, this.#at);
    return this;
  }

  u64(value: number): this {
    this.#at = this.bytes.writeBigUInt64LE(BigInt(value), this.#at);
    return this;
  }

  put(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.length;
    return this;
  }
}

/** Reads the fields of a structure one after the other. The caller has checked that they are there. */
export class FieldReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    this.#at += 1;
    return this.#bytes.readUInt8(this.#at - 1);
  }

  u16(): number {
    this.#at += 2;
    return this.#bytes.readUInt16LE(this.#at - 2);
  }

  u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  /** NaN where the number is 2^53 or more, so that every comparison with it fails. */
  u64(): number {
    this.#at += 8;
    const value = Number(this.#bytes.readBigUInt64LE(this.#at - 8));
    return Number.isSafeInteger(value) ? value : Number.NaN;
  }

  take(byteLength: number): Uint8Array {
    this.#at += byteLength;
    return this.#bytes.subarray(this.#at - byteLength, this.#at);
  }
}

/** Room for one record on its way to the file: header and bytes together, so that one write takes both. */
import { isEqual, PAGE_BYTES } from "./layout.ts";

const ALIGNMENT = 64;
const WORDS_PER_PAGE: number = PAGE_BYTES / 4;

/** Two of them are used in turns: while one is written, the other is filled. */
export class Lane {
  /** What is to be packed. */
  readonly data: Uint8Array;
  /** Resolves when the lane may be filled again. */
  idle: Promise<void> = Promise.resolve();
  readonly #room: Uint8Array;
  readonly #words: Uint32Array;
  readonly #zeros: Uint8Array;
  readonly #dataAt: number;

  constructor(chunkBytes: number, headerBytes: number) {
    this.#dataAt = Math.ceil(headerBytes / ALIGNMENT) * ALIGNMENT;
    this.#room = new Uint8Array(this.#dataAt + chunkBytes);
    this.data = this.#room.subarray(this.#dataAt);
    this.#words = new Uint32Array(this.#room.buffer, this.#dataAt, chunkBytes / 4);
    this.#zeros = new Uint8Array(chunkBytes);
  }

  /** Moves the pages of `data[0..byteLength)` that are not zero to the front, and marks them in `bitmap`. Returns how many there are. */
  dropZeroPages(byteLength: number, bitmap: Uint8Array): number {
    if (this.#words[0] === 0 && isEqual(this.data.subarray(0, byteLength), this.#zeros.subarray(0, byteLength))) {
      return 0;
    }
    let kept = 0;
    for (let page = 0; page < byteLength / PAGE_BYTES; page += 1) {
      if (this.#isZero(page)) continue;
      bitmap[page >> 3] = (bitmap[page >> 3] ?? 0) | (1 << (page & 7));
      if (kept < page) this.data.copyWithin(kept * PAGE_BYTES, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
      kept += 1;
    }
    return kept;
  }

  #isZero(page: number): boolean {
    if (this.#words[page * WORDS_PER_PAGE] !== 0) return false;
    const at = page * PAGE_BYTES;
    return isEqual(this.data.subarray(at, at + PAGE_BYTES), this.#zeros.subarray(0, PAGE_BYTES));
  }

  /** The record as it goes to the file: its header, and the first `byteLength` bytes of `data`. */
  record(header: Uint8Array, byteLength: number): Uint8Array {
    const start = this.#dataAt - header.length;
    this.#room.set(header, start);
    return this.#room.subarray(start, this.#dataAt + byteLength);
  }
}

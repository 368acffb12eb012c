/**
 * Host memory for the pixels of 2D resources. What a resource gives back is kept for the next one of its size: a guest that
 * comes back from a sleep creates again what it unreferenced, and fresh memory costs a page fault every 4 KiB. Used and
 * kept memory together stay within the device's limit.
 */

/** See the file's head. */
export class PixelMemory {
  /** By size in bytes; what was given back last is at the end, the size that was asked for longest ago comes first. */
  readonly #kept: Map<number, Uint8Array[]> = new Map();
  #keptBytes = 0;

  /** Bytes kept for later. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** Zeroed memory. Throws RangeError where the host has none left. */
  take(byteLength: number): Uint8Array {
    const sameSize = this.#kept.get(byteLength);
    const bytes = sameSize?.pop();
    if (bytes === undefined) return new Uint8Array(byteLength);
    if (sameSize?.length === 0) this.#kept.delete(byteLength);
    this.#keptBytes -= byteLength;
    return bytes.fill(0);
  }

  /** Takes memory back that nobody refers to any more. */
  give(bytes: Uint8Array): void {
    const { byteLength } = bytes;
    const sameSize = this.#kept.get(byteLength);
    if (sameSize === undefined) this.#kept.set(byteLength, [bytes]);
    else sameSize.push(bytes);
    this.#keptBytes += byteLength;
  }

  /** Lets go of what is kept beyond `bytesMax`. */
  keepAtMost(bytesMax: number): void {
    if (this.#keptBytes <= bytesMax) return;
    for (const [byteLength, sameSize] of this.#kept) {
      while (this.#keptBytes > bytesMax && sameSize.pop() !== undefined) this.#keptBytes -= byteLength;
      if (sameSize.length === 0) this.#kept.delete(byteLength);
      if (this.#keptBytes <= bytesMax) return;
    }
  }
}

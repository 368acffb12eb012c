/**
 * Images of /dev/snapshot on a disk: one block that says what is there, then the images, as they were read. They lie inside
 * a swap disk that is not in use meanwhile, behind its header, which stays as it is.
 */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";

/** Behind the header of a swap space. */
const INDEX_AT = 1 << 20;
const BLOCK = 4096;
const MAGIC = "virtgpu images 1";
const IMAGES_MAX = 8;
/** Much that waits to be written is slow to be, with half of the memory in an image and the kernel's own writers frozen. */
const FLUSH_BYTES = 8 << 20;

/** An image: where it lies, and whether it has had its second life. */
export interface StoredImage {
  readonly at: number;
  readonly bytes: number;
  readonly isUsed: boolean;
}

/** A disk with images. */
export class ImageDisk {
  readonly #fd: number;

  /** Throws what open(2) says. */
  constructor(path: string) {
    this.#fd = openSync(path, "r+");
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** What the disk says it has; nothing, if it doesn't make sense. */
  images(): readonly StoredImage[] {
    const block = Buffer.alloc(BLOCK);
    readSync(this.#fd, block, 0, BLOCK, INDEX_AT);
    const text = block.toString("latin1");
    if (!text.startsWith(MAGIC)) return [];
    return parseIndex(text.slice(MAGIC.length, text.indexOf("\0")));
  }

  /** Says what the disk has. It is on the disk when this returns. */
  setImages(images: readonly StoredImage[]): void {
    const block = Buffer.alloc(BLOCK);
    block.write(images.length === 0 ? "" : MAGIC + JSON.stringify(images), "latin1");
    writeSync(this.#fd, block, 0, BLOCK, INDEX_AT);
    fsyncSync(this.#fd);
  }

  /** Writes an image of unknown length behind the others. `next` fills a block and says how much it is, 0 at the end. */
  store(images: readonly StoredImage[], next: (block: Uint8Array) => number): StoredImage {
    const at = images.reduce((end, image) => Math.max(end, image.at + image.bytes), INDEX_AT + BLOCK);
    const many = new Uint8Array(256 * BLOCK);
    let [bytes, filled] = [0, 0];
    for (;;) {
      const read = next(many.subarray(filled, filled + BLOCK));
      filled += read;
      if (read === 0 || filled + BLOCK > many.length) {
        if (filled > 0) writeSync(this.#fd, many, 0, filled, at + bytes);
        bytes += filled;
        if (bytes % FLUSH_BYTES === 0) fsyncSync(this.#fd);
        filled = 0;
      }
      if (read === 0) break;
    }
    fsyncSync(this.#fd);
    return { at, bytes, isUsed: false };
  }

  /** Reads an image in blocks. */
  load(image: StoredImage, take: (block: Uint8Array) => void): void {
    const many = new Uint8Array(256 * BLOCK);
    for (let done = 0; done < image.bytes; ) {
      const read = readSync(this.#fd, many, 0, Math.min(many.length, image.bytes - done), image.at + done);
      if (read === 0) throw new Error(`EIO: the image ends after ${done} of ${image.bytes} bytes`);
      for (let at = 0; at < read; at += BLOCK) take(many.subarray(at, Math.min(at + BLOCK, read)));
      done += read;
    }
  }
}

function parseIndex(text: string): readonly StoredImage[] {
  try {
    const index: unknown = JSON.parse(text);
    return Array.isArray(index) && index.length <= IMAGES_MAX && index.every(isStoredImage) ? index : [];
  } catch {
    return [];
  }
}

function isStoredImage(value: unknown): value is StoredImage {
  if (typeof value !== "object" || value === null) return false;
  const { at, bytes, isUsed } = value as Partial<Record<keyof StoredImage, unknown>>;
  return isPlace(at) && isPlace(bytes) && typeof isUsed === "boolean";
}

const isPlace = (value: unknown): boolean =>
  Number.isSafeInteger(value) && Number(value) % BLOCK === 0 && Number(value) > 0;

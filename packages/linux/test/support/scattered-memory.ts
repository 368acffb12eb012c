/** Memory whose frames are where a test wants them, and the guest memory that a device sees of it. */
import {
  type GuestMemory,
  MappedRingMemory,
  MemoryRangeError,
  PAGE_BYTES,
  type RingMemory,
} from "@virtgpu/core/memory";
import type { MemoryChunk, MemorySource } from "../../src/memory/source.ts";

interface Frames {
  readonly bytes: Uint8Array;
  frames: number[];
}

/** Chunks of 4 KiB pages; the n-th page made lies in frame `place(n)`. */
export class ScatteredMemory implements MemorySource, GuestMemory {
  readonly granularity: number = PAGE_BYTES;
  readonly regions: readonly [] = [];
  readonly chunks: Frames[] = [];
  isClosed = false;
  bytesMax: number = Infinity;
  readonly #place: (page: number) => number;
  #made = 0;

  constructor(place: (page: number) => number = (page) => 100 + page) {
    this.#place = place;
  }

  allocate(byteLength: number): MemoryChunk {
    if (byteLength > this.bytesMax) throw Object.assign(new Error("full"), { code: "ENOMEM" });
    const count = byteLength / PAGE_BYTES;
    const frames = Array.from({ length: count }, (_, index) => this.#place(this.#made + index));
    this.#made += count;
    const chunk = { bytes: new Uint8Array(byteLength), frames };
    this.chunks.push(chunk);
    // As the real ones do: what is known stays known until it is to be forgotten.
    let known: readonly number[] | null = null;
    return {
      bytes: chunk.bytes,
      frames: (first, number) => {
        known ??= [...chunk.frames];
        return known.slice(first, first + number);
      },
      forgetFrames: () => {
        known = null;
      },
      close: () => void this.chunks.splice(this.chunks.indexOf(chunk), 1),
    };
  }

  close(): void {
    this.isClosed = true;
  }

  /** What a hibernation may do: the same contents elsewhere. */
  moveAll(place: (page: number) => number): void {
    let page = 0;
    for (const chunk of this.chunks) {
      chunk.frames = chunk.frames.map(() => {
        page += 1;
        return place(page - 1);
      });
    }
  }

  contains(address: number, byteLength: number): boolean {
    try {
      this.#forEach(address, byteLength, () => {});
      return true;
    } catch {
      return false;
    }
  }

  read(address: number, target: Uint8Array): void {
    this.#forEach(address, target.byteLength, (bytes, at) => target.set(bytes, at));
  }

  write(address: number, source: Uint8Array): void {
    this.#forEach(address, source.byteLength, (bytes, at) => bytes.set(source.subarray(at, at + bytes.byteLength)));
  }

  view(): null {
    return null;
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    const { bytes, offset } = this.#find(address);
    // A ring has to lie in one piece, for the device too.
    this.#forEach(address, byteLength, () => {});
    return new MappedRingMemory(bytes.buffer, bytes.byteOffset + offset, byteLength);
  }

  #find(address: number): { readonly bytes: Uint8Array; readonly offset: number } {
    const frame = Math.floor(address / PAGE_BYTES);
    for (const { bytes, frames } of this.chunks) {
      const page = frames.indexOf(frame);
      if (page >= 0) return { bytes, offset: page * PAGE_BYTES + (address % PAGE_BYTES) };
    }
    throw new MemoryRangeError(address, 1);
  }

  #forEach(address: number, byteLength: number, visit: (bytes: Uint8Array, at: number) => void): void {
    for (let done = 0; done < byteLength; ) {
      const { bytes, offset } = this.#find(address + done);
      const some = Math.min(PAGE_BYTES - (offset % PAGE_BYTES), byteLength - done);
      visit(bytes.subarray(offset, offset + some), done);
      done += some;
    }
  }
}

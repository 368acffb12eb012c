/**
 * Hands out the driver's memory from chunks, and grows by further ones. Each allocation is mapped in one piece, so that
 * pictures are drawn in place. Where it lies for the device is asked anew for each session, never remembered.
 *
 * Contiguous memory stays so only until the next sleep: pages that were torn apart are put elsewhere when their frames
 * are asked for. That happens between two sessions, when no ring is in use.
 */
import { GpuError } from "@virtgpu/core/base";
import {
  type FrameSource,
  MappedRingMemory,
  MemoryRangeError,
  PAGE_BYTES,
  type PageAllocator,
  type Pages,
  type PagesRecord,
  type RingMemory,
} from "@virtgpu/core/memory";
import { assert } from "../assert.ts";
import { FrameRuns } from "./frame-runs.ts";
import type { MemoryChunk, MemorySource } from "./source.ts";

/** The first chunk; each further one is as large as all before it, up to a limit. */
const CHUNK_BYTES_MIN = 4 << 20;
const CHUNK_BYTES_MAX = 64 << 20;

interface Chunk {
  readonly memory: MemoryChunk;
  readonly runs: FrameRuns;
}

interface Place {
  readonly chunk: Chunk;
  readonly first: number;
}

/** See the file's head. */
export class PoolAllocator implements PageAllocator, FrameSource {
  readonly #source: MemorySource;
  readonly #chunks: Chunk[] = [];
  readonly #pages: Map<number, PoolPages> = new Map();
  #nextKey = 1;
  #allocatedBytes = 0;
  #chunkBytes = 0;

  constructor(source: MemorySource) {
    this.#source = source;
  }

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  allocate(byteLength: number, options: { readonly contiguous?: boolean } = {}): Pages {
    assert(Number.isSafeInteger(byteLength) && byteLength > 0, `${byteLength} bytes can be allocated`);
    const contiguous = options.contiguous ?? false;
    const count = Math.ceil(byteLength / PAGE_BYTES);
    const place = this.#find(count, contiguous) ?? this.#grow(count, contiguous);
    const pages = new PoolPages(this.#nextKey, count * PAGE_BYTES, contiguous, this.#take(place, count));
    this.#nextKey += 1;
    this.#pages.set(pages.key, pages);
    this.#allocatedBytes += pages.byteLength;
    pages.bytes.fill(0);
    return pages;
  }

  free(pages: Pages): void {
    const own = this.#own(pages);
    this.#pages.delete(own.key);
    this.#allocatedBytes -= own.byteLength;
    this.#give(own.place, own.byteLength / PAGE_BYTES);
    own.end();
  }

  framesOf(pages: Pages): readonly number[] {
    const own = this.#own(pages);
    const frames = this.#framesNow(own);
    if (!own.contiguous || areAdjacent(frames)) return frames;
    this.#move(own);
    return this.#framesNow(own);
  }

  /** Pages may have moved: all frames are asked for anew from now on. */
  forgetFrames(): void {
    for (const { memory } of this.#chunks) memory.forgetFrames();
  }

  save(): readonly PagesRecord[] {
    return [...this.#pages.values()].map(({ key, byteLength, contiguous, place }) => {
      const frames = Array.from({ length: byteLength / PAGE_BYTES }, (_, index) => place.first + index);
      return { key, byteLength, contiguous, frames };
    });
  }

  /** Always refused: this memory ends with its process, and a hibernation brings the whole process back. */
  adopt(record: PagesRecord): Pages {
    throw new GpuError("EINVAL", `recorded pages ${String(record.key)} went with the process that had them`);
  }

  /** Gives all memory back. Whoever still uses some of it, or lets a device use it, keeps it all: returns false. */
  close(): boolean {
    if (this.#pages.size > 0) return false;
    for (const { memory } of this.#chunks.splice(0)) memory.close();
    this.#source.close();
    return true;
  }

  #framesNow({ place, byteLength }: PoolPages): readonly number[] {
    return place.chunk.memory.frames(place.first, byteLength / PAGE_BYTES);
  }

  #find(count: number, contiguous: boolean): Place | null {
    for (const chunk of this.#chunks) {
      if (chunk.runs.find(count) < 0) continue;
      const frames = contiguous ? chunk.memory.frames(0, chunk.runs.count) : null;
      const first = chunk.runs.find(count, frames);
      if (first >= 0) return { chunk, first };
    }
    return null;
  }

  /** Twice in need of contiguous pages: what a chunk of scattered frames hasn't, the next one may have. */
  #grow(count: number, contiguous: boolean): Place {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      this.#addChunk(count * PAGE_BYTES);
      const place = this.#find(count, contiguous);
      if (place !== null) return place;
    }
    throw new GpuError("ENOMEM", `there are no ${count} pages in a row: use hugepages`);
  }

  #addChunk(byteLength: number): void {
    const { granularity } = this.#source;
    const round = (bytes: number): number => Math.ceil(bytes / granularity) * granularity;
    const wanted = Math.min(Math.max(this.#chunkBytes, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX);
    const memory = this.#allocateChunk(round(Math.max(byteLength, wanted)), round(byteLength));
    this.#chunkBytes += memory.bytes.byteLength;
    this.#chunks.push({ memory, runs: new FrameRuns(memory.bytes.byteLength / PAGE_BYTES) });
  }

  /** As much as is wanted, or, where memory is tight, as is needed. */
  #allocateChunk(wanted: number, needed: number): MemoryChunk {
    try {
      return this.#source.allocate(wanted);
    } catch (error) {
      if (wanted === needed || !(error instanceof GpuError) || error.code !== "ENOMEM") throw error;
      return this.#source.allocate(needed);
    }
  }

  #take(place: Place, count: number): Place {
    place.chunk.runs.take(place.first, count);
    return place;
  }

  #give({ chunk, first }: Place, count: number): void {
    chunk.runs.give(first, count);
  }

  #move(pages: PoolPages): void {
    const count = pages.byteLength / PAGE_BYTES;
    const old = pages.place;
    const place = this.#take(this.#find(count, true) ?? this.#grow(count, true), count);
    pages.moveTo(place);
    this.#give(old, count);
  }

  #own(pages: Pages): PoolPages {
    const own = this.#pages.get(pages.key);
    assert(own !== undefined && own === pages, `pages ${pages.key} are allocated here`);
    return own;
  }
}

/** Some pages: a handle that stays valid wherever they lie. */
class PoolPages implements Pages {
  readonly key: number;
  readonly byteLength: number;
  readonly contiguous: boolean;
  #place: Place | null;

  constructor(key: number, byteLength: number, contiguous: boolean, place: Place) {
    this.key = key;
    this.byteLength = byteLength;
    this.contiguous = contiguous;
    this.#place = place;
  }

  get place(): Place {
    assert(this.#place !== null, `pages ${this.key} were not freed`);
    return this.#place;
  }

  get bytes(): Uint8Array {
    const { chunk, first } = this.place;
    return chunk.memory.bytes.subarray(first * PAGE_BYTES, first * PAGE_BYTES + this.byteLength);
  }

  read(offset: number, target: Uint8Array): void {
    target.set(this.#part(offset, target.byteLength));
  }

  write(offset: number, source: Uint8Array): void {
    this.#part(offset, source.byteLength).set(source);
  }

  view(): Uint8Array {
    return this.bytes;
  }

  ringMemory(byteOffset: number, byteLength: number): RingMemory {
    assert(this.contiguous, `pages ${this.key} are contiguous`);
    const { buffer, byteOffset: start } = this.#part(byteOffset, byteLength);
    return new MappedRingMemory(buffer, start, byteLength);
  }

  moveTo(place: Place): void {
    const old = this.bytes;
    this.#place = place;
    this.bytes.set(old);
  }

  end(): void {
    this.#place = null;
  }

  #part(offset: number, byteLength: number): Uint8Array {
    const isInside = Number.isInteger(offset) && offset >= 0 && offset + byteLength <= this.byteLength;
    if (!isInside) throw new MemoryRangeError(offset, byteLength);
    return this.bytes.subarray(offset, offset + byteLength);
  }
}

function areAdjacent(frames: readonly number[]): boolean {
  const first = frames[0] ?? 0;
  return frames.every((frame, index) => frame === first + index);
}

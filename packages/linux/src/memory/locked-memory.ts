/**
 * Memory of this process for a device's DMA, by its physical addresses: hugepages of 2 MiB, which the kernel leaves
 * where they are, or ordinary pages, locked (mmap(2), MAP_LOCKED), which it may move.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import { Mapping } from "../native/mapping.ts";
import { MapFlag } from "../native/sys.ts";
import { errnoName } from "../native/system-call-error.ts";
import type { Pagemap } from "./pagemap.ts";
import type { MemoryChunk, MemorySource } from "./source.ts";
import { touchPages } from "./touch.ts";

const HUGEPAGE_BYTES = 2 << 20;

/** What a source needs of the system; the defaults are the real ones. */
export interface LockedMemoryParts {
  /** Null where nobody asks for physical addresses. */
  readonly pagemap: Pagemap | null;
  /** The folder of /sys and /proc; tests have their own. */
  readonly root?: string;
  /** Maps memory. */
  readonly map?: (byteLength: number, flags: number) => Mapping;
}

function mapAnonymous(byteLength: number, flags: number): Mapping {
  return Mapping.anonymous(byteLength, flags);
}

/** A mapping as a chunk. */
class MappedChunk implements MemoryChunk {
  readonly #mapping: Mapping;
  readonly #pagemap: Pagemap | null;
  /** Bytes that lie in one piece of physical memory: a page, or a hugepage. */
  readonly #unit: number;
  /** Of all pages, as they are until the next sleep; asking page by page would cost a call for each buffer. */
  #frames: readonly number[] | null = null;

  constructor(mapping: Mapping, pagemap: Pagemap | null, unit: number) {
    this.#unit = unit;
    this.#mapping = mapping;
    this.#pagemap = pagemap;
  }

  get bytes(): Uint8Array {
    return this.#mapping.bytes;
  }

  /** Where it lies in this process. */
  get address(): bigint {
    return this.#mapping.address;
  }

  frames(first: number, count: number): readonly number[] {
    this.#frames ??= this.#readFrames();
    return this.#frames.slice(first, first + count);
  }

  forgetFrames(): void {
    this.#frames = null;
  }

  close(): void {
    this.#mapping.close();
  }

  #readFrames(): readonly number[] {
    if (this.#pagemap === null) throw new GpuError("EACCES", "nobody asked for this memory's physical addresses");
    const { bytes, address } = this;
    if (this.#unit === PAGE_BYTES) {
      touchPages(bytes);
      return this.#pagemap.frames(address, bytes.byteLength / PAGE_BYTES);
    }
    const frames: number[] = [];
    for (let at = 0; at < bytes.byteLength; at += this.#unit) {
      touchPages(bytes.subarray(at, at + PAGE_BYTES));
      const [first = 0] = this.#pagemap.frames(address + BigInt(at), 1);
      for (let page = 0; page < this.#unit / PAGE_BYTES; page += 1) frames.push(first + page);
    }
    return frames;
  }
}

/** Chunks that lie somewhere in this process. */
export interface MappedMemoryChunk extends MemoryChunk {
  readonly address: bigint;
}

/** A source of them. */
export interface MappedMemorySource extends MemorySource {
  allocate(byteLength: number): MappedMemoryChunk;
}

/** Hugepages of 2 MiB. As many as are missing are reserved, and given back at the end. */
export class HugepageMemory implements MappedMemorySource {
  readonly granularity: number = HUGEPAGE_BYTES;
  readonly #parts: LockedMemoryParts;
  readonly #folder: string;
  #reserved = 0;

  constructor(parts: LockedMemoryParts) {
    this.#parts = parts;
    this.#folder = `${parts.root ?? ""}/sys/kernel/mm/hugepages/hugepages-2048kB`;
  }

  allocate(byteLength: number): MappedMemoryChunk {
    const count = byteLength / HUGEPAGE_BYTES;
    this.#reserve(count);
    const map = this.#parts.map ?? mapAnonymous;
    try {
      const flags = MapFlag.SHARED | MapFlag.HUGETLB | MapFlag.HUGE_2MB | MapFlag.POPULATE | MapFlag.LOCKED;
      return new MappedChunk(map(byteLength, flags), this.#parts.pagemap, HUGEPAGE_BYTES);
    } catch (error) {
      throw new GpuError("ENOMEM", `${count} hugepages of 2 MiB can't be mapped (${errnoName(error) ?? "?"})`, {
        cause: error,
      });
    }
  }

  close(): void {
    if (this.#reserved === 0) return;
    const reserved = this.#reserved;
    this.#reserved = 0;
    this.#setCount(Math.max(0, this.#read("nr_hugepages") - reserved));
  }

  #reserve(count: number): void {
    const [before, missing] = [this.#read("nr_hugepages"), count - this.#read("free_hugepages")];
    if (missing <= 0) return;
    this.#setCount(before + missing);
    const got = Math.max(0, this.#read("nr_hugepages") - before);
    this.#reserved += got;
    if (got >= missing) return;
    this.#reserved -= got;
    this.#setCount(before);
    throw new GpuError(
      "ENOMEM",
      `${count} hugepages of 2 MiB are needed, and only ${count - missing + got} can be had`,
    );
  }

  #read(name: string): number {
    const path = `${this.#folder}/${name}`;
    let text: string;
    try {
      text = readFileSync(path, "utf8").trim();
    } catch (error) {
      throw new GpuError("ENOTSUP", `this kernel has no hugepages of 2 MiB (${path}): use plain pages`, {
        cause: error,
      });
    }
    if (!/^\d{1,9}$/.test(text)) throw new GpuError("EIO", `${path} says "${text.slice(0, 40)}", which is no count`);
    return Number(text);
  }

  #setCount(count: number): void {
    try {
      writeFileSync(`${this.#folder}/nr_hugepages`, String(count));
    } catch (error) {
      throw new GpuError("EACCES", `hugepages can't be reserved (${errnoName(error) ?? "?"}): that takes root`, {
        cause: error,
      });
    }
  }
}

/** Ordinary pages of 4 KiB, locked. The kernel is asked not to move them for its own convenience meanwhile. */
export class PlainPageMemory implements MappedMemorySource {
  readonly granularity: number = PAGE_BYTES;
  readonly #parts: LockedMemoryParts;
  readonly #compaction: string;
  #before: string | null = null;

  constructor(parts: LockedMemoryParts) {
    this.#parts = parts;
    this.#compaction = `${parts.root ?? ""}/proc/sys/vm/compact_unevictable_allowed`;
  }

  allocate(byteLength: number): MappedMemoryChunk {
    if (this.#parts.pagemap !== null) this.#holdStill();
    const map = this.#parts.map ?? mapAnonymous;
    try {
      const flags = MapFlag.SHARED | MapFlag.POPULATE | MapFlag.LOCKED;
      return new MappedChunk(map(byteLength, flags), this.#parts.pagemap, PAGE_BYTES);
    } catch (error) {
      throw new GpuError("ENOMEM", `${byteLength >> 10} KiB can't be locked in memory (${errnoName(error) ?? "?"})`, {
        cause: error,
      });
    }
  }

  close(): void {
    if (this.#before === null) return;
    writeFileSync(this.#compaction, this.#before);
    this.#before = null;
  }

  /** Compaction may move locked pages, and a device would go on with the old ones (the kernel's sysctl/vm). */
  #holdStill(): void {
    if (this.#before !== null) return;
    try {
      this.#before = readFileSync(this.#compaction, "utf8").trim();
      writeFileSync(this.#compaction, "0");
    } catch {
      // A kernel without compaction moves nothing.
      this.#before = null;
    }
  }
}

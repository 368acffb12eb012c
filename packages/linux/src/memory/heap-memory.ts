/**
 * Memory of the JavaScript heap for a device's DMA, without a native add-on: where an array buffer lies is found by a
 * mark in it, searched for in this process's own memory (/proc/self/maps and /proc/self/mem, proc(5)).
 *
 * Nothing holds these pages in place: the kernel may swap or move them while the device uses them. Good for trying; for
 * lasting use there are hugepages and VFIO.
 */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { GpuError, type Random } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import { assert } from "../assert.ts";
import type { Pagemap } from "./pagemap.ts";
import type { MemoryChunk, MemorySource } from "./source.ts";
import { touchPages } from "./touch.ts";

const MARK_WORDS = 8;
const MARK_BYTES = MARK_WORDS * 4;
const WINDOW_BYTES = 1 << 20;
/** What reads of the own memory go through; the mark may stand in it too. */
const ANONYMOUS = /^([0-9a-f]+)-([0-9a-f]+) rw.. [0-9a-f]+ 00:00 0\s*(\[heap\])?$/;

/** See the file's head. */
export class HeapMemory implements MemorySource {
  readonly granularity: number = PAGE_BYTES;
  readonly #pagemap: Pagemap;
  readonly #random: Random;

  constructor(pagemap: Pagemap, random: Random) {
    this.#pagemap = pagemap;
    this.#random = random;
  }

  allocate(byteLength: number): MemoryChunk {
    const buffer = new Uint8Array(byteLength + PAGE_BYTES);
    touchPages(buffer);
    const address = findInMemory(buffer, this.#random);
    const skip = (PAGE_BYTES - Number(address % BigInt(PAGE_BYTES))) % PAGE_BYTES;
    const start = address + BigInt(skip);
    let bytes = buffer.subarray(skip, skip + byteLength);
    return {
      get bytes(): Uint8Array {
        return bytes;
      },
      frames: (first, count) => {
        touchPages(bytes.subarray(first * PAGE_BYTES, (first + count) * PAGE_BYTES));
        return this.#pagemap.frames(start + BigInt(first * PAGE_BYTES), count);
      },
      // Nothing is remembered: these pages may move at any time.
      forgetFrames: () => {},
      close: () => {
        bytes = new Uint8Array(0);
      },
    };
  }

  close(): void {}
}

/** Where a buffer begins. Its first bytes are zero afterwards. Throws GpuError ENOTSUP where it can't be found. */
function findInMemory(buffer: Uint8Array, random: Random): bigint {
  const fd = openOwnMemory();
  try {
    mark(buffer, random);
    const places = candidates(fd, buffer);
    // Only the buffer itself changes with the next mark: copies of the first one do not.
    const second = mark(buffer, random);
    const found = places.filter((place) => readAt(fd, place, MARK_BYTES)?.equals(second) === true);
    const [address] = found;
    if (found.length !== 1 || address === undefined) {
      throw new GpuError("ENOTSUP", `the driver's memory was found ${found.length} times in its own process`);
    }
    return address;
  } finally {
    buffer.fill(0, 0, MARK_BYTES);
    closeSync(fd);
  }
}

function openOwnMemory(): number {
  try {
    return openSync("/proc/self/mem", "r");
  } catch (error) {
    throw new GpuError("ENOTSUP", "/proc/self/mem can't be opened: plain memory needs it", { cause: error });
  }
}

function mark(buffer: Uint8Array, random: Random): Buffer {
  const words = Uint32Array.from({ length: MARK_WORDS }, () => random.nextU32());
  const bytes = Buffer.from(words.buffer);
  buffer.set(bytes);
  return bytes;
}

function candidates(fd: number, buffer: Uint8Array): bigint[] {
  const wanted = Buffer.from(buffer.subarray(0, MARK_BYTES));
  const places: bigint[] = [];
  for (const { start, byteLength } of anonymousRegions(buffer.byteLength)) {
    for (let at = 0; at < byteLength; at += WINDOW_BYTES) {
      // A little more than a window, so that no mark lies across two.
      const window = readAt(fd, start + BigInt(at), Math.min(WINDOW_BYTES + MARK_BYTES, byteLength - at));
      for (let hit = window?.indexOf(wanted) ?? -1; hit >= 0; hit = window?.indexOf(wanted, hit + 1) ?? -1) {
        places.push(start + BigInt(at + hit));
      }
    }
  }
  return [...new Set(places)];
}

function anonymousRegions(least: number): readonly { readonly start: bigint; readonly byteLength: number }[] {
  return readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, from, to] = ANONYMOUS.exec(line) ?? [];
      if (from === undefined || to === undefined) return [];
      const [start, end] = [BigInt(`0x${from}`), BigInt(`0x${to}`)];
      assert(end > start, "a region of the own memory has a size");
      const byteLength = Number(end - start);
      return byteLength >= least ? [{ start, byteLength }] : [];
    });
}

/** Null where nothing can be read. */
function readAt(fd: number, address: bigint, byteLength: number): Buffer | null {
  const bytes = Buffer.allocUnsafe(byteLength);
  try {
    const got = readSync(fd, bytes, 0, byteLength, address);
    return bytes.subarray(0, got);
  } catch {
    return null;
  }
}

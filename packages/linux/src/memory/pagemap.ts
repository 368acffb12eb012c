/**
 * Where this process's pages lie in physical memory: /proc/self/pagemap (the kernel's admin-guide/mm/pagemap). What it
 * says holds until the next sleep at most: a hibernation may bring contents back in other frames.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import { errnoName } from "../native/system-call-error.ts";

const ENTRY_BYTES = 8;
const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
const FRAME_MASK = (1n << 55n) - 1n;
/** Entries a read. */
const BATCH = 8192;
/** Beyond it a byte's address is no exact number. */
const FRAMES_MAX = Number.MAX_SAFE_INTEGER / PAGE_BYTES;

/** See the file's head. */
export class Pagemap {
  readonly #fd: number;

  /** Throws GpuError EACCES where it can't be read. */
  constructor(path = "/proc/self/pagemap") {
    try {
      this.#fd = openSync(path, "r");
    } catch (error) {
      throw new GpuError(
        "EACCES",
        `${path} can't be opened (${errnoName(error) ?? "?"}): physical addresses are root's`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * The page frame numbers of `count` pages from `address`, a multiple of the page size. Throws GpuError EACCES when the
   * kernel hides them, EIO when a page is not in memory, or nothing is known of it.
   */
  frames(address: bigint, count: number): number[] {
    const frames: number[] = [];
    const first = Number(address / BigInt(PAGE_BYTES));
    for (let done = 0; done < count; done += BATCH) {
      const some = Math.min(BATCH, count - done);
      const entries = new BigUint64Array(some);
      const bytes = readSync(this.#fd, entries, 0, some * ENTRY_BYTES, (first + done) * ENTRY_BYTES);
      if (bytes !== some * ENTRY_BYTES) throw new GpuError("EIO", `/proc/self/pagemap ends after ${bytes} bytes`);
      for (const [index, entry] of entries.entries()) frames.push(frameOf(entry, done + index));
    }
    return frames;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function frameOf(entry: bigint, index: number): number {
  if ((entry & PRESENT) === 0n) {
    const where = (entry & SWAPPED) === 0n ? "not mapped" : "on the swap disk";
    throw new GpuError("EIO", `page ${index} of the driver's memory is ${where}: no device can reach it`);
  }
  const frame = Number(entry & FRAME_MASK);
  if (frame === 0) {
    throw new GpuError("EACCES", "the kernel hides physical addresses: this needs root (CAP_SYS_ADMIN)");
  }
  if (frame >= FRAMES_MAX) throw new GpuError("EIO", `page frame 0x${frame.toString(16)} lies beyond all memory`);
  return frame;
}

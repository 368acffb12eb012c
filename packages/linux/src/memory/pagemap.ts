/**
 * Where this process's pages lie in physical memory: /proc/self/pagemap (the kernel's admin-guide/mm/pagemap). What it
 * says holds until the next sleep at most: a hibernation may bring contents back in other frames.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import { errnoName } from "../native/system-call-error.ts";

const ENTRY_BYTES = 8;
/** Bits of an entry's upper word. */
const PRESENT = 0x8000_0000;
const SWAPPED = 0x4000_0000;
const FRAME_MASK = 0x7f_ffff;
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
      // Two words an entry: big integers would cost more than everything else here.
      const words = new Uint32Array(2 * some);
      const bytes = readSync(this.#fd, words, 0, some * ENTRY_BYTES, (first + done) * ENTRY_BYTES);
      if (bytes !== some * ENTRY_BYTES) throw new GpuError("EIO", `/proc/self/pagemap ends after ${bytes} bytes`);
      for (let page = 0; page < some; page += 1) {
        frames.push(frameOf(words[2 * page] ?? 0, words[2 * page + 1] ?? 0, done + page));
      }
    }
    return frames;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function frameOf(low: number, high: number, index: number): number {
  if ((high & PRESENT) === 0) {
    const where = (high & SWAPPED) === 0 ? "not mapped" : "on the swap disk";
    throw new GpuError("EIO", `page ${index} of the driver's memory is ${where}: no device can reach it`);
  }
  const frame = (high & FRAME_MASK) * 2 ** 32 + low;
  if (frame === 0) {
    throw new GpuError("EACCES", "the kernel hides physical addresses: this needs root (CAP_SYS_ADMIN)");
  }
  if (frame >= FRAMES_MAX) throw new GpuError("EIO", `page frame 0x${frame.toString(16)} lies beyond all memory`);
  return frame;
}

/** The swap space in use. Kernel interface: /proc/swaps, swapon(2); the header as in kernel/power/swap.c. */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Sys } from "../../native/index.ts";

/** Files and devices that are swapped to. */
export async function swapsInUse(): Promise<readonly string[]> {
  const lines = (await readFile("/proc/swaps", "utf8")).split("\n").slice(1);
  return lines.flatMap((line) => line.split(/\s+/, 1)).filter((path) => path.startsWith("/"));
}

/** Does something while none of these is in use. */
export async function withoutSwap<T>(sys: Sys, paths: readonly string[], act: () => Promise<T>): Promise<T> {
  const off: string[] = [];
  try {
    for (const path of paths) {
      sys.swapOff(path);
      off.push(path);
    }
    return await act();
  } finally {
    for (const path of off) sys.swapOn(path);
  }
}

const [PAGE, SIGNATURE_AT, SIGNATURE, IMAGE_SIGNATURE] = [4096, 4086, "SWAPSPACE2", "S1SUSPEND"];

/**
 * Makes swap space of a disk again that is marked as an image which nobody resumes: so a `test_resume` leaves it that the
 * kernel refuses after it has written the image. No later hibernation would find its swap space.
 */
export function markAsSwap(path: string): void {
  const fd = openSync(path, "r+");
  try {
    const page = Buffer.alloc(PAGE);
    readSync(fd, page, 0, PAGE, 0);
    const signature = page.toString("latin1", SIGNATURE_AT, PAGE);
    if (!signature.startsWith(IMAGE_SIGNATURE) && signature !== SIGNATURE) return;
    page.write(SIGNATURE, SIGNATURE_AT, "latin1");
    // Also where it reads as it should: the kernel writes the mark past the cache.
    writeSync(fd, page, 0, PAGE, 0);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The swap space in use. Kernel interface: /proc/swaps, swapon(2). */
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

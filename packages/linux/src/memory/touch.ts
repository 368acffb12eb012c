/** Pages that are in memory, and stay what they are. */
import { PAGE_BYTES } from "@virtgpu/core/memory";

/**
 * Writes to each page what it holds already: a page that was swapped out, or is shared until somebody writes to it,
 * gets the frame that it keeps. Atomically, for a device may write there too.
 */
export function touchPages(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.byteLength; at += PAGE_BYTES) Atomics.or(bytes, at, 0);
}

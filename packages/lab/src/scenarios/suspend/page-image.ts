/** An image of memory that a {@link RamPageAllocator} handed out: what the suite's hibernations keep. */
import { GpuError } from "@virtgpu/core/base";
import type { RamPageAllocator } from "@virtgpu/core/memory";
import { must } from "./subject.ts";

/**
 * Copies all that is allocated. The function puts it back: into the same allocations, all of which must be there still, and,
 * while nothing is mapped for the device, on other frames.
 */
export function takePageImage(allocator: RamPageAllocator, isMapped: () => boolean): () => void {
  const image = allocator.save().map(({ key, byteLength }) => {
    const bytes = new Uint8Array(byteLength);
    allocator.find(key)?.read(0, bytes);
    return { key, bytes };
  });
  return () => {
    for (const { key, bytes } of image) {
      const pages = allocator.find(key);
      must(pages !== undefined, `pages ${key} of the image are not allocated any more`);
      pages.write(0, bytes);
    }
    // One process stands for every kernel: where a device that nobody could put down was mapped, frames stay.
    if (!isMapped()) for (const { key } of image) move(allocator, key);
  };
}

/** Contiguous pages stay where they are, if there is no such place elsewhere. */
function move(allocator: RamPageAllocator, key: number): void {
  try {
    allocator.moveFrames([key]);
  } catch (error) {
    if (!(error instanceof GpuError) || error.code !== "ENOMEM") throw error;
  }
}

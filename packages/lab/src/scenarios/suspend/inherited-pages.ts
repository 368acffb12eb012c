/** Pages as the next kernel finds them: still where the last one put them, for whoever names them. */
import { GpuError } from "@virtgpu/core/base";
import type { PageAllocator, Pages, PagesRecord, RamPageAllocator } from "@virtgpu/core/memory";
import type { FaultyAllocator } from "@virtgpu/core/sim";

/** See the file's head. In front of the allocator that all kernels of a simulated machine share. */
export class InheritedPages implements PageAllocator {
  readonly #books: FaultyAllocator;
  readonly #frames: RamPageAllocator;
  /** What the last kernel had, and nobody has taken over yet. */
  readonly #unclaimed: Set<Pages>;

  /** `lent`: what is somebody else's, whoever is the kernel. */
  constructor(books: FaultyAllocator, frames: RamPageAllocator, lent: readonly Pages[]) {
    this.#books = books;
    this.#frames = frames;
    this.#unclaimed = new Set([...books.live()].filter((pages) => !lent.includes(pages)));
  }

  get allocatedBytes(): number {
    return this.#books.allocatedBytes;
  }

  allocate(byteLength: number, options: { readonly contiguous?: boolean } = {}): Pages {
    return this.#books.allocate(byteLength, options);
  }

  free(pages: Pages): void {
    this.#books.free(pages);
  }

  save(): readonly PagesRecord[] {
    return this.#books.save();
  }

  adopt({ key, byteLength }: PagesRecord): Pages {
    const pages = this.#frames.find(key);
    if (pages === undefined || pages.byteLength !== byteLength || !this.#unclaimed.delete(pages)) {
      throw new GpuError("EINVAL", `recorded pages ${key} were not the last kernel's`);
    }
    return pages;
  }

  /** What nobody took over is free. */
  settle(): void {
    for (const pages of this.#unclaimed) this.#books.free(pages);
    this.#unclaimed.clear();
  }
}

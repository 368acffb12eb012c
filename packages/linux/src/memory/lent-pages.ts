/** Memory of the application's that it lends to the device as an import, from the driver's own pool. */
import type { BufferExporter } from "@virtgpu/core/driver";
import type { DmaMap, PageAllocator, Pages, ScatterList } from "@virtgpu/core/memory";

/** See the file's head. It stays where it is as long as it is lent: nobody is asked to make way. */
export class LentPages implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly #allocator: PageAllocator;
  readonly #dma: DmaMap;

  constructor(parts: { readonly allocator: PageAllocator; readonly dma: DmaMap }, key: string, byteLength: number) {
    this.#allocator = parts.allocator;
    this.#dma = parts.dma;
    this.key = key;
    this.byteLength = byteLength;
    this.pages = parts.allocator.allocate(byteLength);
  }

  map(): ScatterList {
    return this.#dma.map(this.pages);
  }

  unmap(): void {
    this.#dma.unmap(this.pages);
  }

  subscribe(): () => void {
    return () => {};
  }

  /** Once no buffer is made of it any more. */
  free(): void {
    this.#allocator.free(this.pages);
  }
}

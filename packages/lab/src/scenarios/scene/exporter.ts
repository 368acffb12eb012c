/**
 * An application that owns memory and lends it to the GPU, as a camera or a video decoder does: what imported buffers are
 * made of.
 */
import type { BufferExporter, ImportListener } from "@virtgpu/core/driver";
import type { DmaMap, Pages, ScatterList } from "@virtgpu/core/memory";

/** Lends some pages. */
export class PagesExporter implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly #dma: DmaMap;
  readonly #listeners: Set<ImportListener> = new Set();

  constructor(key: string, pages: Pages, dma: DmaMap) {
    this.key = key;
    this.pages = pages;
    this.byteLength = pages.byteLength;
    this.#dma = dma;
  }

  map(): ScatterList {
    return this.#dma.map(this.pages);
  }

  unmap(): void {
    this.#dma.unmap(this.pages);
  }

  subscribe(listener: ImportListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

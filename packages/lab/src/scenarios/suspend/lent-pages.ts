/** Memory of somebody else on a machine with our own page allocator: what imports of the suite are made of. */
import type { ImportListener } from "@virtgpu/core/driver";
import type { DmaMap, Pages, RamPageAllocator, ScatterList } from "@virtgpu/core/memory";
import { type Lender, must } from "./subject.ts";

/** What {@link LentPages} are made of. */
export interface LentPagesOptions {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly dma: DmaMap;
  /** Whose frames they lie in. */
  readonly frames: RamPageAllocator;
}

/** See the file's head. */
export class LentPages implements Lender {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly #options: LentPagesOptions;
  readonly #listeners: Set<ImportListener> = new Set();
  #mapped = 0;

  constructor(options: LentPagesOptions) {
    this.key = options.key;
    this.byteLength = options.byteLength;
    this.pages = options.pages;
    this.#options = options;
  }

  map(): ScatterList {
    const list = this.#options.dma.map(this.#options.pages);
    this.#mapped += 1;
    return list;
  }

  unmap(): void {
    this.#mapped -= 1;
    this.#options.dma.unmap(this.#options.pages);
  }

  subscribe(listener: ImportListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#options.pages.write(offset, bytes);
  }

  async move(): Promise<void> {
    await this.takeBack();
    this.#options.frames.moveFrames([this.#options.pages.key]);
    this.giveAgain();
  }

  async takeBack(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.onMove()));
    must(this.#mapped === 0, `"${this.key}" is still used after it was taken back`);
  }

  giveAgain(): void {
    for (const listener of this.#listeners) listener.onResident();
  }
}

/** Memory of somebody else in a simulated machine, lent to the GPU: it moves, is taken back, given again, and ends. */
import { GpuError } from "@virtgpu/core/base";
import type { BufferExporter, ImportListener } from "@virtgpu/core/driver";
import type { Pages, ScatterList } from "@virtgpu/core/memory";
import type { SimMachine } from "@virtgpu/core/sim";
import { demand } from "./failure.ts";

/** See the file's head. */
export class Lender implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly #sim: SimMachine;
  readonly #listeners: Set<ImportListener> = new Set();
  #mapped = 0;
  /** Between a taking back that has ended and the giving again. */
  #isAway = false;

  constructor(sim: SimMachine, key: string, pages: Pages, byteLength: number) {
    this.#sim = sim;
    this.key = key;
    this.pages = pages;
    this.byteLength = byteLength;
  }

  /** Whether anybody uses it. */
  get isUsed(): boolean {
    return this.#mapped > 0;
  }

  map(): ScatterList {
    demand(!this.#isAway, `"${this.key}" is mapped although its owner has it`);
    const list = this.#sim.dma.map(this.pages);
    this.#mapped += 1;
    return list;
  }

  unmap(): void {
    this.#mapped -= 1;
    this.#sim.dma.unmap(this.pages);
  }

  subscribe(listener: ImportListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Asks for it back: true once it is its owner's alone, false when it was given again meanwhile. */
  async takeBack(): Promise<boolean> {
    try {
      await Promise.all([...this.#listeners].map((listener) => listener.onMove()));
      return true;
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "ECANCELED") throw error;
      demand(!this.#isAway, `"${this.key}" was not given again, and its taking back was given up`);
      return false;
    }
  }

  /** It is its owner's: nobody may use it. */
  away(): void {
    demand(this.#mapped === 0, `"${this.key}" is still used after it was taken back`);
    this.#isAway = true;
  }

  move(): void {
    this.#sim.frames.moveFrames([this.pages.key]);
  }

  giveAgain(): void {
    this.#isAway = false;
    for (const listener of this.#listeners) listener.onResident();
  }

  /** It is gone for good. */
  async end(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.onEnd()));
    this.away();
  }
}

/**
 * The user's own parts behind guards: an exporter that throws takes neither the driver nor another object along. What it
 * threw is traced.
 */
import { InvariantViolation } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import type { Guard } from "../base/guard.ts";
import type { ScatterList } from "../memory/pages.ts";
import type { BufferExporter, ImportListener } from "./desired/objects.ts";

/** An exporter whose `map` throws nothing but GpuErrors, and whose `unmap` throws nothing. */
export class GuardedExporter implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly #exporter: BufferExporter;
  readonly #guard: Guard;

  constructor(exporter: BufferExporter, guard: Guard) {
    this.key = exporter.key;
    this.byteLength = exporter.byteLength;
    this.#exporter = exporter;
    this.#guard = guard;
  }

  /** Throws GpuError: the exporter's own, else EIO. */
  map(): ScatterList {
    try {
      return this.#exporter.map();
    } catch (error) {
      if (error instanceof GpuError || error instanceof InvariantViolation) throw error;
      this.#guard.caught("exporter's map", error);
      throw new GpuError("EIO", `the exporter of "${this.key}" threw: ${String(error)}`, { cause: error });
    }
  }

  unmap(): void {
    this.#guard.run("exporter's unmap", () => this.#exporter.unmap(), undefined);
  }

  /** Throws what the exporter throws: to whoever imports. */
  subscribe(listener: ImportListener): () => void {
    const stop = this.#exporter.subscribe(listener);
    return () => this.#guard.run("exporter's deregistration", stop, undefined);
  }
}

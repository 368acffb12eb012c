/**
 * Other people's code, called by ours: what it throws is traced and goes no further. A failed assertion is ours and passes.
 */
import { InvariantViolation } from "./assert.ts";
import type { Tracer } from "./tracer.ts";

/** Runs what is not ours; what it throws is traced. */
export class Guard {
  readonly #device: string;
  readonly #tracer: Tracer;

  constructor(device: string, tracer: Tracer) {
    this.#device = device;
    this.#tracer = tracer;
  }

  /** The result of `work`, or `otherwise` when it throws. `who`: for the message. */
  run<T>(who: string, work: () => T, otherwise: T): T {
    try {
      return work();
    } catch (error) {
      this.caught(who, error);
      return otherwise;
    }
  }

  /** Traces what was thrown; an assertion goes on. */
  caught(who: string, error: unknown): void {
    if (error instanceof InvariantViolation) throw error;
    if (!this.#tracer.enabled) return;
    this.#tracer.trace({
      kind: "message",
      device: this.#device,
      level: "error",
      text: `the ${who} threw: ${String(error)}`,
    });
  }
}

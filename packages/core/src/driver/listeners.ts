import type { Guard } from "../base/guard.ts";

/** Who wants to hear of something. */
export interface Signal<T> {
  /** Calls `listener` at each event from now on; returns the deregistration. */
  on(listener: (event: T) => void): () => void;
  emit(event: T): void;
}

/**
 * See {@link Signal}. What a listener throws goes into nobody's work: a user's is traced; the driver's own, and a failed
 * assertion, go to the top level as an unhandled rejection.
 */
export class Listeners<T> implements Signal<T> {
  readonly #listeners: Set<(event: T) => void> = new Set();
  readonly #guard: Guard | null;
  readonly #who: string;

  /** With the guard of users' listeners, and what its message calls them; without, for the driver's own. */
  constructor(guard: Guard | null = null, who: string = "") {
    this.#guard = guard;
    this.#who = who;
  }

  on(listener: (event: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: T): void {
    for (const listener of Array.from(this.#listeners)) {
      try {
        if (this.#guard === null) listener(event);
        else this.#guard.run(this.#who, () => listener(event), undefined);
      } catch (error) {
        void Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}

/** Who wants to hear of something. */
export interface Signal<T> {
  /** Calls `listener` at each event from now on; returns the deregistration. */
  on(listener: (event: T) => void): () => void;
  emit(event: T): void;
}

/** See {@link Signal}. What a listener throws goes to the top level as an unhandled rejection, never into the driver's work. */
export class Listeners<T> implements Signal<T> {
  readonly #listeners: Set<(event: T) => void> = new Set();

  on(listener: (event: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: T): void {
    for (const listener of Array.from(this.#listeners)) {
      try {
        listener(event);
      } catch (error) {
        void Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
    }
  }
}

/** A clock that stops with the power: what a dead kernel still waited for never comes. */
import type { CancelTimer, Clock, TimerOptions } from "@virtgpu/core/base";

/** See the file's head. */
export class BootClock implements Clock {
  readonly #inner: Clock;
  readonly #timers: Set<CancelTimer> = new Set();
  #isOver = false;

  constructor(inner: Clock) {
    this.#inner = inner;
  }

  nowMs(): number {
    return this.#inner.nowMs();
  }

  after(delayMs: number, callback: () => void, options?: TimerOptions): CancelTimer {
    if (this.#isOver) return () => {};
    const cancel = this.#inner.after(
      delayMs,
      () => {
        this.#timers.delete(end);
        callback();
      },
      options,
    );
    const end = (): void => {
      this.#timers.delete(end);
      cancel();
    };
    this.#timers.add(end);
    return end;
  }

  defer(callback: () => void): void {
    this.#inner.defer(() => {
      if (!this.#isOver) callback();
    });
  }

  /** The power is off. */
  end(): void {
    this.#isOver = true;
    for (const end of this.#timers) end();
  }
}

/** The core's clock over real time: CLOCK_MONOTONIC, which a sleep does not advance. */
import type { CancelTimer, Clock, TimerOptions } from "@virtgpu/core/base";

/** A {@link Clock} on Node's timers. Waiting on it keeps the process alive, except in the background. */
export function createNodeClock(): Clock {
  return {
    nowMs: () => performance.now(),
    after: (delayMs: number, callback: () => void, { background = false }: TimerOptions = {}): CancelTimer => {
      // A timer of 0 ms waits a whole millisecond in Node; who polls a ring wants the next turn of the loop.
      if (delayMs <= 0) {
        const immediate = setImmediate(callback);
        return () => clearImmediate(immediate);
      }
      const timer = setTimeout(callback, delayMs);
      if (background) timer.unref();
      return () => clearTimeout(timer);
    },
    defer: (callback: () => void): void => queueMicrotask(callback),
  };
}

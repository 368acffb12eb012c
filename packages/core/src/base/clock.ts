/**
 * Time as the core sees it. Everything below `sim/` receives a {@link Clock}; nothing reads the machine's own.
 */

/** Ends a timer. Calling it after the timer fired, or twice, does nothing. */
export type CancelTimer = () => void;

/** What else is to be known of a timer. */
export interface TimerOptions {
  /** Nobody waits for it: a process that has nothing else to do may end. A clock that can't tell may ignore it. */
  readonly background?: boolean;
}

/** A source of time and of "later". Times are milliseconds, monotonic, from an arbitrary start. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  nowMs(): number;
  /** Calls `callback` once, `delayMs` (0 or more) from now, never synchronously. */
  after(delayMs: number, callback: () => void, options?: TimerOptions): CancelTimer;
  /** Calls `callback` soon, before any timer, never synchronously: what a kernel's work queue is to an interrupt. */
  defer(callback: () => void): void;
}

/** Resolves `delayMs` milliseconds from now on `clock`. */
export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delayMs, resolve);
  });
}

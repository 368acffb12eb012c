/**
 * Notices a sleep that nobody told of: CLOCK_BOOTTIME counts it and CLOCK_MONOTONIC does not (clock_gettime(2)), or the
 * device is not as its driver left it.
 */
import { readFileSync } from "node:fs";
import type { CancelTimer, Clock } from "@virtgpu/core/base";

/** How often is looked, in milliseconds. */
const INTERVAL_MS = 250;
/** Clocks are read one after the other, and in between this process may wait for the processor. */
const JUMP_MS = 1000;

/** What is watched. */
export interface SleepWatchParts {
  readonly clock: Clock;
  /** CLOCK_BOOTTIME in milliseconds. */
  readonly bootMs: () => number;
  /** Whether each device is as its driver left it, or put down. */
  readonly isAsLeft: () => boolean;
  /** Called for each sleep that was noticed, with what gave it away. */
  readonly onSleep: (sign: "clock" | "device") => void;
}

/** See the file's head. */
export class SleepWatch {
  readonly #parts: SleepWatchParts;
  #offset: number;
  #cancel: CancelTimer | null = null;

  constructor(parts: SleepWatchParts) {
    this.#parts = parts;
    this.#offset = this.#readOffset();
    this.#wait();
  }

  /** A sleep that is known: it isn't noticed again. */
  forget(): void {
    this.#offset = this.#readOffset();
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #wait(): void {
    this.#cancel = this.#parts.clock.after(INTERVAL_MS, () => this.#look(), { background: true });
  }

  #look(): void {
    const { isAsLeft, onSleep } = this.#parts;
    this.#wait();
    const offset = this.#readOffset();
    const jumped = offset - this.#offset > JUMP_MS;
    // Slow drift, and reads that came late, are no sleep.
    this.#offset = jumped ? offset : Math.min(this.#offset, offset);
    if (jumped) onSleep("clock");
    else if (!isAsLeft()) onSleep("device");
  }

  #readOffset(): number {
    const { clock, bootMs } = this.#parts;
    return bootMs() - clock.nowMs();
  }
}

/** CLOCK_BOOTTIME as /proc/uptime tells it, in milliseconds, to 10 ms. */
export function readBootMs(path = "/proc/uptime"): number {
  const [seconds = ""] = readFileSync(path, "utf8").split(" ");
  return Number(seconds) * 1000;
}

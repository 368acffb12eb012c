/** The life of a driver's process, which can end from one instruction to the next; and what comes after it. */
import type { CancelTimer, Clock, TimerOptions, TraceEvent, Tracer } from "@virtgpu/core/base";
import type { VirtioGpu } from "@virtgpu/core/driver";
import type { TestedBuffer, TestedDriver } from "./driver.ts";
import type { Lender } from "./subject.ts";

/**
 * A guest's clock: it stops with the driver's process, for a driver without time and interrupts does nothing any more, and
 * may be held up while the guest's processors are.
 */
export class GuestClock implements Clock {
  readonly #inner: Clock;
  readonly #timers: Set<CancelTimer> = new Set();
  #isOver = false;
  /** What is due once the guest runs again; null while it runs. */
  #held: (() => void)[] | null = null;

  constructor(inner: Clock) {
    this.#inner = inner;
  }

  nowMs(): number {
    return this.#inner.nowMs();
  }

  after(delayMs: number, callback: () => void, options?: TimerOptions): CancelTimer {
    if (this.#isOver) return () => {};
    let isCancelled = false;
    const fire = (): void => {
      this.#timers.delete(end);
      if (!isCancelled) callback();
    };
    const cancel = this.#inner.after(delayMs, () => this.#whenRunning(fire), options);
    const end = (): void => {
      this.#timers.delete(end);
      isCancelled = true;
      cancel();
    };
    this.#timers.add(end);
    return end;
  }

  defer(callback: () => void): void {
    this.#inner.defer(() => this.#whenRunning(callback));
  }

  /** The guest's processors stop. */
  hold(): void {
    this.#held ??= [];
  }

  /** They go on. */
  goOn(): void {
    const due = this.#held ?? [];
    this.#held = null;
    for (const callback of due) this.#inner.defer(() => this.#whenRunning(callback));
  }

  /** The process ends. */
  end(): void {
    this.#isOver = true;
    for (const end of this.#timers) end();
  }

  #whenRunning(callback: () => void): void {
    if (this.#isOver) return;
    if (this.#held === null) callback();
    else this.#held.push(callback);
  }
}

/** Counts how often our driver began a session with its device. */
export class SessionCounter implements Tracer {
  sessions: number = 0;
  readonly #inner: Tracer;

  constructor(inner: Tracer) {
    this.#inner = inner;
  }

  get enabled(): boolean {
    return this.#inner.enabled;
  }

  trace(event: TraceEvent): void {
    if (event.kind === "session") this.sessions += 1;
    if (this.#inner.enabled) this.#inner.trace(event);
  }
}

/** A driver that knows, from saved state alone, what an earlier process had. */
export interface DriverSuccessor {
  readonly driver: TestedDriver;
  /** Takes a buffer over by its key, with the memory that was lent for it, if it was. */
  adopt(key: string, lender: Lender | null): { readonly buffer: TestedBuffer; readonly lender: Lender | null };
}

/** Makes a successor of a loaded driver; `lent` gives what lends the memory of an earlier lender now. */
export function successorOf(gpu: VirtioGpu, lent: (lender: Lender) => Lender): DriverSuccessor {
  return {
    driver: gpu,
    adopt: (key, before) => {
      const lender = before === null ? null : lent(before);
      return { buffer: lender === null ? gpu.adopt(key) : gpu.adopt(key, lender), lender };
    },
  };
}

/** A subject whose driver's process can be ended and followed by another, in steps, for there may be several drivers. */
export interface RestartableSubject {
  /** The driver's process ends. Returns what it saved, plain data. */
  endDriver(): unknown;
  /** The machine's memory is handed out anew: nothing is allocated but what is taken over. */
  renewMemory(): void;
  /** A driver in a new process. It has not touched the device yet. */
  loadDriver(saved: unknown): DriverSuccessor;
  /** What nobody took over is free. */
  settleMemory(): void;
}

/** Ends the drivers of one machine and starts their successors. */
export function restartDrivers(subjects: readonly RestartableSubject[]): readonly DriverSuccessor[] {
  // As it would come from a file.
  const saved = subjects.map((subject): unknown => JSON.parse(JSON.stringify(subject.endDriver())));
  const [first] = subjects;
  first?.renewMemory();
  const successors = subjects.map((subject, index) => subject.loadDriver(saved[index]));
  first?.settleMemory();
  return successors;
}

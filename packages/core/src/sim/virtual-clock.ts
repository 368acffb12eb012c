/**
 * Time for simulations: it stands still unless it is advanced, so hours of deadlines pass in milliseconds and a run is the
 * same every time.
 *
 * Between two timers all promise continuations run. The language gives no way to wait for exactly that; a turn of the
 * machine's own event loop does it, and comes in as `turn` (Node: `() => new Promise(setImmediate)`). Without one, a long
 * chain of resolved promises stands in for it.
 */
import { assert } from "../base/assert.ts";
import type { CancelTimer, Clock, TimerOptions } from "../base/clock.ts";

/** Links of the chain that stands in for a turn: deeper chains of promises than this are not waited for. */
const TURN_LINKS = 256;
/** Turns in one {@link VirtualClock.settle} before work that always makes new work is called a livelock. */
const TURNS_MAX = 100_000;
/** Cancelled timers are cleared out once they are this many, and more than half of all. */
const CANCELLED_MIN = 64;

/** A simulation that can't go on: nothing left to wait for, or no end in sight. */
export class SimulationStuck extends Error {
  override readonly name: string = "SimulationStuck";
}

/** What a {@link VirtualClock} is made of. */
export interface VirtualClockOptions {
  /** Where time starts, in milliseconds. Default 0. */
  readonly startMs?: number | undefined;
  /** Resolves after all promise continuations that can run have run. Default: a chain of 256 promises. */
  readonly turn?: (() => Promise<void>) | undefined;
}

/** How long {@link VirtualClock.run} goes on. */
export interface RunOptions {
  /** Virtual milliseconds after which the work counts as stuck. Default: one hour. */
  readonly limitMs?: number | undefined;
}

interface Timer {
  readonly dueMs: number;
  readonly sequence: number;
  readonly background: boolean;
  callback: (() => void) | null;
}

/** See the file's head. */
export class VirtualClock implements Clock {
  readonly #turn: () => Promise<void>;
  readonly #heap: Timer[] = [];
  #nowMs: number;
  #sequence = 0;
  #cancelled = 0;
  // Moves on with every timer set and every deferred call made: tells whether a turn brought anything new.
  #activity = 0;
  #deferred = 0;
  #driven = false;
  #failures: unknown[] = [];

  constructor(options: VirtualClockOptions = {}) {
    this.#nowMs = options.startMs ?? 0;
    this.#turn = options.turn ?? chainOfPromises;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  /** Timers set and neither fired nor cancelled: what a device that was torn down must not leave behind. */
  get timers(): number {
    return this.#heap.length - this.#cancelled;
  }

  /** Those of {@link timers} that somebody waits for: what would keep a process alive. */
  get awaitedTimers(): number {
    return this.#heap.filter(({ callback, background }) => callback !== null && !background).length;
  }

  /** When the next timer is due, or null when there is none. */
  get nextMs(): number | null {
    return this.#peek()?.dueMs ?? null;
  }

  after(delayMs: number, callback: () => void, { background = false }: TimerOptions = {}): CancelTimer {
    assert(delayMs >= 0, `a timer can't be due in ${delayMs} ms`);
    const timer: Timer = { dueMs: this.#nowMs + delayMs, sequence: this.#sequence, background, callback };
    this.#sequence += 1;
    this.#activity += 1;
    this.#push(timer);
    return () => {
      if (timer.callback === null) return;
      timer.callback = null;
      this.#cancelled += 1;
      this.#compact();
    };
  }

  defer(callback: () => void): void {
    this.#deferred += 1;
    void Promise.resolve().then(() => {
      this.#deferred -= 1;
      this.#activity += 1;
      this.#call(callback);
    });
  }

  /** Lets all promise continuations and deferred calls run; time does not move. Rejects with what a callback threw. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      const before = this.#activity;
      await this.#turn();
      this.#rethrow();
      if (this.#activity === before && this.#deferred === 0) return;
    }
    throw new SimulationStuck(`at ${this.#nowMs} ms work goes on for ever without time passing`);
  }

  /** Lets `ms` milliseconds pass: fires what falls due, in order, settling before each and at the end. */
  async advance(ms: number): Promise<void> {
    assert(ms >= 0, `time can't advance by ${ms} ms`);
    const untilMs = this.#nowMs + ms;
    await this.#drive(async () => {
      await this.settle();
      for (let next = this.#peek(); next !== null && next.dueMs <= untilMs; next = this.#peek()) await this.#fire();
      this.#nowMs = untilMs;
    });
  }

  /**
   * Lets time pass, from timer to timer, until `work` settles; gives its result. Rejects with {@link SimulationStuck} when
   * there is no timer left to wait for, or the limit has passed.
   */
  async run<T>(work: Promise<T>, options: RunOptions = {}): Promise<T> {
    const untilMs = this.#nowMs + (options.limitMs ?? 3_600_000);
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    work.then(done, done);
    return this.#drive(async () => {
      await this.settle();
      while (!settled) {
        const next = this.#peek();
        if (next === null) {
          throw new SimulationStuck(
            `at ${this.#nowMs} ms the work is pending and no timer is left: nothing will end it`,
          );
        }
        if (next.dueMs > untilMs) {
          throw new SimulationStuck(`at ${this.#nowMs} ms the work is pending, with no end before ${untilMs} ms`);
        }
        await this.#fire();
      }
      return work;
    });
  }

  /** One at a time: two that drive the same time would each see the other's steps as their own. */
  async #drive<T>(work: () => Promise<T>): Promise<T> {
    assert(!this.#driven, "the clock is being driven already: await that first");
    this.#driven = true;
    try {
      return await work();
    } finally {
      this.#driven = false;
    }
  }

  /** Fires the next timer and settles. */
  async #fire(): Promise<void> {
    const timer = this.#pop();
    const callback = timer?.callback ?? null;
    if (timer === undefined || callback === null) return;
    timer.callback = null;
    // A limit in between may have moved time past the moment the timer was due.
    this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
    this.#call(callback);
    await this.settle();
  }

  #call(callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#failures.push(error);
    }
  }

  #rethrow(): void {
    if (this.#failures.length === 0) return;
    const [first] = this.#failures;
    this.#failures = [];
    throw first;
  }

  /** The next timer that was not cancelled. */
  #peek(): Timer | null {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined) return null;
      if (top.callback !== null) return top;
      this.#pop();
      this.#cancelled -= 1;
    }
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(timer, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = timer;
  }

  #pop(): Timer | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (last !== undefined && heap.length > 0) this.#sink(last);
    return top;
  }

  /** Puts `timer` where the top was, and down to its place. */
  #sink(timer: Timer): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      if (left === undefined) break;
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, left)) child += 1;
      const smaller = heap[child];
      if (smaller === undefined || !isBefore(smaller, timer)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = timer;
  }

  /** Deadlines are mostly cancelled long before they are due: they must not pile up while time stands still. */
  #compact(): void {
    if (this.#cancelled < CANCELLED_MIN || this.#cancelled * 2 < this.#heap.length) return;
    const live = this.#heap.filter((timer) => timer.callback !== null);
    this.#heap.length = 0;
    this.#cancelled = 0;
    for (const timer of live) this.#push(timer);
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.sequence < b.sequence);
}

async function chainOfPromises(): Promise<void> {
  let link = Promise.resolve();
  for (let links = 0; links < TURN_LINKS; links += 1) link = link.then(nothing);
  await link;
}

function nothing(): void {}

/** Waiting with an end: no call of the sleep code, to a driver or to the machine, is waited for without a bound. */
import { type Clock, GpuError } from "../base/index.ts";

/** How long each kind of call is waited for, in milliseconds. */
export interface SleepDeadlines {
  /** A notifier; longer than a driver whose policy is to wait for its users does that: its veto names them. */
  readonly notifyMs: number;
  /** One driver's freeze. */
  readonly freezeMs: number;
  /** One driver's restore, up to its picture. */
  readonly pictureMs: number;
  /** One driver's restore, up to its last object; nothing of the sleep waits for it, only `SleepResult.complete`. */
  readonly completeMs: number;
  /** One driver's shutdown. */
  readonly shutdownMs: number;
  /** One step of the machine. */
  readonly stepMs: number;
  /** Writing or loading the image. */
  readonly imageMs: number;
}

/** Generous, for a slow host is no dead host. */
export const defaultDeadlines: SleepDeadlines = {
  notifyMs: 60_000,
  freezeMs: 30_000,
  pictureMs: 30_000,
  completeMs: 120_000,
  shutdownMs: 5_000,
  stepMs: 60_000,
  imageMs: 600_000,
};

/** What a call comes to after its deadline. */
export type LateEnd = "late success" | "late failure";

/** A call with its deadline, and who wants to know when it ends after all. */
export interface BoundedCall<T> {
  /** Names the call in the error. */
  readonly what: string;
  /** Whom it concerns, for the error. */
  readonly device: string;
  readonly deadlineMs: number;
  /** Called at once. */
  readonly work: () => Promise<T>;
  /** Told that the deadline has passed; the function it returns is told how the call ended after all. */
  readonly onExpired: () => (end: LateEnd) => void;
}

/** Makes the call; rejects with ETIMEDOUT once its deadline has passed. A late rejection is never unhandled. */
export function withDeadline<T>(clock: Clock, call: BoundedCall<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    let onLateEnd: ((end: LateEnd) => void) | undefined;
    const cancel = clock.after(call.deadlineMs, () => {
      onLateEnd = call.onExpired();
      const sentence = `${call.what} took longer than ${call.deadlineMs} ms; it is given up`;
      reject(new GpuError("ETIMEDOUT", sentence, { device: call.device }));
    });
    const work = async (): Promise<T> => call.work();
    work().then(
      (value) => {
        cancel();
        if (onLateEnd === undefined) resolve(value);
        else onLateEnd("late success");
      },
      (error: unknown) => {
        cancel();
        if (onLateEnd === undefined) reject(error);
        else onLateEnd("late failure");
      },
    );
  });
}

/** A call that outlived its deadline. */
export interface OverdueCall {
  readonly device: string;
  readonly phase: string;
}

/**
 * Calls that outlived their deadline and have not ended yet. While there is one, no sleep begins: what it does when it
 * ends would cut into that sleep.
 */
export class OverdueCalls {
  readonly #calls: Set<OverdueCall> = new Set();

  /** The oldest of them. */
  get first(): OverdueCall | undefined {
    const [first] = this.#calls;
    return first;
  }

  /** Remembers `call` until the returned function is called. */
  add(call: OverdueCall): () => void {
    this.#calls.add(call);
    return () => {
      this.#calls.delete(call);
    };
  }

  /** Forgets the calls of a device that is gone. */
  forget(device: string): void {
    for (const call of this.#calls) if (call.device === device) this.#calls.delete(call);
  }
}

/** What a sleep did, in order and with times: kept for its result, traced as it happens. */
import {
  type Clock,
  type ErrorCode,
  GpuError,
  InvariantViolation,
  type RestoreReport,
  type Tracer,
} from "../base/index.ts";
import { type OverdueCalls, withDeadline } from "./deadline.ts";

/** The name under which the machine's own steps stand in the log. */
export const SYSTEM = "system";

/** One mark in a sleep's log. */
export interface PhaseRecord {
  /** The device, or `system`. */
  readonly device: string;
  /** E.g. `notify HIBERNATION_PREPARE`, `freeze FREEZE`, `restore THAW`, or a step of the machine: `cpus`, `undo cpus`. */
  readonly phase: string;
  readonly state: "begin" | "end" | "fail";
  /** On the injected clock, in milliseconds. */
  readonly atMs: number;
  /** For `fail`: why. */
  readonly detail?: string;
}

/** A call that failed. */
export interface SleepFailure {
  readonly device: string;
  readonly phase: string;
  readonly error: GpuError;
}

/** What one device's restore came to in the end: a report, or why there is none. */
export interface DeviceReport {
  readonly device: string;
  readonly report?: RestoreReport;
  readonly error?: GpuError;
}

/** A call as the log makes it. */
export interface LoggedCall<T> {
  readonly device: string;
  readonly phase: string;
  /** Absent: waited for without an end, for the machine itself stands still meanwhile. */
  readonly deadlineMs?: number;
  readonly work: () => Promise<T>;
  /** Undoes the call if it succeeds after it was given up. */
  readonly undoLate?: () => Promise<void>;
  /** Its end after it was given up can't disturb a later sleep. */
  readonly lateIsHarmless?: boolean;
}

/** Any error as a {@link GpuError}, its own code kept. */
export function asGpuError(error: unknown, device: string, code: ErrorCode = "EIO"): GpuError {
  if (error instanceof GpuError) return error;
  return new GpuError(code, error instanceof Error ? error.message : String(error), { device, cause: error });
}

/** The log of one operation; also makes its calls, so that nothing happens unrecorded or unbounded. */
export class SleepLog {
  readonly phases: PhaseRecord[] = [];
  readonly failures: SleepFailure[] = [];
  /** Devices whose restore did not come to its picture. */
  readonly lost: DeviceReport[] = [];
  /** One a restored device; none ever rejects. */
  readonly completions: Promise<DeviceReport>[] = [];
  /** A mistake of our own that came by; it is thrown again when everything is back in order. */
  bug: InvariantViolation | undefined;

  readonly #clock: Clock;
  readonly #tracer: Tracer;
  readonly #overdue: OverdueCalls;

  constructor(parts: { readonly clock: Clock; readonly tracer: Tracer; readonly overdue: OverdueCalls }) {
    this.#clock = parts.clock;
    this.#tracer = parts.tracer;
    this.#overdue = parts.overdue;
  }

  /** Makes a call, with its marks. `work` starts at once. Rejects as it does, or with ETIMEDOUT. */
  async call<T>(call: LoggedCall<T>): Promise<T> {
    const { device, phase } = call;
    this.#mark(device, phase, "begin");
    try {
      const value = await this.#bounded(call);
      this.#mark(device, phase, "end");
      return value;
    } catch (error) {
      if (error instanceof InvariantViolation) this.bug ??= error;
      const failure = asGpuError(error, device);
      this.#mark(device, phase, "fail", failure.message);
      this.failures.push({ device, phase, error: failure });
      throw failure;
    }
  }

  /** Makes a call whose failure stops nothing; it is in the log. */
  async callAnyway(call: LoggedCall<void>): Promise<void> {
    await this.call(call).catch(() => {});
  }

  /** Tells people something about a device. */
  message(device: string, level: "info" | "warn" | "error", text: string): void {
    if (this.#tracer.enabled) this.#tracer.trace({ kind: "message", device, level, text });
  }

  /** Waits for something already under way, without a mark. */
  wait<T>(what: string, device: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
    const work = (): Promise<T> => promise;
    return withDeadline(this.#clock, { what, device, deadlineMs, work, onExpired: () => () => {} });
  }

  #bounded<T>(call: LoggedCall<T>): Promise<T> {
    const { device, phase, deadlineMs, work, undoLate, lateIsHarmless = false } = call;
    if (deadlineMs === undefined) return work();
    return withDeadline(this.#clock, {
      what: phase,
      device,
      deadlineMs,
      work,
      onExpired: () => {
        const settle = lateIsHarmless ? () => {} : this.#overdue.add({ device, phase });
        return (end) => {
          this.message(device, "warn", `${phase} ended after it was given up: ${end}`);
          const undone = end === "late success" && undoLate !== undefined ? undoLate() : Promise.resolve();
          undone.then(settle, (error: unknown) => {
            settle();
            this.message(device, "error", `${phase} could not be undone: ${asGpuError(error, device).message}`);
          });
        };
      },
    });
  }

  #mark(device: string, phase: string, state: "begin" | "end" | "fail", detail?: string): void {
    const why = detail === undefined ? {} : { detail };
    this.phases.push({ device, phase, state, atMs: this.#clock.nowMs(), ...why });
    if (this.#tracer.enabled) this.#tracer.trace({ kind: "phase", device, phase, state, ...why });
  }
}

/** An operation from outside: one at a time, with a result that says everything it did. */
import { GpuError, InvariantViolation } from "../base/index.ts";
import type { SleepOutcome } from "./hibernate.ts";
import { type DeviceReport, type PhaseRecord, type SleepFailure, SYSTEM } from "./log.ts";
import type { SleepStep, Wake } from "./platform.ts";
import { type SleepParts, SleepRun } from "./run.ts";
import { isFinal } from "./states.ts";

/** What an operation came to. */
export interface SleepResult {
  readonly operation: string;
  readonly outcome: SleepOutcome;
  /** What ended a sleep in RAM. */
  readonly wake?: Wake;
  /** Every call, in order, with times: to notifiers, to drivers, to the machine. */
  readonly phases: readonly PhaseRecord[];
  /** Every call that failed, in order; the first one turned the sleep back, if one did. */
  readonly failures: readonly SleepFailure[];
  /** Devices whose picture did not come back. The system goes on without them. */
  readonly lost: readonly DeviceReport[];
  /** What each restore came to down to the last object, the last restore of a device last. Never rejects. */
  readonly complete: Promise<readonly DeviceReport[]>;
}

/** Which operation, and between which states. */
export interface OperationFrame {
  readonly operation: string;
  /** The state it must find; otherwise EBUSY. */
  readonly from: "awake" | "open";
  /** The state it leaves, unless it is this kernel's end. */
  readonly to: "awake" | "open";
  /** The state it leaves when it was turned back, if another one. */
  readonly onAbort?: "awake";
  /** The steps that stay down between operations. */
  readonly down?: SleepStep[];
}

/** Runs an operation to its end. Rejects with EBUSY where it can't begin, and with a mistake of our own. */
export async function operate(
  parts: SleepParts,
  frame: OperationFrame,
  way: (run: SleepRun) => Promise<SleepOutcome>,
): Promise<SleepResult> {
  claim(parts, frame);
  const run = new SleepRun(frame.operation, parts, frame.down);
  const { log } = run;
  let outcome: SleepOutcome = "aborted";
  try {
    outcome = await way(run);
  } catch (error) {
    // What turned a sleep back stands in the log; anything else is ours.
    if (error instanceof InvariantViolation || log.failures.length === 0) throw error;
  } finally {
    if (!isFinal(parts.system.state)) run.enter(outcome === "aborted" ? (frame.onAbort ?? frame.to) : frame.to);
    parts.system.operation = undefined;
  }
  if (log.bug !== undefined) throw log.bug;
  return {
    operation: frame.operation,
    outcome,
    ...(run.wake === undefined ? {} : { wake: run.wake }),
    phases: [...log.phases],
    failures: [...log.failures],
    lost: [...log.lost],
    complete: Promise.all(log.completions),
  };
}

function claim({ system, overdue }: SleepParts, { operation, from }: OperationFrame): void {
  const refuse = (why: string): never => {
    throw new GpuError("EBUSY", `${operation} can't begin: ${why}`, { device: SYSTEM });
  };
  if (system.operation !== undefined) refuse(`${system.operation} is under way`);
  if (system.state !== from) refuse(`the system is ${system.state}`);
  const late = overdue.first;
  if (late !== undefined) refuse(`${late.phase} of ${late.device}, given up long ago, has not ended`);
  system.operation = operation;
}

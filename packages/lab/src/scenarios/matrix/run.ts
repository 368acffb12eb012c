/**
 * Runs cells of the matrix, one after the other: each on a machine of its own.
 */
import { CaseFailed, countCommands, notOffered, runFaulty, type SuspendSubject } from "../suspend/index.ts";
import type { CellResult, MatrixCell } from "../../report/matrix-record.ts";
import { NotOffered } from "./columns.ts";
import { arrangeFault, type MatrixFault } from "./faults.ts";
import type { PlannedCell } from "./plan.ts";

/** At so many commands of a sleep a fault strikes, one run each. */
const STRIKES = 3;

/** Runs one. Never throws: what goes wrong is the cell's result. */
export async function runCell(cell: PlannedCell, nowMs: () => number): Promise<MatrixCell> {
  const { column, suspendCase, fault, mustPass } = cell;
  const start = nowMs();
  const { result, reason } = await outcomeOf(cell);
  return {
    sleep: suspendCase.id,
    fault: fault?.name ?? "none",
    host: column.name,
    result,
    reason,
    durationMs: nowMs() - start,
    mustPass,
  };
}

async function outcomeOf(cell: PlannedCell): Promise<{ readonly result: CellResult; readonly reason: string | null }> {
  try {
    const subject = await cell.column.start();
    const lacking = whatIsLacking(cell, subject);
    if (lacking !== null) return { result: "not offered", reason: lacking };
    if (cell.fault === null) await cell.suspendCase.run(subject);
    else await runFaults(cell, cell.fault);
    return { result: "pass", reason: null };
  } catch (error) {
    if (error instanceof NotOffered) return { result: "not offered", reason: error.message };
    return { result: "fail", reason: chainOf(error) };
  }
}

function whatIsLacking({ suspendCase, fault }: PlannedCell, subject: SuspendSubject): string | null {
  return notOffered(suspendCase, subject) ?? (fault === null ? null : subject.lacks("faults"));
}

async function runFaults({ column, suspendCase }: PlannedCell, fault: MatrixFault): Promise<void> {
  const { drawn, done } = await countCommands(suspendCase, await column.start());
  for (const at of strikes(done - drawn)) {
    try {
      const arrange = (subject: SuspendSubject): void => arrangeFault(subject, fault, at);
      const mends = fault.lasts === true;
      await runFaulty(suspendCase, await column.start(), arrange, { mends });
    } catch (error) {
      throw new CaseFailed(`${fault.name} at command ${at} of ${done - drawn}`, { cause: error });
    }
  }
}

/** Numbers of commands from 1 to `count`: near the beginning, in the middle, near the end. */
function strikes(count: number): readonly number[] {
  const places = Array.from({ length: STRIKES }, (_, index) => Math.round(((index + 0.5) * count) / STRIKES));
  return [...new Set(places.map((place) => Math.max(1, place)))];
}

/** An error's sentence, and those of what caused it. */
function chainOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${chainOf(error.cause)}` : error.message;
}

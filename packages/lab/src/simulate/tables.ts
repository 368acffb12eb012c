/** The tables of what a campaign covered. */
import { CELLS, PHASES, rowOf, RUNS_TO_COVER_ALL, whyUnreachable } from "./aims.ts";
import type { CampaignResult } from "./campaign.ts";
import { Coverage } from "./coverage.ts";

/** Cells of commands, faults and phases that should not be empty, and are. */
export function emptyCells(coverage: Coverage): readonly string[] {
  return CELLS.filter(
    (cell) => whyUnreachable(cell) === null && coverage.get("command", rowOf(cell), cell.phase) === 0,
  ).map((cell) => `${rowOf(cell)} × ${cell.phase}`);
}

/** Whether a campaign was long enough to cover all, and did not. */
export function leftOut({ schedules, coverage }: Pick<CampaignResult, "schedules" | "coverage">): boolean {
  return schedules >= RUNS_TO_COVER_ALL && emptyCells(Coverage.of(coverage)).length > 0;
}

/** All tables as text, with the cells that are empty and should not be. */
export function coverageLines(coverage: Coverage): readonly string[] {
  const rows = [...new Set(CELLS.map(rowOf))];
  const reasons = new Set(CELLS.map(whyUnreachable).filter((reason) => reason !== null));
  const unreachable = CELLS.filter((cell) => whyUnreachable(cell) !== null).length;
  const empty = emptyCells(coverage);
  return [
    ...coverage.lines("command", PHASES, rows),
    ...coverage.lines("sleep", [""]),
    ...coverage.lines("step", ["awake", "freeze", "restore", "asleep"]),
    ...coverage.lines("power cut", ["probe", "awake", "freeze", "restore", "asleep", "lost"]),
    ...coverage.lines("event", ["probe", "awake", "freeze", "restore", "asleep", "lost"]),
    ...empty.map((cell) => `empty: ${cell}`),
    `${unreachable} of ${CELLS.length} cells of commands, faults and phases can't be reached: ${[...reasons].join("; ")}`,
    `${empty.length} of the others are empty; after ${RUNS_TO_COVER_ALL} schedules none may be`,
  ];
}

/** The tables of what a campaign covered. */
import type { Coverage } from "./coverage.ts";
import { COMMAND_FAULTS } from "./schedule.ts";
import { FAULTY_COMMANDS } from "./generate.ts";
import { commandName } from "@virtgpu/core/wire";

/** Phases of a machine's life in which the driver sends commands. */
export const PHASES: readonly string[] = ["probe", "awake", "freeze", "restore"];

/** Combinations of command and phase that no machine gets into, and why. */
export const UNREACHABLE: ReadonlyMap<string, string> = new Map();

/** All tables as text, with the cells that are empty and should not be. */
export function coverageLines(coverage: Coverage): readonly string[] {
  const rows = FAULTY_COMMANDS.flatMap((type) => COMMAND_FAULTS.map((fault) => `${commandName(type)} × ${fault}`));
  const empty = rows.flatMap((row) =>
    PHASES.filter((phase) => coverage.get("command", row, phase) === 0 && !isUnreachable(row, phase)).map(
      (phase) => `${row} × ${phase}`,
    ),
  );
  return [
    ...coverage.lines("command", PHASES, rows),
    ...coverage.lines("sleep", [""]),
    ...coverage.lines("step", ["awake", "freeze", "restore", "asleep"]),
    ...coverage.lines("power cut", ["probe", "awake", "freeze", "restore", "asleep", "lost"]),
    ...coverage.lines("event", ["probe", "awake", "freeze", "restore", "asleep", "lost"]),
    `${empty.length} reachable cells of commands, faults and phases are empty`,
    ...empty.map((cell) => `  ${cell}`),
  ];
}

function isUnreachable(row: string, phase: string): boolean {
  const [command = ""] = row.split(" × ");
  return UNREACHABLE.has(`${command} × ${phase}`);
}

/**
 * A matrix on a terminal: rows are ways to sleep and to break, columns are hosts.
 */
import { lineText, shortened } from "./markup.ts";
import { cellKey, judgeMatrix, type MatrixCell, type MatrixRecord } from "./matrix-record.ts";

/** Gives text a colour, or leaves it alone. */
export type Paint = (style: "green" | "red" | "dim" | "bold", text: string) => string;

const MARKS = { pass: "✓", fail: "✗", "not offered": "–" } as const;
const STYLES = { pass: "green", fail: "red", "not offered": "dim" } as const;
const REASON_MAX = 300;

/** A row of the matrix. */
export interface MatrixRow {
  readonly sleep: string;
  readonly fault: string;
  /** By column; null: the cell is not in here. */
  readonly cells: readonly (MatrixCell | null)[];
}

/** Names of the columns: the hosts as listed, then any others that have cells. */
export function matrixColumns({ hosts, cells }: MatrixRecord): readonly string[] {
  return [...new Set([...hosts.map(({ name }) => name), ...cells.map(({ host }) => host)])];
}

/** The rows, in the order in which they come up, ways to sleep together. */
export function matrixRows(record: MatrixRecord): readonly MatrixRow[] {
  const columns = matrixColumns(record);
  const byKey = new Map(record.cells.map((cell) => [cellKey(cell), cell]));
  const sleeps = new Map<string, Set<string>>();
  for (const { sleep, fault } of record.cells) {
    const faults = sleeps.get(sleep);
    if (faults === undefined) sleeps.set(sleep, new Set([fault]));
    else faults.add(fault);
  }
  return [...sleeps].flatMap(([sleep, faults]) =>
    [...faults].map((fault) => {
      const cells = columns.map((host) => byKey.get(cellKey({ sleep, fault, host })) ?? null);
      return { sleep, fault, cells };
    }),
  );
}

/** Reasons with the cells that give them, so that a probe's answer is read once. */
export function reasonGroups(cells: readonly MatrixCell[]): ReadonlyMap<string, readonly MatrixCell[]> {
  const groups = new Map<string, MatrixCell[]>();
  for (const cell of cells) {
    const reason = cell.reason ?? "no reason given";
    const group = groups.get(reason);
    if (group === undefined) groups.set(reason, [cell]);
    else group.push(cell);
  }
  return groups;
}

/** The table, what failed, what is not offered and why, and the verdict. */
export function matrixText(record: MatrixRecord, paint: Paint): string {
  const verdict = judgeMatrix(record);
  const columns = matrixColumns(record).map((name) => shortened(lineText(name), 24).padEnd(2));
  const rows = matrixRows(record).map((row) => ({ ...row, name: rowName(row) }));
  const nameWidth = Math.max(5, ...rows.map(({ name }) => name.length));
  const head = ["sleep".padEnd(nameWidth), ...columns].join("  ");
  const body = rows.map(({ name, cells }) => {
    const marks = cells.map((cell, column) => markOf(cell, columns[column]?.length ?? 1, paint));
    return [name.padEnd(nameWidth), ...marks].join("  ").trimEnd();
  });
  const notOffered = [...reasonGroups(record.cells.filter(({ result }) => result === "not offered"))].map(
    ([reason, cells]) => `${MARKS["not offered"]} ${cellNames(cells)}: ${shortened(lineText(reason), REASON_MAX)}`,
  );
  const complaints = verdict.complaints.map((complaint) => shortened(lineText(complaint), REASON_MAX + 100));
  const lines = [
    paint("bold", head),
    ...body,
    "",
    ...complaints.map((complaint) => paint("red", `✗ ${complaint}`)),
    ...notOffered.map((line) => paint("dim", line)),
    ...(complaints.length + notOffered.length === 0 ? [] : [""]),
    paint("dim", "✓ passed   ✗ failed   – not offered   ! must pass"),
    paint(verdict.isGreen ? "green" : "red", verdict.sentence),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function rowName({ sleep, fault }: MatrixRow): string {
  return shortened(lineText(fault === "none" ? sleep : `${sleep} × ${fault}`), 48);
}

/** A mark in the middle of its column. */
function markOf(cell: MatrixCell | null, width: number, paint: Paint): string {
  const left = " ".repeat((Math.max(width, 2) - 1) >> 1);
  const right = " ".repeat(Math.max(0, width - left.length - 2));
  if (cell === null) return `${left}  ${right}`;
  return `${left}${paint(STYLES[cell.result], MARKS[cell.result])}${cell.mustPass ? paint("dim", "!") : " "}${right}`;
}

function cellNames(cells: readonly MatrixCell[]): string {
  const names = cells
    .slice(0, 4)
    .map(({ sleep, fault, host }) => lineText(`${sleep}${fault === "none" ? "" : ` × ${fault}`} (${host})`));
  return `${names.join(", ")}${cells.length > 4 ? ` and ${cells.length - 4} more` : ""}`;
}

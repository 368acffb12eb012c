/**
 * npm run bench [-- --json] [<part of a file's name>]
 *
 * Runs the *.bench.ts in each package's folder bench, each in a process of its own, and prints what they measured beside
 * the machine and its load. Each exports `rows(): Promise<readonly BenchRow[]>`. --json prints only the rows, as a JSON array.
 * The exit code tells whether the benchmarks ran, not whether targets were met: on a busy machine that would be a lottery.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

/** One measurement, held against another of the same run. */
export interface BenchRow {
  readonly name: string;
  readonly value: number;
  /** What `value` and `against` are counted in, e.g. `commands/s`. */
  readonly unit: string;
  /** The yardstick measured beside it in the same run; null where there is none. */
  readonly against: number | null;
  /** `value` as a multiple of `against`; null where there is none. */
  readonly ratio: number | null;
  /** What must be reached, in words; empty where the row is only shown. */
  readonly target: string;
  /** Whether `target` was reached; null where there is none. */
  readonly met: boolean | null;
}

/** Marks the line on which a benchmark's process hands over its rows. */
const ROWS_MARK = "virtgpu-bench-rows:";

const isNumberOrNull = (value: unknown): boolean => value === null || typeof value === "number";

/** Checks what a benchmark handed over. Throws with the field that is wrong. */
export function checkRow(value: unknown, file: string): BenchRow {
  if (typeof value !== "object" || value === null) throw new Error(`${file}: a row is an object`);
  const row = value as BenchRow;
  const sound: Readonly<Record<keyof BenchRow, boolean>> = {
    name: typeof row.name === "string" && row.name !== "",
    value: typeof row.value === "number",
    unit: typeof row.unit === "string",
    against: isNumberOrNull(row.against),
    ratio: isNumberOrNull(row.ratio),
    target: typeof row.target === "string",
    met: row.met === null || typeof row.met === "boolean",
  };
  const wrong = Object.entries(sound).filter(([, isSound]) => !isSound);
  if (wrong.length > 0)
    throw new Error(`${file}: row ${String(row.name)}: wrong ${wrong.map(([key]) => key).join(", ")}`);
  return row;
}

/** Runs one benchmark in a fresh process, so that none warms up or litters another's. */
function runFile(path: string): readonly BenchRow[] {
  const self = fileURLToPath(import.meta.url);
  const run = spawnSync(process.execPath, ["--expose-gc", "--import", "tsx", self, "--one", path], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 26,
  });
  const line = run.stdout.split("\n").find((candidate) => candidate.startsWith(ROWS_MARK));
  if (run.status !== 0 || line === undefined) throw new Error(`${path} ended with ${run.status ?? run.signal}`);
  const rows: unknown[] = JSON.parse(line.slice(ROWS_MARK.length));
  return rows.map((row) => checkRow(row, path));
}

async function runOne(path: string): Promise<void> {
  const bench: { rows?: () => Promise<readonly BenchRow[]> } = await import(pathToFileURL(path).href);
  if (bench.rows === undefined) throw new Error(`${path} exports no rows()`);
  process.stdout.write(`\n${ROWS_MARK}${JSON.stringify(await bench.rows())}\n`);
}

/** A number that reads well: three significant digits, thousands apart. */
export function readable(value: number): string {
  return value.toLocaleString(
    "en-US",
    Math.abs(value) >= 100 ? { maximumFractionDigits: 0 } : { maximumSignificantDigits: 3 },
  );
}

function printTable(rows: readonly BenchRow[]): void {
  const head = ["what", "value", "unit", "against", "ratio", "target", "met"];
  const cells = rows.map((row) => [
    row.name,
    readable(row.value),
    row.unit,
    row.against === null ? "" : readable(row.against),
    row.ratio === null ? "" : row.ratio.toFixed(2),
    row.target,
    row.met === null ? "" : row.met ? "yes" : "NO",
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((line) => line[column]?.length ?? 0)));
  for (const line of [head, ...cells]) {
    const padded = line.map((cell, column) =>
      [1, 3, 4].includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
    );
    console.log(padded.join("  ").trimEnd());
  }
}

function machine(): string {
  const processors = cpus();
  const load = loadavg().map((value) => value.toFixed(2));
  return `${processors.length} x ${processors[0]?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, load ${load.join(" ")}`;
}

/** Paths of all benchmarks, package by package. */
function benchmarks(): readonly string[] {
  const packages = fileURLToPath(new URL("../packages", import.meta.url));
  return readdirSync(packages)
    .sort()
    .map((name) => join(packages, name, "bench"))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".bench.ts"))
        .sort()
        .map((name) => join(folder, name)),
    );
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { json: { type: "boolean", default: false }, one: { type: "string" } },
    allowPositionals: true,
  });
  if (values.one !== undefined) {
    await runOne(values.one);
    return 0;
  }
  const wanted = benchmarks().filter(
    (path) => positionals.length === 0 || positionals.some((part) => basename(path).includes(part)),
  );
  if (wanted.length === 0) {
    console.error("no benchmark to run: no package has one (of that name)");
    return 1;
  }
  const before = machine();
  const rows: BenchRow[] = [];
  for (const path of wanted) {
    console.error(`measuring ${basename(path)}`);
    rows.push(...runFile(path));
  }
  if (values.json) console.log(JSON.stringify(rows, null, 2));
  else {
    console.log(`before: ${before}\nafter:  ${machine()}\n`);
    printTable(rows);
  }
  return 0;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = await main();

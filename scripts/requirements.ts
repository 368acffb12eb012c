/**
 * npm run requirements [-- --json] [--prove] [--only <id>]
 *
 * Runs the tests whose names carry a requirement's id and prints what proves what. docs/requirements.json has a row a
 * requirement or sub-case; a test proves a row if its full name (the describes' titles included) contains the row's id,
 * e.g. `R-11 (c)`. It may carry several. --json prints only `[{ id, tests: [{ name, passed }] }]`. --prove puts every
 * weakness back by a mutant (scripts/mutants.ts) and demands that a test goes red. --only narrows to ids that start so.
 *
 * Ends with 1 if a row has no test, a test fails, a test names a row that does not exist, or, with --prove, a mutant
 * survives or a row has none.
 */
import { existsSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs, styleText } from "node:util";
import type { MutantResult } from "./mutants.ts";
import { escaped, proveMutants, readMutants } from "./mutants.ts";
import type { TestOutcome } from "./vitest-report.ts";
import { runVitest } from "./vitest-report.ts";

/** A row of docs/requirements.json. */
export interface Requirement {
  readonly id: string;
  readonly title: string;
}

/** A requirement with the tests that carry its id. */
export interface ProvenRequirement extends Requirement {
  readonly tests: readonly TestOutcome[];
}

/** The ids in a test's name: `R-11 (c)` where a letter in brackets follows, else `R-12`. */
export function idsIn(name: string): readonly string[] {
  return [...name.matchAll(/\bR-\d\d\b(?: \([a-z]\))?/g)].map((match) => match[0]);
}

/** Sorts tests to rows. `strays` are ids in test names that are no row's. */
export function mapTests(
  requirements: readonly Requirement[],
  outcomes: readonly TestOutcome[],
): { readonly rows: readonly ProvenRequirement[]; readonly strays: readonly string[] } {
  const known = new Set(requirements.map((row) => row.id));
  const rows = requirements.map((row) => ({
    ...row,
    tests: outcomes.filter((test) => idsIn(test.name).includes(row.id)),
  }));
  const strays = outcomes.flatMap((test) =>
    idsIn(test.name)
      .filter((id) => !known.has(id))
      .map((id) => `${id}: no such row in docs/requirements.json (a sub-case's letter missing?), in "${test.name}"`),
  );
  return { rows, strays };
}

/** What a row comes to. */
export function verdictOf(row: ProvenRequirement): "passed" | "failed" | "missing" {
  if (row.tests.length === 0) return "missing";
  return row.tests.every((test) => test.passed) ? "passed" : "failed";
}

/** Test files below packages and examples that mention an id at all. */
function filesWithIds(root: string): readonly string[] {
  const folders = ["packages", "examples"].filter((folder) => existsSync(join(root, folder)));
  return folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
    )
    .filter((path) => path.endsWith(".test.ts") && !/(^|\/)(node_modules|dist)\//.test(path))
    .filter((path) => /\bR-\d\d\b/.test(readFileSync(join(root, path), "utf8")));
}

const color = { passed: "green", killed: "green", failed: "red", missing: "red" } as const;
const paint = (word: keyof typeof color, shown: string): string => styleText(color[word], shown);

function printTable(rows: readonly ProvenRequirement[]): void {
  console.log(`${"id".padEnd(10)}${"tests".padStart(5)}  ${"result".padEnd(8)} requirement`);
  for (const row of rows) {
    const verdict = verdictOf(row);
    const count = String(row.tests.length).padStart(5);
    console.log(`${row.id.padEnd(10)}${count}  ${paint(verdict, verdict.padEnd(8))} ${row.title}`);
    for (const test of row.tests.filter((outcome) => !outcome.passed))
      console.log(`${"".padEnd(27)}failed: ${test.name}`);
  }
}

const isKilled = (result: MutantResult): boolean => result.verdict.startsWith("killed");

/** Tries the mutants and prints their table; gives the number of things that are wrong. */
function prove(root: string, rows: readonly ProvenRequirement[], only: string, print: (line: string) => void): number {
  const mutants = readMutants(join(root, "packages/core/test/mutants")).filter((mutant) => mutant.id.startsWith(only));
  const byId = new Map(rows.map((row) => [row.id, row.tests]));
  print(`\n${"id".padEnd(10)}${"verdict".padEnd(18)} weakness put back`);
  const results = proveMutants(
    root,
    mutants,
    (id) => byId.get(id) ?? [],
    (result) => {
      const verdict = paint(isKilled(result) ? "killed" : "failed", result.verdict.padEnd(18));
      print(`${result.mutant.id.padEnd(10)}${verdict} ${result.mutant.why}`);
      print(`${"".padEnd(29)}${isKilled(result) ? "red: " : ""}${result.detail}`);
    },
  );
  const mutated = new Set(mutants.map((mutant) => mutant.id));
  const bare = rows.filter((row) => !mutated.has(row.id));
  if (bare.length > 0) print(`without a mutant: ${bare.map((row) => row.id).join(", ")}`);
  const alive = results.filter((result) => !isKilled(result)).length;
  print(`${results.length - alive} of ${results.length} mutants killed, ${bare.length} requirements without one`);
  return alive + bare.length;
}

function main(): number {
  const { values } = parseArgs({
    options: { json: { type: "boolean" }, prove: { type: "boolean" }, only: { type: "string", default: "" } },
  });
  const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
  const table: readonly Requirement[] = JSON.parse(readFileSync(join(root, "docs/requirements.json"), "utf8"));
  const requirements = table.filter((row) => row.id.startsWith(values.only));
  const files = filesWithIds(root);
  const run =
    files.length === 0
      ? { outcomes: [], output: "" }
      : runVitest(root, files, ["-t", escaped(values.only) || "R-\\d\\d"], 3_600_000);
  if (run.outcomes === null) {
    console.error(`vitest left no report:\n${run.output}`);
    return 1;
  }
  const { rows, strays } = mapTests(requirements, run.outcomes);
  const wanted = strays.filter(
    (stray) => stray.startsWith(values.only) && !table.some((row) => stray.startsWith(`${row.id}:`)),
  );
  if (values.json === true) {
    const shown = rows.map(({ id, tests }) => ({ id, tests: tests.map(({ name, passed }) => ({ name, passed })) }));
    console.log(JSON.stringify(shown, null, 2));
  } else printTable(rows);
  const print = values.json === true ? console.error : console.log;
  const wrong = rows.filter((row) => verdictOf(row) !== "passed");
  for (const stray of wanted) print(stray);
  print(`${rows.length - wrong.length} of ${rows.length} requirements and sub-cases are proven by passing tests`);
  const unproven = values.prove === true ? prove(root, rows, values.only, print) : 0;
  return wrong.length + wanted.length + unproven === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = main();

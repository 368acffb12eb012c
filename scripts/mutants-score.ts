/**
 * npm run mutate [-- FILE... --every N --budget MS --again --write]
 *
 * Changes one thing at a time in driver/session, driver/power and virtio (scripts/mutants-mutators.ts) and runs the tests that
 * pass that place, until one is red. All mutants are in one bundle with all tests, each behind a switch, so a mutant costs
 * what its tests cost and nothing more. Prints the share of mutants that were killed, by file, and those that were not.
 * Ends with 1 where it is less than four of five. --every N tries a sample: every N-th mutant. --again tries those that the
 * last run left alive, with another budget. --write puts the table into docs/mutants.md.
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { build, type Plugin } from "esbuild";
import { plantAll, type SmallMutant } from "./mutants-mutators.ts";
import type { Answer } from "./mutants-worker.ts";

/** What became of a mutant. `uncovered`: no test comes by. */
export interface Scored {
  readonly mutant: SmallMutant;
  readonly verdict: "killed" | "survived" | "uncovered";
  readonly detail: string;
}

const TARGETS = ["packages/core/src/driver/session", "packages/core/src/driver/power", "packages/core/src/virtio"];
const TESTS = [
  "packages/core/src/driver",
  "packages/core/src/virtio",
  "packages/core/src/sim",
  "packages/core/src/sleep",
  "packages/core/test/requirements",
  "packages/core/test/cold-restore.test.ts",
  "packages/core/test/found-by-simulation.test.ts",
  "packages/core/test/found-by-mutants.test.ts",
  "packages/core/test/limits.test.ts",
];
/** Machines of the tests' own, no part of what is delivered. */
const NOT_MUTATED = /\.test\.ts$|\/index\.ts$|echo-|\/test-|-bench\.ts$/;
/** Tests that need what the harness has not. */
const NOT_RUN = /toMatchInlineSnapshot|\bvi\./;
const SCORE_MIN = 80;
/** Processor time that a mutant's tests may take, in milliseconds. */
const BUDGET_MS = 500;
/** A worker that says nothing for so long is stuck. */
const SILENCE_MS = 120_000;
const TABLE = { begin: "<!-- scores: begin -->", end: "<!-- scores: end -->" };

function filesBelow(root: string, path: string): readonly string[] {
  if (path.endsWith(".ts")) return [path];
  return readdirSync(join(root, path), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `${path}/${name}`)
    .sort();
}

/** One program of all tests and of the sources with all their mutants. */
async function bundle(root: string, targets: readonly string[], outfile: string): Promise<readonly SmallMutant[]> {
  const mutants: SmallMutant[] = [];
  const planted = new Map<string, string>();
  for (const file of targets) {
    const result = plantAll(file, readFileSync(join(root, file), "utf8"), mutants.length);
    mutants.push(...result.mutants);
    planted.set(join(root, file), result.code);
  }
  const tests = TESTS.flatMap((path) => filesBelow(root, path)).filter(
    (file) => file.endsWith(".test.ts") && !NOT_RUN.test(readFileSync(join(root, file), "utf8")),
  );
  const sources: Plugin = {
    name: "mutated sources",
    setup: (bundler) => {
      bundler.onResolve({ filter: /^vitest$/ }, () => ({ path: join(root, "scripts/mutants-harness.ts") }));
      bundler.onLoad({ filter: /\/packages\/.*\.ts$/ }, ({ path }) => {
        const text = planted.get(path) ?? readFileSync(path, "utf8");
        return { contents: text.replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)), loader: "ts" };
      });
    },
  };
  const imports = tests.map((file) => `beginFile(${JSON.stringify(file)}); await import("./${file}");`);
  const entry = `
    import { beginFile, registered } from "./scripts/mutants-harness.ts";
    import { work } from "./scripts/mutants-worker.ts";
    ${imports.join("\n")}
    await work(registered());`;
  await build({
    stdin: { contents: entry, resolveDir: root, loader: "ts" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile,
    logLevel: "silent",
    plugins: [sources],
    // Packages stay where they are, but for what imports the harness's vitest.
    packages: "external",
  });
  return mutants;
}

/** A process that judges mutants; a new one takes its place when it gets stuck or ends. */
class Judge {
  readonly #program: string;
  #child: ChildProcess | null = null;
  #ready: Extract<Answer, { kind: "ready" }> | null = null;

  constructor(program: string) {
    this.#program = program;
  }

  async ready(): Promise<Extract<Answer, { kind: "ready" }>> {
    if (this.#child !== null && this.#ready !== null) return this.#ready;
    this.#child = fork(this.#program, {
      execArgv: ["--max-old-space-size=3072"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const answer = await this.#answer(20 * SILENCE_MS);
    if (answer?.kind !== "ready") throw new Error("the tests can't be run: the worker ended");
    this.#ready = answer;
    return answer;
  }

  /** Null: it never answered, which no test would have stood either. */
  async judge(mutant: number, budgetMs: number): Promise<Extract<Answer, { kind: "verdict" }> | null> {
    await this.ready();
    this.#child?.send({ mutant, budgetMs });
    const answer = await this.#answer(SILENCE_MS);
    return answer?.kind === "verdict" ? answer : null;
  }

  end(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  #answer(silenceMs: number): Promise<Answer | null> {
    const child = this.#child;
    return new Promise((resolve) => {
      const done = (answer: Answer | null): void => {
        clearTimeout(timer);
        child?.removeAllListeners();
        if (answer === null) this.end();
        resolve(answer);
      };
      const timer = setTimeout(() => done(null), silenceMs);
      child?.once("message", (answer: Answer) => done(answer));
      child?.once("exit", () => done(null));
    });
  }
}

/** How much is tried. */
interface Effort {
  readonly budgetMs: number;
  readonly every: number;
  /** What is known already, by mutant. */
  readonly known: ReadonlyMap<string, Scored>;
}

const nameOf = ({ file, line, kind, before, after }: SmallMutant): string =>
  JSON.stringify([file, line, kind, before, after]);

async function score(mutants: readonly SmallMutant[], program: string, effort: Effort): Promise<readonly Scored[]> {
  const judge = new Judge(program);
  const { tests, red, covered } = await judge.ready();
  console.log(
    `${String(tests)} tests, ${String(mutants.length)} mutants, ${String(covered.length)} of them in reach of a test`,
  );
  for (const name of red) console.log(`left out, red without a mutant: ${name}`);
  const inReach = new Set(covered);
  const scored: Scored[] = [];
  for (const id of scattered(mutants.length)) {
    const mutant = mutants[id];
    if (mutant === undefined) continue;
    const earlier = effort.known.get(nameOf(mutant));
    const isTried = effort.known.size > 0 ? earlier?.verdict === "survived" : id % effort.every === 0;
    if (!isTried && earlier !== undefined) scored.push(earlier);
    if (!isTried) continue;
    if (!inReach.has(id)) {
      scored.push({ mutant, verdict: "uncovered", detail: "no test comes by" });
      continue;
    }
    const verdict = await judge.judge(id, effort.budgetMs);
    const killedBy = verdict === null ? "the tests no longer end" : verdict.killedBy;
    const left = verdict === null || verdict.left === 0 ? "" : `, ${String(verdict.left)} not tried`;
    const survived = `${String(verdict?.tried ?? 0)} tests stay green${left}`;
    scored.push({ mutant, verdict: killedBy === null ? "survived" : "killed", detail: killedBy ?? survived });
    if (scored.length % 50 === 0) {
      const killed = scored.filter((each) => each.verdict === "killed").length;
      console.log(`${String(scored.length)} tried, ${String(killed)} killed`);
    }
  }
  judge.end();
  return scored;
}

/** All numbers below `count`, far from each other: what is known so far stands for the whole. */
function scattered(count: number): readonly number[] {
  const ids = Array.from({ length: count }, (_, id) => id);
  const place = (id: number): number => (id * 7919) % 10_007;
  return ids.sort((one, other) => place(one) - place(other));
}

interface Row {
  readonly file: string;
  readonly all: number;
  readonly killed: number;
}

/** By file. */
export function rowsOf(scored: readonly Scored[]): readonly Row[] {
  const files = [...new Set(scored.map(({ mutant }) => mutant.file))].sort();
  return files.map((file) => {
    const own = scored.filter(({ mutant }) => mutant.file === file);
    return { file, all: own.length, killed: own.filter(({ verdict }) => verdict === "killed").length };
  });
}

const percent = ({ all, killed }: { readonly all: number; readonly killed: number }): string =>
  `${String(Math.round((1000 * killed) / Math.max(1, all)) / 10)} %`;

const total = (rows: readonly Row[]): Row =>
  rows.reduce((sum, { all, killed }) => ({ file: "all", all: sum.all + all, killed: sum.killed + killed }), {
    file: "all",
    all: 0,
    killed: 0,
  });

function writeTable(file: string, rows: readonly Row[]): void {
  const page = readFileSync(file, "utf8");
  const short = (path: string): string => path.replace("packages/core/src/", "");
  const lines = [...rows, total(rows)].map(
    (row) => `| ${short(row.file)} | ${String(row.all)} | ${String(row.killed)} | ${percent(row)} |`,
  );
  const table = ["| file | mutants | killed | |", "| --- | --- | --- | --- |", ...lines].join("\n");
  const from = page.indexOf(TABLE.begin) + TABLE.begin.length;
  writeFileSync(file, `${page.slice(0, from)}\n${table}\n${page.slice(page.indexOf(TABLE.end))}`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      budget: { type: "string" },
      every: { type: "string" },
      again: { type: "boolean", default: false },
      write: { type: "boolean", default: false },
    },
  });
  const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
  const wanted = positionals.length > 0 ? positionals.map((path) => relative(root, realpathSync(path))) : TARGETS;
  const targets = wanted.flatMap((path) => filesBelow(root, path)).filter((file) => !NOT_MUTATED.test(file));
  const folder = join(root, ".cache", "mutate");
  mkdirSync(folder, { recursive: true });
  const program = join(folder, `tests-${String(process.pid)}.mjs`);
  try {
    const mutants = await bundle(root, targets, program);
    const results = join(folder, "scores.json");
    const earlier: readonly Scored[] = values.again ? JSON.parse(readFileSync(results, "utf8")) : [];
    const scored = await score(mutants, program, {
      budgetMs: Number(values.budget ?? BUDGET_MS),
      every: Number(values.every ?? 1),
      known: new Map(earlier.map((each) => [nameOf(each.mutant), each])),
    });
    writeFileSync(results, JSON.stringify(scored, null, 1));
    for (const { mutant, verdict, detail } of scored.filter((each) => each.verdict !== "killed")) {
      const what = `${mutant.before.replaceAll(/\s+/g, " ").slice(0, 70)} -> ${mutant.after.replaceAll(/\s+/g, " ").slice(0, 70)}`;
      console.log(`${verdict}  ${mutant.file}:${String(mutant.line)}  ${mutant.kind}: ${what}  (${detail})`);
    }
    const rows = rowsOf(scored);
    for (const row of [...rows, total(rows)]) {
      console.log(
        `${percent(row).padStart(7)}  ${String(row.killed).padStart(4)} of ${String(row.all).padStart(4)}  ${row.file}`,
      );
    }
    if (values.write) writeTable(join(root, "docs/mutants.md"), rows);
    const { all, killed } = total(rows);
    return 100 * killed >= SCORE_MIN * all ? 0 : 1;
  } finally {
    for (const file of [program, `${program}.learned.json`]) rmSync(file, { force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = await main();

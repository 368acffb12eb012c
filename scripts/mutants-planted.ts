/**
 * npm run mutants [-- --only ID --seeds N --write]
 *
 * Plants one bug after the other, each of a line or two (scripts/mutants-planted.json), in a copy of the tree, and looks who
 * notices: the tests that are named with it, and, without knowing of them, the simulator on a fixed number of seeds. Ends
 * with 1 if one is noticed by neither. --write puts the table into docs/mutants.md.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs, styleText } from "node:util";
import { build } from "esbuild";
import { copyTree, escaped, type Mutant, mutate } from "./mutants.ts";
import { runVitest } from "./vitest-report.ts";

/** A bug to plant, and the test files that are to notice it. */
export interface Plant extends Mutant {
  readonly tests: readonly string[];
}

/** Who noticed a bug; null: nobody. */
export interface Noticed {
  readonly plant: Plant;
  /** The test that went red. */
  readonly byTest: string | null;
  /** The seed that fails, and how. */
  readonly bySimulator: string | null;
  /** Why nothing could be said, where nothing could. */
  readonly broken: string | null;
}

const SEED_FIRST = 40_000;
const SEEDS_DEFAULT = 10;
/** Bounds of one run, in seconds: of time that passes for the tests, of processor time for the simulator. */
const TESTS_S = 600;
const SIMULATOR_CPU_S = 120;
const TABLE = { begin: "<!-- planted: begin -->", end: "<!-- planted: end -->" };

const lines = (value: string | readonly string[]): string => (typeof value === "string" ? value : value.join("\n"));

/** Reads the list of bugs. */
export function readPlants(file: string): readonly Plant[] {
  type Row = Record<"id" | "file" | "why", string> &
    Record<"find" | "replace", string | string[]> & { tests: string[] };
  const rows: readonly Row[] = JSON.parse(readFileSync(file, "utf8"));
  return rows.map((row) => ({ ...row, find: lines(row.find), replace: lines(row.replace) }));
}

/** A copy of the tree in which bugs are planted. */
export class Nursery {
  readonly #copy: string;
  readonly #seeds: number;
  /** Seeds that fail without any planted bug prove nothing. */
  #sound: readonly number[] | null = null;

  constructor(root: string, seeds: number) {
    this.#copy = copyTree(root);
    this.#seeds = seeds;
  }

  /** Removes the copy. */
  remove(): void {
    rmSync(this.#copy, { recursive: true, force: true });
  }

  /** Seeds that pass on the code as it is. */
  async soundSeeds(): Promise<readonly number[]> {
    if (this.#sound === null) {
      const bundle = await this.#bundle();
      const all = Array.from({ length: this.#seeds }, (_, place) => SEED_FIRST + place);
      this.#sound = all.filter((seed) => simulate(bundle, [seed]) === null);
    }
    return this.#sound;
  }

  /** Plants a bug, and takes it out again. */
  async try(plant: Plant): Promise<Noticed> {
    const seeds = await this.soundSeeds();
    const path = join(this.#copy, plant.file);
    const source = existsSync(path) ? readFileSync(path, "utf8") : "";
    let red: string | null;
    let bySimulator: string | null;
    try {
      writeFileSync(path, mutate(source, plant));
      red = this.#firstRed(plant.tests);
      bySimulator = simulate(await this.#bundle(), seeds);
    } catch (error) {
      const broken = error instanceof Error ? error.message : String(error);
      return { plant, byTest: null, bySimulator: null, broken };
    } finally {
      if (source !== "") writeFileSync(path, source);
    }
    // A test that is red without the bug as well has noticed nothing.
    const isNew = red !== null && this.#firstRed(plant.tests, red) === null;
    return { plant, byTest: isNew ? red : null, bySimulator, broken: null };
  }

  /** The first test of these files that fails; only the one called `name`, where that is given. */
  #firstRed(files: readonly string[], name?: string): string | null {
    const flags = ["--no-isolate", "--maxWorkers=1", "--bail=1"];
    if (name !== undefined) flags.push("-t", `^${escaped(name)}$`);
    for (const file of files) {
      const { outcomes, timedOut, output } = runVitest(this.#copy, [file], flags, 1000 * TESTS_S);
      if (timedOut) return `${file} no longer ends`;
      if (outcomes === null) throw new Error(`${file} left no report: ${output.trim().slice(-300)}`);
      const red = outcomes.find(({ passed }) => !passed);
      if (red !== undefined) return red.name;
    }
    return null;
  }

  /** The simulator on the copy's sources, as one file. */
  async #bundle(): Promise<string> {
    const outfile = join(this.#copy, ".cache", "simulator.mjs");
    const core = join(this.#copy, "packages/core/src");
    await build({
      stdin: { contents: SIMULATOR, resolveDir: this.#copy, loader: "ts" },
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      outfile,
      logLevel: "silent",
      plugins: [
        {
          name: "the copy's sources",
          setup: (bundler) => {
            bundler.onResolve({ filter: /^@virtgpu\/core\// }, ({ path }) => ({
              path: join(core, path.slice("@virtgpu/core/".length), "index.ts"),
            }));
          },
        },
      ],
    });
    return outfile;
  }
}

/** Seeds come as arguments; prints the first that fails, with how. */
const SIMULATOR = `
  import { runSeeds } from "./packages/lab/src/simulate/campaign.ts";
  const { failures } = await runSeeds(process.argv.slice(2).map(Number), 1);
  for (const { seed, sentence } of failures) console.log("seed " + seed + ": " + sentence);
`;

/** How the first seed that fails does so, or null. Never longer than its share of processor time. */
function simulate(bundle: string, seeds: readonly number[]): string | null {
  if (seeds.length === 0) return null;
  const limited = [`--cpu=${String(SIMULATOR_CPU_S)}`, process.execPath, bundle, ...seeds.map(String)];
  const { status, stdout, stderr } = spawnSync("prlimit", limited, { encoding: "utf8" });
  if (status === 0) return stdout.trim() === "" ? null : oneLine(stdout);
  if (status === null) return `${String(seeds.length)} seeds no longer end`;
  return oneLine(/^\w*Error.*$/m.exec(stderr)?.[0] ?? stderr);
}

const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, " ").slice(0, 160);

/** Whether anybody noticed. */
export function isNoticed({ byTest, bySimulator }: Noticed): boolean {
  return byTest !== null || bySimulator !== null;
}

/** The table of docs/mutants.md. */
export function markdownOf(results: readonly Noticed[]): string {
  const cell = (text: string | null): string => (text ?? "-").replaceAll("|", "\\|").replaceAll("<", "&lt;");
  const rows = results.map(
    ({ plant, byTest, bySimulator }) => `| ${plant.id} | ${cell(plant.why)} | ${cell(byTest)} | ${cell(bySimulator)} |`,
  );
  return ["| | bug | the test that goes red | the simulator |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function writeTable(file: string, results: readonly Noticed[]): void {
  const page = readFileSync(file, "utf8");
  const from = page.indexOf(TABLE.begin) + TABLE.begin.length;
  const to = page.indexOf(TABLE.end);
  writeFileSync(file, `${page.slice(0, from)}\n${markdownOf(results)}\n${page.slice(to)}`);
}

function print({ plant, byTest, bySimulator, broken }: Noticed): void {
  const isCaught = byTest !== null || bySimulator !== null;
  console.log(`${plant.id}  ${styleText(isCaught ? "green" : "red", isCaught ? "caught" : "ALIVE ")} ${plant.why}`);
  console.log(`        by tests: ${byTest ?? broken ?? "not noticed"}`);
  console.log(`        by the simulator: ${bySimulator ?? broken ?? "not noticed"}`);
}

async function main(): Promise<number> {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { only: text, seeds: text, write: { type: "boolean", default: false } } });
  const root = realpathSync(fileURLToPath(new URL("..", import.meta.url)));
  const only = values.only?.split(",");
  const plants = readPlants(join(root, "scripts/mutants-planted.json")).filter(({ id }) => only?.includes(id) ?? true);
  const nursery = new Nursery(root, Number(values.seeds ?? SEEDS_DEFAULT));
  const results: Noticed[] = [];
  try {
    console.log(`the simulator runs the seeds ${(await nursery.soundSeeds()).join(", ")}`);
    for (const plant of plants) {
      const result = await nursery.try(plant);
      results.push(result);
      print(result);
    }
  } finally {
    nursery.remove();
  }
  const alive = results.filter((result) => !isNoticed(result)).length;
  const bySimulator = results.filter((result) => result.bySimulator !== null).length;
  const byTests = results.filter((result) => result.byTest !== null).length;
  const count = String(results.length);
  console.log(
    `${String(results.length - alive)} of ${count} bugs noticed: ${String(byTests)} by tests, ${String(bySimulator)} by the simulator`,
  );
  if (values.write && only === undefined) writeTable(join(root, "docs/mutants.md"), results);
  return alive === 0 ? 0 : 1;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) process.exitCode = await main();

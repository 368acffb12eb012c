/**
 * Mutants: each puts one weakness back, by replacing one piece of source, and has to turn a test of its requirement red.
 * They live in packages/core/test/mutants/*.json, one file a part, so that several people can write them:
 *
 *   [{ "id": "R-11 (a)", "file": "packages/core/src/...", "find": "...", "replace": "...", "why": "..." }]
 *
 * `find` and `replace` are a string, or an array of lines. `find` stands exactly once in the file.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import type { TestOutcome } from "./vitest-report.ts";
import { runVitest } from "./vitest-report.ts";

/** A weakness, put back on purpose. */
export interface Mutant {
  readonly id: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly why: string;
}

/** What became of a mutant. Only `killed` is good. */
export interface MutantResult {
  readonly mutant: Mutant;
  readonly verdict: "killed" | "killed by timeout" | "survived" | "no test" | "broken";
  readonly detail: string;
}

/** Longest run of one mutant's tests. */
const LIMIT_MS = 240_000;

function text(value: unknown, key: string, where: string): string {
  if (Array.isArray(value) && value.every((line) => typeof line === "string")) return value.join("\n");
  if (typeof value === "string") return value;
  throw new Error(`${where}: a mutant's "${key}" is a string or an array of lines`);
}

/** Reads the mutants of all JSON files in `folder`. */
export function readMutants(folder: string): readonly Mutant[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return files.sort().flatMap((name) => {
    const rows: Readonly<Record<string, unknown>>[] = JSON.parse(readFileSync(join(folder, name), "utf8"));
    return rows.map((row) => ({
      id: text(row["id"], "id", name),
      file: text(row["file"], "file", name),
      find: text(row["find"], "find", name),
      replace: text(row["replace"], "replace", name),
      why: text(row["why"], "why", name),
    }));
  });
}

/** The mutated source. Throws if the mutant no longer fits the code. */
export function mutate(source: string, mutant: Mutant): string {
  const parts = source.split(mutant.find);
  if (mutant.find === "" || parts.length !== 2) {
    throw new Error(`"find" stands ${mutant.find === "" ? 0 : parts.length - 1} times in ${mutant.file}, not once`);
  }
  if (mutant.replace === mutant.find) throw new Error("the mutant changes nothing");
  return parts.join(mutant.replace);
}

/** A copy of the tree, with its own links to the workspace's packages, that can be broken at will. */
export function copyTree(root: string): string {
  const copy = mkdtempSync(join(tmpdir(), "virtgpu-mutants-"));
  const listed = execFileSync("git", ["ls-files", "-coz", "--exclude-standard"], { cwd: root, encoding: "utf8" });
  for (const path of listed.split("\0").filter((name) => name !== "" && existsSync(join(root, name)))) {
    mkdirSync(dirname(join(copy, path)), { recursive: true });
    cpSync(join(root, path), join(copy, path), { preserveTimestamps: true });
  }
  copyBuilds(root, copy);
  linkModules(root, copy);
  return copy;
}

function copyBuilds(root: string, copy: string): void {
  for (const name of readdirSync(join(root, "packages"))) {
    const dist = join(root, "packages", name, "dist");
    if (existsSync(dist)) cpSync(dist, join(copy, "packages", name, "dist"), { recursive: true });
  }
}

/** Dependencies are shared by links; what links back into the workspace must lead into the copy. */
function linkModules(root: string, copy: string): void {
  const modules = join(root, "node_modules");
  mkdirSync(join(copy, "node_modules", "@virtgpu"), { recursive: true });
  for (const name of readdirSync(modules)) {
    if (name === "@virtgpu" || name === "virtgpu" || name.startsWith(".vite")) continue;
    symlinkSync(join(modules, name), join(copy, "node_modules", name));
  }
  for (const folder of readdirSync(join(copy, "packages"))) {
    const manifest = join(copy, "packages", folder, "package.json");
    if (!existsSync(manifest)) continue;
    const { name }: { name: string } = JSON.parse(readFileSync(manifest, "utf8"));
    symlinkSync(join(copy, "packages", folder), join(copy, "node_modules", name));
  }
}

/** A test name filter that matches `name` literally. */
export const escaped = (name: string): string => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Tries one mutant in `copy`, on the tests that carry its id and pass without it, and mends the copy again. */
function tryMutant(root: string, copy: string, mutant: Mutant, tests: readonly TestOutcome[]): MutantResult {
  const passing = tests.filter((test) => test.passed);
  if (passing.length === 0) return { mutant, verdict: "no test", detail: "no passing test carries the id" };
  const path = join(copy, mutant.file);
  const source = existsSync(path) ? readFileSync(path, "utf8") : "";
  try {
    writeFileSync(path, mutate(source, mutant));
    const files = [...new Set(passing.map((test) => relative(root, test.file)))];
    const run = runVitest(copy, files, ["-t", escaped(mutant.id), "--bail=1"], LIMIT_MS);
    return { mutant, ...judge(run.outcomes, run.timedOut, run.output, passing) };
  } catch (error) {
    return { mutant, verdict: "broken", detail: error instanceof Error ? error.message : String(error) };
  } finally {
    if (source !== "") writeFileSync(path, source);
  }
}

/** Only a failing test kills: a file that no longer loads proves nothing about the test. */
function judge(
  outcomes: readonly TestOutcome[] | null,
  timedOut: boolean,
  output: string,
  passing: readonly TestOutcome[],
): { verdict: MutantResult["verdict"]; detail: string } {
  if (timedOut) return { verdict: "killed by timeout", detail: "the tests no longer end" };
  const names = new Set(passing.map((test) => test.name));
  const ran = (outcomes ?? []).filter((test) => names.has(test.name));
  const red = ran.find((test) => !test.passed);
  if (red !== undefined) return { verdict: "killed", detail: red.name };
  if (ran.length === 0) return { verdict: "broken", detail: `its tests did not run: ${output.trim().slice(-300)}` };
  return { verdict: "survived", detail: `${ran.length} tests stay green` };
}

/** Tries each mutant on a copy of the tree below `root`; `testsOf` gives the outcomes of an id's tests without mutants. */
export function proveMutants(
  root: string,
  mutants: readonly Mutant[],
  testsOf: (id: string) => readonly TestOutcome[],
  onResult: (result: MutantResult) => void,
): readonly MutantResult[] {
  const copy = copyTree(root);
  try {
    return mutants.map((mutant) => {
      const result = tryMutant(root, copy, mutant, testsOf(mutant.id));
      onResult(result);
      return result;
    });
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

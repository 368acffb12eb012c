/**
 * npm run fuzz [-- TARGET... --time SECONDS --runs N --seed N --input FILE]: coverage-guided fuzzing of whatever takes bytes from the
 * other side. What is worth keeping goes to .cache/fuzz; a finding is made as short as can be and ends the run with exit code 1.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type CampaignResult, fuzzFor } from "./engine/campaign.ts";
import type { Finding } from "./engine/fuzzer.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const targets = fileURLToPath(new URL("targets/", import.meta.url));
/** Inputs that are kept with the sources: those that once found something, and a short way into every format. */
const kept = fileURLToPath(new URL("corpus/", import.meta.url));
const grown = join(root, ".cache", "fuzz");
const SECONDS_DEFAULT = 60;

/** All targets by name: the files in `targets/` that export one. */
export function targetNames(): readonly string[] {
  const files = readdirSync(targets).map((file) => join(targets, file));
  return files
    .filter((file) => /^export const target\b/m.test(readFileSync(file, "utf8")))
    .map((file) => basename(file, ".ts"));
}

/** The inputs that a target begins from, besides its own seeds. */
export function corpusOf(name: string): readonly Uint8Array[] {
  return [join(kept, name), join(grown, name)].flatMap((folder) => {
    let files: readonly string[];
    try {
      files = readdirSync(folder).sort();
    } catch {
      return [];
    }
    return files.map((file) => new Uint8Array(readFileSync(join(folder, file))));
  });
}

/** The TypeScript file of a target. */
export function fileOf(name: string): string {
  return join(targets, `${name}.ts`);
}

function keep(name: string, input: Uint8Array, prefix: string): string {
  const folder = join(grown, name);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${prefix}${createHash("sha256").update(input).digest("hex").slice(0, 16)}`);
  writeFileSync(file, input);
  return file;
}

function report(name: string, { runs, covered, places, corpus, finding }: CampaignResult): boolean {
  for (const input of corpus) keep(name, input, "");
  const share = places === 0 ? 0 : Math.round((100 * covered) / places);
  console.log(
    `${name}: ${runs} runs, ${covered} of ${places} places (${share} %), ${corpus.length} inputs worth keeping`,
  );
  if (finding === null) return true;
  describe(name, finding);
  return false;
}

function describe(name: string, { input, error }: Finding): void {
  const file = keep(name, input, "finding-");
  console.log(`${name}: FOUND with ${input.length} bytes: ${error}`);
  console.log(`again with: npm run fuzz -- ${name} --input ${relative(root, file)}`);
}

function whole(value: string | undefined, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new RangeError(`--${name} takes a whole number, not ${value}`);
  return number;
}

async function main(): Promise<boolean> {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { time: text, runs: text, seed: text, input: text },
  });
  const unknown = positionals.filter((name) => !targetNames().includes(name));
  if (unknown.length > 0)
    throw new RangeError(`no target ${unknown.join(", ")}; there are ${targetNames().join(", ")}`);
  const runsMax = values.input === undefined ? whole(values.runs, "runs") : 0;
  const seconds = whole(values.time, "time") ?? SECONDS_DEFAULT;
  const seed = whole(values.seed, "seed") ?? 1;
  let isClean = true;
  for (const name of positionals.length > 0 ? positionals : targetNames()) {
    const corpus = values.input === undefined ? corpusOf(name) : [new Uint8Array(readFileSync(values.input))];
    const time = runsMax === undefined ? { milliseconds: 1000 * seconds } : { runsMax };
    const result = await fuzzFor({ file: fileOf(name), seed, corpus, ...time });
    isClean = report(name, result) && isClean;
  }
  return isClean;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = (await main()) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}

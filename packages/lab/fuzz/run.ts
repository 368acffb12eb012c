/**
 * npm run fuzz [-- TARGET... --time SECONDS --runs N --seed N --input FILE --distil]: coverage-guided fuzzing of whatever takes
 * bytes from the other side. What is worth keeping goes to .cache/fuzz; a finding is made as short as can be and ends the run
 * with exit code 1. --distil fuzzes nothing: it puts the shortest inputs that go all ways known into the sources' corpus.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type CampaignResult, fuzzFor } from "./engine/campaign.ts";
import { type Finding, Fuzzer } from "./engine/fuzzer.ts";
import { loadProgram } from "./engine/program.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const targets = fileURLToPath(new URL("targets/", import.meta.url));
/** Inputs that are kept with the sources: those that once found something, and a short way into every format. */
const kept = fileURLToPath(new URL("corpus/", import.meta.url));
const grown = join(root, ".cache", "fuzz");
const SECONDS_DEFAULT = 60;
/** A target's kept corpus: so many inputs of so many bytes, at most. */
const KEPT_MAX = 48;
const KEPT_BYTES_MAX = 2048;

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

function keep(name: string, input: Uint8Array, prefix: string, corpora = grown): string {
  const folder = join(corpora, name);
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

/** Of all inputs known those that go ways which the seeds, and shorter ones, do not. */
async function distil(name: string): Promise<void> {
  const program = await loadProgram(fileOf(name));
  const fuzzer = new Fuzzer(program, 1);
  for (const input of await program.target.seeds()) await fuzzer.add(input);
  const [seeds, covered] = [fuzzer.corpus.length, fuzzer.covered];
  const known = corpusOf(name).filter(({ length }) => length <= KEPT_BYTES_MAX);
  for (const input of known.toSorted((one, other) => one.length - other.length)) {
    if (fuzzer.corpus.length < seeds + KEPT_MAX) await addIfFarther(fuzzer, input);
  }
  rmSync(join(kept, name), { recursive: true, force: true });
  const inputs = fuzzer.corpus.slice(seeds);
  for (const input of inputs) keep(name, input, "", kept);
  console.log(
    `${name}: ${inputs.length} inputs kept: ${covered} places by the seeds, ${fuzzer.covered} of ${program.places} with them`,
  );
}

/** Counts alone, of ways that are known, are not worth a file. */
async function addIfFarther(fuzzer: Fuzzer, input: Uint8Array): Promise<void> {
  await fuzzer.run(input);
  if (fuzzer.wentFarther) await fuzzer.add(input);
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
    options: { time: text, runs: text, seed: text, input: text, distil: { type: "boolean", default: false } },
  });
  const unknown = positionals.filter((name) => !targetNames().includes(name));
  if (unknown.length > 0)
    throw new RangeError(`no target ${unknown.join(", ")}; there are ${targetNames().join(", ")}`);
  const runsMax = values.input === undefined ? whole(values.runs, "runs") : 0;
  const seconds = whole(values.time, "time") ?? SECONDS_DEFAULT;
  const seed = whole(values.seed, "seed") ?? 1;
  let isClean = true;
  for (const name of positionals.length > 0 ? positionals : targetNames()) {
    if (values.distil) {
      await distil(name);
      continue;
    }
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

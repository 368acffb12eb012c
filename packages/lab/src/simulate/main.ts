/**
 * npm run simulate -- --seed N --runs M [--shard I/N] [--workers K] [--out FILE]
 * npm run simulate -- --merge FILE...
 *
 * Ends with 1 when a schedule fails, with the command that replays it and a short schedule that fails in the same way; or
 * when a campaign that is long enough left a cell of its table of commands, faults and phases empty.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { UsageError } from "../usage-error.ts";
import { type CampaignResult, mergeResults, parseResult, runCampaign, type Shard, WorkerEnded } from "./campaign.ts";
import { Coverage } from "./coverage.ts";
import { generateSchedule } from "./generate.ts";
import { describeEvent } from "./schedule.ts";
import { shrinkSchedule } from "./shrink.ts";
import { coverageLines, leftOut } from "./tables.ts";

const RUNS_DEFAULT = 1000;
const FAILURES_MAX = 5;
const SHRINK_RUNS = 1500;
/** Failing seeds that are made short. */
const SHRUNK_MAX = 3;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Somebody ended the campaign. */
class Interrupted extends Error {}

function wholeNumber(text: string, name: string, min: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min) {
    throw new UsageError(`--${name} is a whole number from ${min} on, not "${text}"`);
  }
  return value;
}

function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const shard = { index: Number(index), count: Number(count) };
  if (index === undefined || shard.index < 1 || shard.index > shard.count) {
    throw new UsageError(`--shard is I/N with I from 1 to N, not "${text}"`);
  }
  return shard;
}

function readResult(path: string): CampaignResult {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(`${path} can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const result = parseResult(value);
  if (result === null) throw new UsageError(`${path} is no result of the simulator`);
  return result;
}

function writeResult(path: string, result: CampaignResult): void {
  try {
    writeFileSync(path, `${JSON.stringify(result)}\n`);
  } catch (error) {
    throw new UsageError(`${path} can't be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function merge(paths: readonly string[]): CampaignResult {
  try {
    return mergeResults(paths.map(readResult));
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}

async function report(result: CampaignResult): Promise<void> {
  const { schedules, events, virtualMs, seconds, failures } = result;
  for (const line of coverageLines(Coverage.of(result.coverage))) console.log(line);
  const rate = seconds > 0 ? ((schedules * 60) / seconds).toFixed(0) : "0";
  const hours = (virtualMs / 3_600_000).toFixed(1);
  console.log(`${schedules} schedules, ${events} events, ${hours} hours of virtual time`);
  console.log(`${seconds.toFixed(1)} s: ${rate} schedules a minute`);
  for (const { seed, sentence } of failures) {
    console.error(`seed ${seed}: ${sentence}`);
    console.error(`  npm run simulate -- --seed ${seed} --runs 1`);
  }
  for (const { seed } of failures.slice(0, SHRUNK_MAX)) await shrink(seed);
  console.log(failures.length === 0 ? "nothing was lost" : `${failures.length} schedules failed`);
}

async function shrink(seed: number): Promise<void> {
  const { schedule, failure, runs } = await shrinkSchedule(generateSchedule(seed), SHRINK_RUNS);
  if (failure === "") {
    console.error(`seed ${seed} does not fail when it is run again`);
    return;
  }
  console.error(`seed ${seed} made short, in ${runs} runs: ${failure}`);
  schedule.machines.forEach((plan, index) => console.error(`  machine ${index}: ${JSON.stringify(plan)}`));
  for (const event of schedule.events) console.error(`  ${describeEvent(event)}`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seed: { type: "string" },
      runs: { type: "string" },
      shard: { type: "string" },
      workers: { type: "string" },
      out: { type: "string" },
      merge: { type: "boolean", default: false },
    },
  });
  if (!values.merge && positionals.length > 0) throw new UsageError(`"${positionals[0]}" is no option`);
  const result = values.merge ? merge(positionals) : await campaign(values);
  if (values.out !== undefined) writeResult(values.out, result);
  await report(result);
  return result.failures.length === 0 && !leftOut(result) ? 0 : 1;
}

interface CampaignArguments {
  readonly seed?: string | undefined;
  readonly runs?: string | undefined;
  readonly shard?: string | undefined;
  readonly workers?: string | undefined;
}

async function campaign(values: CampaignArguments): Promise<CampaignResult> {
  const seed = values.seed === undefined ? Date.now() % 1_000_000_007 : wholeNumber(values.seed, "seed", 0);
  const runs = values.runs === undefined ? RUNS_DEFAULT : wholeNumber(values.runs, "runs", 1);
  const shard = values.shard === undefined ? { index: 1, count: 1 } : parseShard(values.shard);
  const available = Math.min(runs, availableParallelism());
  const workers = values.workers === undefined ? available : wholeNumber(values.workers, "workers", 1);
  console.log(`seed ${seed}, ${runs} schedules, shard ${shard.index}/${shard.count}, ${workers} workers`);
  let told = 0;
  const onProgress = (done: number): void => {
    if (done - told < 1000) return;
    told = done;
    console.log(`${done} schedules`);
  };
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort(new Interrupted("interrupted"));
  for (const signal of SIGNALS) process.once(signal, onSignal);
  try {
    const options = { workers, failuresMax: FAILURES_MAX, onProgress, signal: interrupt.signal };
    return await runCampaign({ seed, runs, shard }, options);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** How the command ends where it can't do what it should: with a sentence, and this exit code. */
function exitCodeOf(error: unknown): number | null {
  if (error instanceof UsageError || (error instanceof TypeError && "code" in error)) return 2;
  if (error instanceof WorkerEnded) return 3;
  return error instanceof Interrupted ? 130 : null;
}

try {
  process.exitCode = await main();
} catch (error) {
  const exitCode = exitCodeOf(error);
  if (exitCode === null || !(error instanceof Error)) throw error;
  console.error(`simulate: ${error.message}`);
  process.exitCode = exitCode;
}

/**
 * Many schedules, spread over processes of one machine, or over machines: each seed is run by one of them, and results add
 * up. A schedule depends on its seed alone, so a failure is replayed by its seed wherever it was found.
 */
import { Worker } from "node:worker_threads";
import * as v from "valibot";
import { Coverage, type CoverageCounts } from "./coverage.ts";
import { generateSchedule } from "./generate.ts";
import { runSchedule } from "./world.ts";

/** A part of the seeds: those whose place among them is `index` (from 1) of every `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Which seeds: `runs` of them from `seed` on, of which `shard` are ours. */
export interface CampaignPlan {
  readonly seed: number;
  readonly runs: number;
  readonly shard: Shard;
}

/** A seed that fails. */
export interface CampaignFailure {
  readonly seed: number;
  readonly sentence: string;
}

/** What a campaign, or a part of one, came to. Plain data. */
export interface CampaignResult {
  readonly version: 1;
  readonly plan: CampaignPlan;
  readonly schedules: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly seconds: number;
  readonly failures: readonly CampaignFailure[];
  readonly coverage: CoverageCounts;
}

/** The seeds of a plan, in order. */
export function seedsOf({ seed, runs, shard }: CampaignPlan): readonly number[] {
  const seeds: number[] = [];
  for (let place = shard.index - 1; place < runs; place += shard.count) seeds.push(seed + place);
  return seeds;
}

/** What one process found: {@link CampaignResult} without its plan. */
export type SeedsResult = Omit<CampaignResult, "version" | "plan" | "seconds">;

/** Runs seeds here, one after the other. Stops after `failuresMax` failures. */
export async function runSeeds(
  seeds: readonly number[],
  failuresMax: number,
  onDone: (seed: number) => void = () => {},
): Promise<SeedsResult> {
  const coverage = new Coverage();
  const failures: CampaignFailure[] = [];
  let [schedules, events, virtualMs] = [0, 0, 0];
  for (const seed of seeds) {
    const schedule = generateSchedule(seed);
    const { failure, at, ms } = await runSchedule(schedule, coverage);
    schedules += 1;
    events += at;
    virtualMs += ms;
    if (failure !== null) failures.push({ seed, sentence: failure.message });
    onDone(seed);
    if (failures.length >= failuresMax) break;
  }
  return { schedules, events, virtualMs, failures, coverage: coverage.counts };
}

/** How a campaign runs. */
export interface CampaignOptions {
  /** Threads at work at once. */
  readonly workers: number;
  /** Failures after which a worker stops. */
  readonly failuresMax: number;
  readonly onProgress: (done: number) => void;
  /** Ends it: what is under way is given up. */
  readonly signal?: AbortSignal;
  /** What a thread runs. Default: the module beside this one. */
  readonly worker?: URL;
}

/** A thread of a campaign ended by itself: a mistake of the simulator's, or too little memory. */
export class WorkerEnded extends Error {
  override readonly name: string = "WorkerEnded";
}

/** Seeds that a worker is given at a time. */
const BATCH = 20;
const WORKER = new URL("./worker.js", import.meta.url);

/** Runs a campaign on a pool of workers. Rejects with WorkerEnded, or with the signal's reason. */
export async function runCampaign(plan: CampaignPlan, options: CampaignOptions): Promise<CampaignResult> {
  const seeds = [...seedsOf(plan)];
  const started = performance.now();
  const parts: SeedsResult[] = [];
  let done = 0;
  const onPart = (part: SeedsResult): void => {
    parts.push(part);
    done += part.schedules;
    options.onProgress(done);
  };
  // The first that fails ends all.
  const end = new AbortController();
  const signal = options.signal === undefined ? end.signal : AbortSignal.any([end.signal, options.signal]);
  const work = (): Promise<void> => workOff(seeds, { ...options, signal }, onPart);
  try {
    await Promise.all(Array.from({ length: options.workers }, work));
  } catch (error) {
    end.abort(error);
    throw error;
  }
  const seconds = (performance.now() - started) / 1000;
  return { version: 1, plan, seconds, ...sum(parts) };
}

/** One worker's part of `seeds`, from which it takes until there are none. */
async function workOff(
  seeds: number[],
  { failuresMax, worker: url = WORKER, signal }: CampaignOptions & { readonly signal: AbortSignal },
  onPart: (part: SeedsResult) => void,
): Promise<void> {
  const worker = new Worker(url);
  const end = (): void => void worker.terminate();
  signal.addEventListener("abort", end);
  try {
    for (let failures = 0; failures < failuresMax; ) {
      signal.throwIfAborted();
      const batch = seeds.splice(0, BATCH);
      if (batch.length === 0) return;
      const part = await ask(worker, batch, failuresMax);
      failures += part.failures.length;
      onPart(part);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
    await worker.terminate();
  }
}

function ask(worker: Worker, seeds: readonly number[], failuresMax: number): Promise<SeedsResult> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      worker.off("message", onMessage);
      worker.off("error", onError);
      worker.off("exit", onExit);
    };
    const onMessage = (result: SeedsResult): void => {
      stop();
      resolve(result);
    };
    const onError = (error: unknown): void => {
      stop();
      const why = error instanceof Error ? `: ${error.message}` : "";
      reject(new WorkerEnded(`a worker ended within the seeds ${seeds.join(", ")}${why}`, { cause: error }));
    };
    const onExit = (): void => onError(null);
    worker.on("message", onMessage);
    worker.on("error", onError);
    worker.on("exit", onExit);
    worker.postMessage({ seeds, failuresMax });
  });
}

function sum(parts: readonly SeedsResult[]): SeedsResult {
  const coverage = new Coverage();
  for (const part of parts) coverage.add(part.coverage);
  const total = (of: (part: SeedsResult) => number): number => parts.reduce((all, part) => all + of(part), 0);
  return {
    schedules: total(({ schedules }) => schedules),
    events: total(({ events }) => events),
    virtualMs: total(({ virtualMs }) => virtualMs),
    failures: parts.flatMap(({ failures }) => failures).sort((one, other) => one.seed - other.seed),
    coverage: coverage.counts,
  };
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const resultSchema = v.object({
  version: v.literal(1),
  plan: v.object({
    seed: count,
    runs: count,
    shard: v.object({ index: v.pipe(count, v.minValue(1)), count: v.pipe(count, v.minValue(1)) }),
  }),
  schedules: count,
  events: count,
  virtualMs: v.pipe(v.number(), v.minValue(0)),
  seconds: v.pipe(v.number(), v.minValue(0)),
  failures: v.array(v.object({ seed: count, sentence: v.string() })),
  coverage: v.record(v.string(), v.record(v.string(), v.record(v.string(), count))),
});

/** A result from a file; null where it is none. */
export function parseResult(value: unknown): CampaignResult | null {
  const parsed = v.safeParse(resultSchema, value);
  return parsed.success ? parsed.output : null;
}

/** The shards of one campaign as one. Throws RangeError where they are not of one, or one is there twice or missing. */
export function mergeResults(results: readonly CampaignResult[]): CampaignResult {
  const [first] = results;
  if (first === undefined) throw new RangeError("there are no results to merge");
  const { seed, runs, shard } = first.plan;
  const found = new Set<number>();
  for (const { plan } of results) {
    if (plan.seed !== seed || plan.runs !== runs || plan.shard.count !== shard.count) {
      throw new RangeError("the results are of different campaigns");
    }
    if (found.has(plan.shard.index)) throw new RangeError(`shard ${plan.shard.index} is there twice`);
    found.add(plan.shard.index);
  }
  const missing = Array.from({ length: shard.count }, (_, index) => index + 1).filter((index) => !found.has(index));
  if (missing.length > 0) throw new RangeError(`shard ${missing.join(", ")} of ${shard.count} is missing`);
  const seconds = Math.max(...results.map((result) => result.seconds));
  return { version: 1, plan: { seed, runs, shard: { index: 1, count: 1 } }, seconds, ...sum(results) };
}

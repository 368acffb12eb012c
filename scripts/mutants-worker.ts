/**
 * The process in which mutated code runs its tests (scripts/mutants-score.ts is its parent). First all tests without a
 * mutant, to learn which of them passes which place; then, for each order of the parent, one mutant until a test is red.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import type { HarnessTest } from "./mutants-harness.ts";

/** What a worker is told: which mutant, and how long its tests may take together, in milliseconds. */
export interface Order {
  readonly mutant: number;
  readonly budgetMs: number;
}

/** What a worker answers. */
export type Answer =
  | {
      readonly kind: "ready";
      readonly tests: number;
      readonly red: readonly string[];
      readonly covered: readonly number[];
    }
  | {
      readonly kind: "verdict";
      readonly mutant: number;
      readonly killedBy: string | null;
      readonly tried: number;
      readonly left: number;
    };

interface KnownTest {
  readonly test: HarnessTest;
  readonly ms: number;
  readonly calls: number;
  readonly covers: ReadonlySet<number>;
  kills: number;
}

/** A test that asks so many times more than without a mutant turns in circles. */
const CALLS_FACTOR = 50;
const CALLS_MIN = 2_000_000;
const TEST_MS = 30_000;

let active = -1;
let calls = 0;
let callsMax = Infinity;
let seen: Set<number> | null = null;
let unhandled: string | null = null;

Reflect.set(globalThis, "__mutant", (id: number): boolean => {
  calls += 1;
  if (calls > callsMax) throw new Error("it turns in circles");
  seen?.add(id);
  return id === active;
});
const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : JSON.stringify(error));
process.on("unhandledRejection", (error) => (unhandled = sentenceOf(error)));
process.on("uncaughtException", (error) => (unhandled = sentenceOf(error)));

/** Runs one test; why it is red, or null. */
async function redOf(test: HarnessTest): Promise<string | null> {
  unhandled = null;
  calls = 0;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it never ends")), TEST_MS);
  });
  try {
    await Promise.race([test.run(), late]);
    await new Promise(setImmediate);
    return unhandled;
  } catch (error) {
    return sentenceOf(error);
  } finally {
    clearTimeout(timer);
  }
}

/** Learns the tests: those that pass, quickest first. */
export async function learn(tests: readonly HarnessTest[]): Promise<{ known: KnownTest[]; red: string[] }> {
  const known: KnownTest[] = [];
  const red: string[] = [];
  for (const test of tests) {
    seen = new Set();
    const start = process.cpuUsage();
    const failure = await redOf(test);
    const { user, system } = process.cpuUsage(start);
    if (failure !== null) red.push(`${test.name}: ${failure}`);
    else if (seen.size > 0) known.push({ test, ms: (user + system) / 1000, calls, covers: seen, kills: 0 });
  }
  seen = null;
  return { known: known.sort((one, other) => one.ms - other.ms), red };
}

interface Learned {
  readonly known: readonly { name: string; ms: number; calls: number; covers: readonly number[] }[];
  readonly red: readonly string[];
}

/** What an earlier worker of the same program learned, or what is learned now and written down for the next one. */
async function learnOnce(
  tests: readonly HarnessTest[],
  file: string,
): Promise<{ known: KnownTest[]; red: readonly string[] }> {
  if (!existsSync(file)) {
    const { known, red } = await learn(tests);
    const plain = known.map(({ test, ms, calls, covers }) => ({ name: test.name, ms, calls, covers: [...covers] }));
    writeFileSync(file, JSON.stringify({ known: plain, red }));
    return { known, red };
  }
  const { known, red }: Learned = JSON.parse(readFileSync(file, "utf8"));
  const byName = new Map(tests.map((test) => [test.name, test]));
  const again = known.flatMap(({ name, ms, calls, covers }): KnownTest[] => {
    const test = byName.get(name);
    return test === undefined ? [] : [{ test, ms, calls, covers: new Set(covers), kills: 0 }];
  });
  return { known: again, red };
}

/** Runs a mutant's tests: those that killed most per millisecond first. */
async function judge(known: readonly KnownTest[], { mutant, budgetMs }: Order): Promise<Answer> {
  const covering = known
    .filter(({ covers }) => covers.has(mutant))
    .sort((one, other) => (other.kills + 1) / (other.ms + 1) - (one.kills + 1) / (one.ms + 1));
  let tried = 0;
  let spentMs = 0;
  active = mutant;
  try {
    for (const each of covering) {
      if (spentMs > 0 && spentMs + each.ms > budgetMs) continue;
      callsMax = Math.max(CALLS_MIN, each.calls * CALLS_FACTOR);
      tried += 1;
      spentMs += each.ms;
      if ((await redOf(each.test)) === null) continue;
      each.kills += 1;
      return { kind: "verdict", mutant, killedBy: each.test.name, tried, left: covering.length - tried };
    }
    return { kind: "verdict", mutant, killedBy: null, tried, left: covering.length - tried };
  } finally {
    active = -1;
    callsMax = Infinity;
  }
}

/** The worker's life. */
export async function work(tests: readonly HarnessTest[]): Promise<void> {
  const tell = (answer: Answer): void => void process.send?.(answer);
  const { known, red } = await learnOnce(tests, `${process.argv[1] ?? ""}.learned.json`);
  const covered = new Set(known.flatMap(({ covers }) => [...covers]));
  tell({ kind: "ready", tests: known.length, red, covered: [...covered] });
  process.on("message", (order: Order) => void judge(known, order).then(tell));
  process.on("disconnect", () => process.exit(0));
}

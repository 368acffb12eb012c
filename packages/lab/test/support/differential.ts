/**
 * Many random sequences on a real QEMU and on our device, by a seed; a failing one is shrunk, and told so that it can be
 * replayed.
 */
import * as fc from "fast-check";
import { Coverage } from "../../src/oracle/coverage.ts";
import { type Divergence, Judge } from "../../src/oracle/judge.ts";
import type { OracleSide, QemuSide } from "../../src/oracle/side.ts";
import { describeStep, type Sequence } from "../../src/oracle/sequence.ts";
import { sequences } from "./sequence-arbitrary.ts";

/** What to run. */
export interface DifferentialOptions {
  readonly qemu: QemuSide;
  readonly other: OracleSide;
  readonly runs: number;
  readonly seed: number;
  /** Where in fast-check's tree to begin: what a failure printed. */
  readonly path?: string | undefined;
  /** Hears how many sequences are done. */
  readonly onSequence?: (done: number) => void;
}

/** What it came to. */
export interface DifferentialReport {
  readonly coverage: Coverage;
  readonly sequences: number;
  readonly requests: number;
  /** What nothing explains, the whole story; null when all is well. */
  readonly failure: string | null;
}

function story(sequence: Sequence, divergence: Divergence | null, replay: string): string {
  const steps = sequence.steps.map(
    (step, index) => `${index === divergence?.step ? ">>" : "  "} ${describeStep(step)}`,
  );
  return [
    `our device differs from QEMU (${replay})`,
    divergence?.sentence ?? "",
    `the sequence (memory seed ${sequence.memorySeed}):`,
    ...steps,
  ].join("\n");
}

/** See the file's head. */
export async function runDifferential(options: DifferentialOptions): Promise<DifferentialReport> {
  const { qemu, other, runs, seed, path, onSequence } = options;
  const coverage = new Coverage();
  const judge = new Judge(qemu, other, coverage);
  let requests = 0;
  let done = 0;
  let last: Divergence | null = null;
  const property = fc.asyncProperty(sequences, async (sequence) => {
    const verdict = await judge.judge(sequence);
    for (const { id } of verdict.known) coverage.met(`difference ${id}`);
    requests += verdict.requests;
    done += 1;
    onSequence?.(done);
    if (verdict.divergence !== null) last = verdict.divergence;
    return verdict.divergence === null;
  });
  const replayPath = path === undefined ? {} : { path };
  const details = await fc.check(property, { numRuns: runs, seed, ...replayPath });
  const [counterexample] = details.counterexample ?? [];
  if (counterexample === undefined) return { coverage, sequences: done, requests, failure: null };
  // fast-check's last run need not be the smallest failure.
  const verdict = await judge.judge(counterexample);
  const replay = `--seed ${seed} --path ${details.counterexamplePath ?? ""}`;
  return {
    coverage,
    sequences: done,
    requests,
    failure: story(counterexample, verdict.divergence ?? last, replay),
  };
}

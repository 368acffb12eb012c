/** A campaign's thread: runs the loop, and leaves each input where the main thread finds it should this thread hang or die. */
import { parentPort, workerData } from "node:worker_threads";
import { type Finding, Fuzzer } from "./fuzzer.ts";
import { loadProgram } from "./program.ts";

/** What the thread is given. */
export interface WorkerOrder {
  readonly file: string;
  readonly seed: number;
  readonly corpus: readonly Uint8Array[];
  /** Ends after so many runs, or at this time of the clock, whichever comes first. */
  readonly runsMax: number;
  readonly until: number;
  /** Word 0: runs begun. Word 1: bytes of the current input, which follows. */
  readonly current: SharedArrayBuffer;
}

/** What the thread says. */
export type WorkerWord =
  | {
      readonly kind: "progress" | "done";
      readonly runs: number;
      readonly covered: number;
      readonly places: number;
      readonly corpus: readonly Uint8Array[];
    }
  | { readonly kind: "finding"; readonly finding: Finding };

/** Runs between two looks at the clock. */
const BATCH = 256;
const PROGRESS_MS = 2000;

async function work(order: WorkerOrder, say: (word: WorkerWord) => void): Promise<void> {
  const words = new Int32Array(order.current, 0, 2);
  const bytes = new Uint8Array(order.current, 8);
  const program = await loadProgram(order.file);
  const fuzzer = new Fuzzer(program, order.seed, (input) => {
    bytes.set(input.subarray(0, bytes.length));
    Atomics.store(words, 1, input.length);
    Atomics.add(words, 0, 1);
  });
  const report = (kind: "progress" | "done"): void =>
    say({ kind, runs: fuzzer.runs, covered: fuzzer.covered, places: program.places, corpus: fuzzer.corpus });
  const found = async (finding: Finding | null): Promise<boolean> => {
    if (finding === null) return false;
    say({ kind: "finding", finding: await fuzzer.shrink(finding) });
    return true;
  };

  const seeds = await program.target.seeds();
  for (const input of [...seeds, ...order.corpus]) if (await found(await fuzzer.add(input))) return;
  let told = Date.now();
  while (fuzzer.runs < order.runsMax) {
    for (let left = BATCH; left > 0 && fuzzer.runs < order.runsMax; left -= 1)
      if (await found(await fuzzer.step())) return;
    const now = Date.now();
    if (now >= order.until) break;
    if (now - told >= PROGRESS_MS) {
      told = now;
      report("progress");
    }
  }
  report("done");
}

const port = parentPort;
if (port !== null) {
  await work(workerData as WorkerOrder, (word) => {
    port.postMessage(word);
  });
}

/** One target, fuzzed for a time in a thread that is watched: an input that hangs, or eats the memory, is a finding too. */
import { Worker } from "node:worker_threads";
import type { Finding } from "./fuzzer.ts";
import type { WorkerOrder, WorkerWord } from "./worker.ts";

/** How long, and from where. */
export interface CampaignOptions {
  /** The target's TypeScript file. */
  readonly file: string;
  readonly seed: number;
  readonly corpus: readonly Uint8Array[];
  readonly runsMax?: number;
  readonly milliseconds?: number;
  /** Told every two seconds. */
  readonly onProgress?: (progress: CampaignProgress) => void;
}

/** How far it is. */
export interface CampaignProgress {
  readonly runs: number;
  /** Places in the program that some input came to, and all that there are. */
  readonly covered: number;
  readonly places: number;
  /** Inputs worth keeping. */
  readonly corpus: readonly Uint8Array[];
}

/** What came of it. */
export interface CampaignResult extends CampaignProgress {
  readonly finding: Finding | null;
}

const INPUT_BYTES_MAX = 1 << 20;
const HEAP_MIB_MAX = 1024;
/** An input that takes longer hangs. Nothing here takes more than some milliseconds, on a machine that is not overloaded. */
const HANG_MS = 20_000;

/** Node 20 does not hand a loader on to threads, so the thread registers its own. */
const BOOTSTRAP = `import(${JSON.stringify(import.meta.resolve("tsx/esm/api"))})
  .then(({ register }) => register())
  .then(() => import(${JSON.stringify(new URL("worker.ts", import.meta.url).href)}))`;

/** Runs a campaign to its end, or to its first finding. */
export async function fuzzFor(options: CampaignOptions): Promise<CampaignResult> {
  const current = new SharedArrayBuffer(8 + INPUT_BYTES_MAX);
  const words = new Int32Array(current, 0, 2);
  const order: WorkerOrder = {
    file: options.file,
    seed: options.seed,
    corpus: options.corpus,
    runsMax: options.runsMax ?? Number.MAX_SAFE_INTEGER,
    until: Date.now() + (options.milliseconds ?? Number.MAX_SAFE_INTEGER / 2),
    current,
  };
  const worker = new Worker(BOOTSTRAP, {
    eval: true,
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB_MAX },
  });
  let last: CampaignProgress = { runs: 0, covered: 0, places: 0, corpus: [] };
  const taken = (): Uint8Array => new Uint8Array(current, 8, Math.min(words[1] ?? 0, INPUT_BYTES_MAX)).slice();
  const watchdog = watch(words);
  try {
    return await new Promise<CampaignResult>((resolve) => {
      const end = (error: string | null): void =>
        resolve({ ...last, finding: error === null ? null : { input: taken(), error } });
      watchdog.onHang = () => end(`ran for more than ${String(HANG_MS)} ms`);
      worker.on("error", (error) => end(`ended its thread: ${error.message}`));
      worker.on("message", (word: WorkerWord) => {
        if (word.kind === "finding") {
          resolve({ ...last, finding: word.finding });
          return;
        }
        last = word;
        options.onProgress?.(word);
        if (word.kind === "done") end(null);
      });
    });
  } finally {
    clearInterval(watchdog.timer);
    await worker.terminate();
  }
}

interface Watchdog {
  timer: NodeJS.Timeout;
  onHang: () => void;
}

/** Calls `onHang` when the same input has been running for too long. */
function watch(words: Int32Array): Watchdog {
  let runs = -1;
  let since = Date.now();
  const dog: Watchdog = {
    onHang: () => undefined,
    timer: setInterval(() => {
      const now = Atomics.load(words, 0);
      if (now !== runs || now === 0) {
        runs = now;
        since = Date.now();
      } else if (Date.now() - since > HANG_MS) dog.onHang();
    }, 1000),
  };
  return dog;
}

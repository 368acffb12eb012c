/**
 * Freeze and restore of many objects in process: against the command rate, against the same commands without a driver,
 * the way to the picture, and memory.
 */
import type { BenchRow } from "../../../scripts/bench.ts";
import { VirtioGpu } from "../src/driver/index.ts";
import { commandRate, session } from "./commands.bench.ts";
import { machine, median, middle, row } from "./machine.ts";
import { Replay } from "./replay.ts";

const SIZE = 16;
const PAGE_BYTES = 4096;
const BATCH = 1000;
/** Commands of one object: CREATE, ATTACH and TRANSFER on the way up, UNREF on the way down. */
const RESTORE_COMMANDS = 3;
const FREEZE_COMMANDS = 1;
const ROUNDS = 9;
const CYCLES = 1000;

/** One lit output, and `count` images that nobody sees. */
async function scene(count: number): Promise<{ gpu: VirtioGpu; bytesPerObject: number }> {
  const { driver } = machine({ ramBytes: (64 << 20) + count * PAGE_BYTES });
  const gpu = await VirtioGpu.probe(driver);
  const shown = await gpu.createBuffer({ width: 640, height: 480 });
  shown.map((pixels) => pixels.fill(9));
  await gpu.output(0).show(shown);
  const before = heapUsed();
  for (let done = 0; done < count; done += BATCH) {
    const many = Array.from({ length: Math.min(BATCH, count - done) }, () =>
      gpu.createBuffer({ width: SIZE, height: SIZE }),
    );
    for (const buffer of await Promise.all(many)) buffer.write(0, Uint8Array.of(1));
  }
  return { gpu, bytesPerObject: (heapUsed() - before) / Math.max(1, count) };
}

function heapUsed(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

interface Cycle {
  readonly freeze: number;
  readonly picture: number;
  readonly restore: number;
}

/** Milliseconds of one cycle. */
async function cycle(gpu: VirtioGpu): Promise<Cycle> {
  const start = performance.now();
  await gpu.power.freeze("FREEZE");
  const frozen = performance.now();
  const { picture, complete } = gpu.power.restore("RESTORE");
  await picture;
  const pictured = performance.now();
  await complete;
  return { freeze: frozen - start, picture: pictured - frozen, restore: performance.now() - frozen };
}

/** Milliseconds of the same commands without objects, facts and reports. */
function replayed(replay: Replay, count: number): Pick<Cycle, "freeze" | "restore"> {
  const start = performance.now();
  replay.restore(count, SIZE);
  const restored = performance.now();
  replay.freeze(count);
  return { restore: restored - start, freeze: performance.now() - restored };
}

/** Both in turns; the first round of each warms up. */
async function inTurns(
  count: number,
): Promise<{ ours: Cycle; plain: Pick<Cycle, "freeze" | "restore">; rate: number }> {
  const { gpu } = await scene(count);
  const opened = await session((64 << 20) + count * PAGE_BYTES);
  const replay = new Replay(opened);
  const ours: Cycle[] = [];
  const plain: Pick<Cycle, "freeze" | "restore">[] = [];
  const rates: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    ours.push(await cycle(gpu));
    plain.push(replayed(replay, count));
    rates.push(commandRate(opened, 32));
  }
  const of = <T>(list: readonly T[], pick: (one: T) => number): number => middle(list.slice(1).map(pick));
  return {
    ours: {
      freeze: of(ours, (one) => one.freeze),
      picture: of(ours, (one) => one.picture),
      restore: of(ours, (one) => one.restore),
    },
    plain: { freeze: of(plain, (one) => one.freeze), restore: of(plain, (one) => one.restore) },
    rate: of(rates, (one) => one),
  };
}

async function manyObjects(): Promise<readonly BenchRow[]> {
  const result: BenchRow[] = [];
  let few: Pick<Cycle, "freeze" | "restore"> | null = null;
  for (const count of [10_000, 100_000]) {
    const { ours, plain, rate } = await inTurns(count);
    for (const [way, commands] of [
      ["freeze", FREEZE_COMMANDS],
      ["restore", RESTORE_COMMANDS],
    ] as const) {
      const each = (ours[way] * 1000) / count;
      const atRate = (commands * 1e6) / rate;
      const what = `${way}, ${count.toLocaleString("en-US")} objects`;
      result.push(
        row(`${what} (against ${commands} commands at the command rate)`, "us/object", each, atRate, { atMost: 1.25 }),
      );
      result.push(
        row(`${what} (against the same commands without a driver)`, "us/object", each, (plain[way] * 1000) / count),
      );
      if (few !== null) result.push(row(`${what} (against 10,000)`, "us/object", each, few[way], { atMost: 1.25 }));
    }
    few = { freeze: (ours.freeze * 1000) / count, restore: (ours.restore * 1000) / count };
  }
  return result;
}

async function timeToPicture(): Promise<readonly BenchRow[]> {
  const none = await scene(0);
  const many = await scene(100_000);
  const pictureOfNone = await median(ROUNDS, async () => (await cycle(none.gpu)).picture);
  const picture = await median(5, async () => (await cycle(many.gpu)).picture);
  return [
    row("time to picture, 100,000 invisible objects (against none)", "ms", picture, pictureOfNone, { atMost: 1.1 }),
    row("heap of driver, device and handle", "bytes/object", many.bytesPerObject, null),
  ];
}

/** What is left on the heap after a thousand cycles more than the thousand in which the compiler has learnt what there is. */
async function memory(): Promise<readonly BenchRow[]> {
  const { gpu } = await scene(100);
  let early = 0;
  for (let done = 1; done <= 2 * CYCLES; done += 1) {
    await cycle(gpu);
    if (done === CYCLES) early = heapUsed();
  }
  const late = heapUsed();
  return [row(`heap after ${2 * CYCLES} cycles (against ${CYCLES})`, "bytes", late, early, { atMost: 1.05 })];
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  return [...(await memory()), ...(await manyObjects()), ...(await timeToPicture())];
}

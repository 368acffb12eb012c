/**
 * A desktop that is used and put to sleep for hours, and what it costs in the end: heap after a collection, the guest's
 * pages, mappings, timers, and what the host holds must be what they were when it had warmed up.
 *
 * VIRTGPU_SOAK: virtual hours, or real minutes, e.g. `8h` or `10m` (`npm run soak`); else a few virtual minutes.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { SeededRandom } from "../src/sim/seeded-random.ts";
import { InterleavedDesktop, OPERATIONS, TARGETS_MAX, WAYS } from "./support/interleaving.ts";

setFlagsFromString("--expose-gc");
// Optimized code counts as heap, and there is more of it for hours.
setFlagsFromString("--no-opt");
const collect: () => void = runInNewContext("gc");

/** How long. */
interface Plan {
  readonly virtualMs: number;
  readonly realMs: number;
}

/** Virtual time between two sleeps. */
const AWAKE_MS = 60_000;
/** Samples that are compared, of each end; those before are the warm-up. */
const SAMPLES = 12;
/** How much the heap's median may differ: a collection does not find the same each time. */
const HEAP_SLACK_BYTES = 1 << 20;

function planOf(text: string | undefined): Plan {
  const [, amount, unit] = /^(\d+)([hm])$/.exec(text ?? "") ?? [];
  if (amount === undefined) return { virtualMs: 45 * AWAKE_MS, realMs: Infinity };
  return unit === "h"
    ? { virtualMs: Number(amount) * 3_600_000, realMs: Infinity }
    : { virtualMs: Infinity, realMs: Number(amount) * 60_000 };
}

interface Sample {
  readonly heapBytes: number;
  readonly rest: {
    readonly guestBytes: number;
    readonly mappings: number;
    readonly timers: number;
    readonly resources: number;
    readonly hostBytes: number;
    readonly entries: number;
  };
}

function sampleOf({ bench }: InterleavedDesktop): Sample {
  const { machine, host } = bench;
  collect();
  const { resources, hostBytes, entries } = host.device.usage;
  return {
    heapBytes: process.memoryUsage().heapUsed,
    rest: {
      guestBytes: machine.allocator.allocatedBytes,
      mappings: machine.dma.mapped.length,
      timers: machine.clock.timers,
      resources,
      hostBytes,
      entries,
    },
  };
}

/** A minute of use, a sleep with something in the middle of it, and now and then a host that is lost. */
async function round(desktop: InterleavedDesktop, random: SeededRandom): Promise<void> {
  const { bench } = desktop;
  const { clock } = bench.machine;
  const end = clock.nowMs() + AWAKE_MS;
  while (clock.nowMs() < end) {
    const operation = random.pick(OPERATIONS.filter((each) => each !== "remove"));
    await bench.run(desktop.perform(operation, random.below(TARGETS_MAX)));
    await clock.advance(random.between(2000, 10_000));
  }
  if (random.chance(0.1)) {
    bench.replaceHost();
    await bench.run(bench.gpu.recover());
  }
  const plan = Array.from({ length: random.below(3) }, () => ({
    moment: { unit: "link" as const, at: random.between(1, 40) },
    operation: random.pick(OPERATIONS.filter((each) => each !== "remove")),
    turn: random.below(TARGETS_MAX),
  }));
  await desktop.cycle(random.pick(WAYS), plan);
  await desktop.check();
  await desktop.tidyUp();
  // An idle driver keeps no timer.
  await clock.advance(10_000);
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

it("hours of use and sleep leave nothing behind, on neither side", { timeout: 7_200_000 }, async () => {
  const plan = planOf(process.env["VIRTGPU_SOAK"]);
  const random = new SeededRandom("soak");
  const desktop = await InterleavedDesktop.start(false);
  const { clock } = desktop.bench.machine;
  const realEnd = performance.now() + plan.realMs;
  const samples: Sample[] = [];
  const rounds = { all: 0, sampled: 0 };
  while (clock.nowMs() < plan.virtualMs && performance.now() < realEnd) {
    await round(desktop, random);
    rounds.all += 1;
    samples.push(sampleOf(desktop));
    // The first ones after the warm-up, and the last ones.
    if (samples.length > 3 * SAMPLES) samples.splice(2 * SAMPLES, 1);
  }
  expect(samples.length, "rounds").toBeGreaterThanOrEqual(3 * SAMPLES);
  const [early, late] = [samples.slice(SAMPLES, 2 * SAMPLES), samples.slice(2 * SAMPLES)];
  for (const { rest } of late) expect(rest).toEqual(samples[0]?.rest);
  const growth = median(late.map(({ heapBytes }) => heapBytes)) - median(early.map(({ heapBytes }) => heapBytes));
  if (process.env["VIRTGPU_SOAK"] !== undefined) tell(rounds.all, clock.nowMs(), samples, growth);
  expect(growth, "bytes of heap").toBeLessThan(HEAP_SLACK_BYTES);
  await desktop.checkEnd();
});

function tell(rounds: number, virtualMs: number, samples: readonly Sample[], growth: number): void {
  const hours = (virtualMs / 3_600_000).toFixed(1);
  const heap = (median(samples.slice(-SAMPLES).map(({ heapBytes }) => heapBytes)) / (1 << 20)).toFixed(1);
  const rest = Object.entries(samples.at(-1)?.rest ?? {}).map(([name, value]) => `${name} ${String(value)}`);
  process.stdout.write(
    `${String(rounds)} sleeps in ${hours} virtual hours: heap ${heap} MiB, grown by ${String(growth)} bytes; ${rest.join(", ")}\n`,
  );
}

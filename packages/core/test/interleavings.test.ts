/**
 * Whatever a user, a monitor or the system does at any step of a freeze or a restore: what was asked for is so afterwards,
 * what was there is there, nothing else is, and nobody waits for ever. Every operation meets every command of a sleep,
 * on a host that answers slowly, and every link of its chain of promises, on one that answers at once.
 *
 * VIRTGPU_INTERLEAVINGS=all tries every target of every operation on every way to sleep (`npm run interleavings`), else
 * each operation takes its targets in turn and the ways to sleep share the steps between them.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../src/base/errors.ts";
import { DriverBench } from "./support/driver-bench.ts";
import {
  InterleavedDesktop,
  type Moment,
  OPERATIONS,
  type Operation,
  TARGETS_MAX,
  WAYS,
  type Way,
} from "./support/interleaving.ts";

const ALL = process.env["VIRTGPU_INTERLEAVINGS"] === "all";
/** Ways other than the first are tried at every 24th step, each operation at others. */
const STRIDE = ALL ? 1 : 24;
/** Cycles with two or three operations at random steps. */
const RANDOM_RUNS = ALL ? 4000 : 40;
const LIMIT = { timeout: ALL ? 7_200_000 : 180_000 };
const SEED = Number(process.env["VIRTGPU_SEED"] ?? 1);

interface Planned {
  readonly moment: Moment;
  readonly operation: Operation;
  readonly turn: number;
}

/** Plays a cycle with what is planned, and looks at everything; the sentence of what is wrong, or null. */
async function play(way: Way, plan: readonly Planned[]): Promise<string | null> {
  const desktop = await InterleavedDesktop.start(plan[0]?.moment.unit === "command");
  try {
    await desktop.cycle(way, plan);
    await desktop.check();
    await desktop.checkEnd();
    return null;
  } catch (error) {
    const what = plan.map(({ moment, operation, turn }) => `${operation} ${turn} at ${moment.unit} ${moment.at}`);
    return `${way.name}, ${what.join(", ")}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function stepsOf(way: Way): Promise<readonly Moment[]> {
  const { commands } = await (await InterleavedDesktop.start(true)).cycle(way, []);
  const { links } = await (await InterleavedDesktop.start(false)).cycle(way, []);
  const of = (unit: Moment["unit"], count: number): Moment[] =>
    Array.from({ length: count }, (_, at) => ({ unit, at: at + 1 }));
  return [...of("command", commands.length), ...of("link", links)];
}

describe("an operation at every step of a sleep", () => {
  it("meets a sleep of many steps", async () => {
    const [hibernation] = WAYS;
    const steps = hibernation === undefined ? [] : await stepsOf(hibernation);
    expect(steps.filter(({ unit }) => unit === "command").length).toBeGreaterThanOrEqual(30);
    expect(steps.filter(({ unit }) => unit === "link").length).toBeGreaterThanOrEqual(30);
  });

  it.each(OPERATIONS)("loses nothing and leaves nothing behind: %s", LIMIT, async (operation) => {
    const wrong: string[] = [];
    for (const [index, way] of WAYS.entries()) {
      const stride = index === 0 ? 1 : STRIDE;
      for (const [number, moment] of (await stepsOf(way)).entries()) {
        if ((number + OPERATIONS.indexOf(operation)) % stride !== 0) continue;
        const turns = ALL ? Array.from({ length: TARGETS_MAX }, (_, turn) => turn) : [number];
        for (const turn of turns) {
          const sentence = await play(way, [{ moment, operation, turn }]);
          if (sentence !== null) wrong.push(sentence);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe("several operations at random steps of a sleep", () => {
  const step = fc.integer({ min: 1, max: 60 });
  const operation = fc.constantFrom(...OPERATIONS);
  const deed = fc.record({ at: step, operation, turn: fc.nat({ max: TARGETS_MAX - 1 }) });
  const unit = fc.constantFrom<Moment["unit"]>("command", "link");

  it("lose nothing and leave nothing behind", LIMIT, async () => {
    const property = fc.asyncProperty(
      fc.constantFrom(...WAYS),
      unit,
      fc.array(deed, { minLength: 2, maxLength: 3 }),
      async (way, kind, deeds) => {
        const plan = deeds.map(({ at, ...what }) => ({ ...what, moment: { unit: kind, at } }));
        expect(await play(way, plan)).toBeNull();
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: RANDOM_RUNS });
  });
});

describe("a removal while the device is being suspended", () => {
  it("ends the freeze at once, whichever link of promises it falls into", async () => {
    for (let links = 0; links < 12; links += 1) {
      const bench = await DriverBench.start({ ramBytes: 768 << 10, bootBytes: 4096, features: { suspend: true } });
      const before = bench.machine.clock.nowMs();
      const outcome = bench.gpu.power.freeze("SUSPEND").then(
        () => "suspended",
        (error: unknown) => (error instanceof GpuError ? error.code : "another error"),
      );
      for (let link = 0; link < links; link += 1) await Promise.resolve();
      await bench.run(Promise.all([outcome, bench.gpu.remove()]));
      expect(["suspended", "ENODEV"], `after ${links} links`).toContain(await outcome);
      expect(bench.machine.clock.nowMs() - before, "milliseconds").toBeLessThan(100);
      expect(bench.gpu.state).toBe("removed");
    }
  });
});

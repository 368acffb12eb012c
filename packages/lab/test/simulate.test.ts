/** The simulator: a short run of it, and that it finds, replays, shortens, spreads and adds up what it should. */
import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SeededRandom } from "@virtgpu/core/sim";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { aimsOf, CELLS, rowOf, RUNS_TO_COVER_ALL, whyUnreachable } from "../src/simulate/aims.ts";
import { mergeResults, parseResult, runCampaign, runSeeds, seedsOf } from "../src/simulate/campaign.ts";
import { Coverage } from "../src/simulate/coverage.ts";
import { SimDisk } from "../src/simulate/disk.ts";
import { EVENTS_MIN, generateSchedule, SLEEPS_MIN } from "../src/simulate/generate.ts";
import type { Schedule, SimEvent } from "../src/simulate/schedule.ts";
import { shrinkSchedule } from "../src/simulate/shrink.ts";
import { emptyCells, leftOut } from "../src/simulate/tables.ts";
import { runSchedule } from "../src/simulate/world.ts";

const SEEDS = 5;
/** Of the core, those that have an entry of their own. */
const PARTS = ["base", "device", "driver", "memory", "sim", "sleep", "virtio", "wire"];

const settled = (deed: SimEvent["deed"]): SimEvent => ({ machine: 0, deed, pause: { kind: "settle" } });

/** A long schedule that fails for one event: something happens to a machine that there is not. */
function wrongSchedule(): Schedule {
  const { machines, seed } = generateSchedule(1);
  const noise = Array.from({ length: 20 }, () => settled({ op: "monitor", output: 0, size: null }));
  const events = [
    ...noise,
    settled({ op: "create", slot: 0, size: { width: 16, height: 16 }, storage: "image" }),
    ...noise,
    { machine: 7, deed: { op: "check" }, pause: { kind: "settle" } } as const,
    ...noise,
  ];
  return { seed, machines, events };
}

describe("schedules", () => {
  it("are long enough, and sleep and go wrong often enough", () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const { events } = generateSchedule(seed);
      expect(events.length).toBeGreaterThanOrEqual(EVENTS_MIN);
      expect(events.filter(({ deed }) => deed.op === "sleep").length).toBeGreaterThanOrEqual(SLEEPS_MIN);
      expect(events.filter(({ deed }) => deed.op === "command" || deed.op === "powerCut").length).toBeGreaterThan(0);
    }
  });

  it("are plain data, and the same for the same seed", () => {
    const schedule = generateSchedule(7);
    expect(JSON.parse(JSON.stringify(schedule))).toEqual(schedule);
    expect(generateSchedule(7)).toEqual(schedule);
    expect(generateSchedule(8)).not.toEqual(schedule);
  });
});

describe("the cells of commands, faults and phases", () => {
  it("are all aimed at by a row of seeds, a dozen times in a campaign that has to cover all", () => {
    const aims = new Map<string, number>();
    for (let seed = 0; seed < RUNS_TO_COVER_ALL; seed += 1) {
      for (const cell of aimsOf(7_000 + seed)) {
        const name = `${rowOf(cell)} × ${cell.phase}`;
        aims.set(name, (aims.get(name) ?? 0) + 1);
      }
    }
    const reachable = CELLS.filter((cell) => whyUnreachable(cell) === null);
    expect(aims.size).toBe(reachable.length);
    expect(Math.min(...aims.values())).toBeGreaterThanOrEqual(12);
  });

  it("that are aimed at are reached", async () => {
    const coverage = new Coverage();
    const seeds = [20_010, 20_011, 20_012, 20_013];
    for (const seed of seeds) await runSchedule(generateSchedule(seed), coverage);
    const hits = seeds.flatMap(aimsOf).filter((cell) => coverage.get("command", rowOf(cell), cell.phase) > 0);
    expect(hits.length).toBeGreaterThanOrEqual(9);
  });

  it("that a long campaign leaves empty are told, and make it fail", () => {
    const coverage = new Coverage();
    const reachable = CELLS.filter((cell) => whyUnreachable(cell) === null);
    for (const cell of reachable.slice(1)) coverage.note("command", rowOf(cell), cell.phase);
    const [missing] = reachable;
    expect(emptyCells(coverage)).toEqual(missing === undefined ? [] : [`${rowOf(missing)} × ${missing.phase}`]);
    expect(leftOut({ schedules: RUNS_TO_COVER_ALL, coverage: coverage.counts })).toBe(true);
    expect(leftOut({ schedules: RUNS_TO_COVER_ALL - 1, coverage: coverage.counts })).toBe(false);
    if (missing !== undefined) coverage.note("command", rowOf(missing), missing.phase);
    expect(leftOut({ schedules: RUNS_TO_COVER_ALL, coverage: coverage.counts })).toBe(false);
  });
});

describe("a simulation", () => {
  it("loses nothing in a short run", async () => {
    const result = await runSeeds(seedsOf({ seed: 20_000, runs: SEEDS, shard: { index: 1, count: 1 } }), 1);
    expect(result.failures).toEqual([]);
    expect(result.schedules).toBe(SEEDS);
    expect(Object.keys(result.coverage["command"] ?? {}).length).toBeGreaterThan(5);
  });

  it("is the same each time", async () => {
    const runs = [new Coverage(), new Coverage()];
    const outcomes = [];
    for (const coverage of runs) outcomes.push(await runSchedule(generateSchedule(20_001), coverage));
    expect(outcomes[0]).toEqual(outcomes[1]);
    expect(runs[0]?.counts).toEqual(runs[1]?.counts);
  });

  it("that fails is made as short as can be", async () => {
    const { schedule, failure } = await shrinkSchedule(wrongSchedule(), 300);
    expect(failure).toBe("there is no machine 7");
    expect(schedule.events).toHaveLength(1);
  });
});

describe("a campaign", () => {
  it("is spread over shards, each seed in one of them", () => {
    const shards = [1, 2, 3].map((index) => seedsOf({ seed: 10, runs: 11, shard: { index, count: 3 } }));
    expect(shards.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: 11 }, (_, place) => 10 + place));
  });

  const part = (index: number): NonNullable<ReturnType<typeof parseResult>> => ({
    version: 1,
    plan: { seed: 1, runs: 4, shard: { index, count: 2 } },
    schedules: 2,
    events: 600,
    virtualMs: 1000,
    seconds: index,
    failures: index === 2 ? [{ seed: 2, sentence: "something is wrong" }] : [],
    coverage: { command: { "GET_EDID × drop": { awake: 1 } } },
  });

  it("adds its shards up, and takes none twice and leaves none out", () => {
    const merged = mergeResults([part(2), part(1)]);
    expect(merged).toMatchObject({ schedules: 4, events: 1200, failures: [{ seed: 2 }] });
    expect(merged.coverage["command"]?.["GET_EDID × drop"]?.["awake"]).toBe(2);
    expect(() => mergeResults([part(1), part(1)])).toThrow("shard 1 is there twice");
    expect(() => mergeResults([part(1)])).toThrow("shard 2 of 2 is missing");
    expect(() => mergeResults([])).toThrow("no results");
  });

  it("reads its own results, and no others", () => {
    expect(parseResult(JSON.parse(JSON.stringify(part(1))))).toEqual(part(1));
    expect(parseResult({ ...part(1), version: 2 })).toBeNull();
    expect(parseResult({ ...part(1), failures: "none" })).toBeNull();
  });
});

describe("a campaign on workers", () => {
  const plan = { seed: 1, runs: 2, shard: { index: 1, count: 1 } };
  const options = { workers: 2, failuresMax: 1, onProgress: () => {} };

  it("says in which seeds a worker ended", async () => {
    const worker = new URL("data:text/javascript,process.exit(3)");
    await expect(runCampaign(plan, { ...options, worker })).rejects.toThrow("a worker ended within the seeds 1, 2");
  });

  it("ends when it is told to, with all of its workers", async () => {
    const worker = new URL("data:text/javascript,setInterval(() => {}, 1000)");
    const interrupt = new AbortController();
    const campaign = runCampaign(plan, { ...options, worker, signal: interrupt.signal });
    interrupt.abort(new Error("interrupted"));
    await expect(campaign).rejects.toThrow("interrupted");
  });
});

describe("the command", () => {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-test-"));

  // From its sources, as the build would make it: threads take no others.
  beforeAll(async () => {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    const core = fileURLToPath(new URL("../../core/src/", import.meta.url));
    const source = (name: string): string => fileURLToPath(new URL(`../src/simulate/${name}.ts`, import.meta.url));
    await build({
      entryPoints: [source("main"), source("worker")],
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      outdir: folder,
      logLevel: "silent",
      alias: Object.fromEntries(PARTS.map((part) => [`@virtgpu/core/${part}`, join(core, part, "index.ts")])),
    });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const simulate = (...args: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync(process.execPath, [join(folder, "main.js"), ...args], { cwd: folder, encoding: "utf8" });

  it("runs a campaign in shards and adds them up to what it is in one go", async () => {
    for (const [index, out] of ["1.json", "2.json"].entries()) {
      const args = ["--seed", "20002", "--runs", "2", "--shard", `${index + 1}/2`, "--workers", "1", "--out", out];
      expect(simulate(...args)).toMatchObject({ status: 0 });
    }
    const merged = simulate("--merge", "1.json", "2.json", "--out", "all.json");
    expect(merged.status).toBe(0);
    expect(merged.stdout).toContain("2 schedules");
    expect(merged.stdout).toContain("nothing was lost");
    const all = parseResult(JSON.parse(readFileSync(join(folder, "all.json"), "utf8")));
    const whole = await runSeeds([20_002, 20_003], 1);
    expect(all).toMatchObject({ plan: { seed: 20_002, runs: 2, shard: { index: 1, count: 1 } }, ...whole });
  });

  it("says in a sentence what it was not given right", () => {
    const wrong = simulate("--merge", "none.json");
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toMatch(/^simulate: none\.json can't be read: .*\n$/);
    expect(simulate("--shard", "3/2").stderr).toBe('simulate: --shard is I/N with I from 1 to N, not "3/2"\n');
    expect(simulate("--runs", "1", "--no").status).toBe(2);
  });
});

describe("a simulated disk", () => {
  const write = async (disk: SimDisk, sync: boolean): Promise<void> => {
    const files = disk.mount();
    const file = await files.create("/a");
    await file.write(Uint8Array.of(1, 2, 3, 4), 0);
    if (!sync) return;
    await file.sync();
    await files.syncFolder("/");
  };

  const read = async (disk: SimDisk): Promise<readonly number[] | null> => {
    const files = disk.mount();
    if ((await files.kind("/a")) === null) return null;
    const file = await files.open("/a", "read");
    const bytes = new Uint8Array(await file.size());
    await file.read(bytes, 0);
    return [...bytes];
  };

  it("keeps what was synced over a loss of power, and maybe not the rest", async () => {
    const left = new Set<string>();
    for (let seed = 0; seed < 40; seed += 1) {
      const disk = new SimDisk(new SeededRandom(seed));
      await write(disk, seed < 5);
      disk.cutPower();
      const bytes = JSON.stringify(await read(disk));
      if (seed < 5) expect(bytes).toBe("[1,2,3,4]");
      else left.add(bytes);
    }
    expect(left.has("null")).toBe(true);
    expect(left.has("[1,2,3,4]")).toBe(true);
    expect(left.size).toBeGreaterThan(2);
  });

  it("fails where it is told to, and is full where it is full", async () => {
    const disk = new SimDisk(new SeededRandom(1));
    disk.failing = { call: "create", in: 1 };
    await expect(disk.mount().create("/a")).rejects.toMatchObject({ code: "EIO" });
    disk.fullAt = 3;
    const file = await disk.mount().create("/a");
    await expect(file.write(new Uint8Array(4), 0)).rejects.toMatchObject({ code: "ENOSPC" });
  });
});

/** objects outlive their commands, freed once; and nobody waits for an answer that will not come. */
import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import { MemoryRenderer } from "../../src/device/memory-renderer.ts";
import type { RenderContext, RenderResource } from "../../src/driver/index.ts";
import type { CommandEffect } from "../../src/sim/faults/command-faults.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import { BlobFlag, GpuCommand } from "../../src/wire/gpu.ts";
import { type BenchOptions, DriverBench, paint } from "../support/driver-bench.ts";
import { Scene } from "../support/teardown-scene.ts";

describe("a removal", () => {
  const effects: readonly (readonly [string, CommandEffect])[] = [
    ["not yet carried out", { kind: "hang" }],
    ["carried out, not answered", { kind: "hold" }],
    ["answered while the device is being reset", { kind: "slow", ms: 40 }],
  ];

  it.each(effects)("R-09 while UNREFs are in flight frees each object once: %s", async (_, effect) => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 2, times: Infinity, effect });
    host.transport.faults.reset = { kind: "ms", ms: 100 };
    const frozen = gpu.power.freeze("FREEZE").catch((error: unknown) => error);
    await machine.clock.advance(10);
    expect(host.pending).toBe(5);
    const frees = machine.allocator.frees;
    const removed = gpu.remove();
    await machine.clock.advance(1);
    // The device was told, and goes on until its reset is done: all that it knows is still there, untouched.
    expect(machine.allocator.frees).toBe(frees);
    await scene.bench.run(removed);
    expect(await frozen).toMatchObject({ code: "ENODEV" });
    expect(gpu.state).toBe("removed");
    host.commands.clear();
    host.transport.faults.reset = null;
    host.resume();
    await machine.clock.advance(10_000);
    // Five objects of ours, rings and arena; the import's memory is its exporter's. Freeing twice would have thrown.
    expect(machine.allocator.frees - frees).toBe(7);
    await scene.expectNothingLeft();
  });

  it("R-09 keeps objects valid that a freeze took back from the host", async () => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    const frees = machine.allocator.frees;
    host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 6, effect: { kind: "hang" } });
    await expect(scene.bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    // Nothing was freed with its UNREF: the objects are their user's.
    expect(machine.allocator.frees).toBe(frees);
    for (const buffer of [scene.front, scene.side, scene.hidden, scene.cursor]) paint(buffer, buffer.id + 60);
    host.resume();
    await machine.clock.advance(10);
    await scene.bench.run(Promise.all([scene.front, scene.side, scene.hidden, scene.cursor].map((one) => one.flush())));
    scene.expectOnHost();
    expect(gpu.state).toBe("running");
    await scene.expectNothingLeft();
  });

  it("R-09 frees an object once that its user destroys while its UNREF is in flight", async () => {
    for (const [at, effect] of [
      [1, "hold"],
      [3, "hold"],
      [6, "hang"],
    ] as const) {
      const scene = await Scene.start();
      const { machine, host, gpu } = scene.bench;
      host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at, effect: { kind: effect } });
      const since = host.commands.count;
      const frozen = gpu.power.freeze("FREEZE").catch((error: unknown) => error);
      await machine.clock.advance(10);
      for (const buffer of scene.buffers) buffer.destroy();
      for (const buffer of scene.buffers) buffer.destroy();
      await machine.clock.advance(10);
      machine.assertClean();
      if (effect === "hold") host.resume();
      else await scene.bench.run(gpu.remove());
      await scene.bench.run(frozen);
      const unrefs = host.commands.log(since).filter(({ type }) => type === GpuCommand.RESOURCE_UNREF);
      expect(new Set(unrefs.map(({ resourceId }) => resourceId)).size, `at ${at}`).toBe(unrefs.length);
      if (effect === "hold") expect(unrefs).toHaveLength(6);
      await scene.expectNothingLeft();
    }
  });

  it.each(["FREEZE", "SUSPEND", "restore", "recover"] as const)(
    "R-09 at every moment of a sleep leaves nothing behind (%s)",
    async (what) => {
      // The host takes 1 ms a reply, and 20 ms a reset.
      for (const afterMs of [0, 3, 9, 21, 30]) {
        const scene = await Scene.start({ variant: "slow", gpu: { queueSizeMax: 2 } });
        const { machine, gpu } = scene.bench;
        if (what === "restore") await scene.bench.freeze();
        const work =
          what === "restore" || what === "recover" ? gpu.power.restore("RESTORE").complete : gpu.power.freeze(what);
        const outcome = work.then(
          () => null,
          (error: unknown) => error,
        );
        await machine.clock.advance(afterMs);
        await scene.bench.run(gpu.remove());
        const error = await scene.bench.run(outcome);
        if (error !== null) expect(error).toBeInstanceOf(GpuError);
        await machine.clock.advance(1000);
        await scene.expectNothingLeft();
      }
    },
  );

  it("R-09 keeps in quarantine what a device may still write to whose reset was never confirmed", async () => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 2, times: Infinity, effect: { kind: "hold" } });
    host.transport.faults.reset = { kind: "never" };
    const frozen = gpu.power.freeze("FREEZE").catch((error: unknown) => error);
    await machine.clock.advance(10);
    const frees = machine.allocator.frees;
    await scene.bench.run(gpu.remove());
    expect(await frozen).toMatchObject({ code: "ENODEV" });
    // It answers, long after everybody has gone: into memory that is still its own.
    host.resume();
    await machine.clock.advance(60_000);
    expect(machine.allocator.frees).toBe(frees);
    machine.assertClean();
  });
});

/** A machine whose device assigns UUIDs, renders and has a window for host blobs. */
function renderBench(options: BenchOptions = {}): Promise<DriverBench> {
  return DriverBench.start({
    ramBytes: 4 << 20,
    ...options,
    device: {
      outputs: [{ width: 64, height: 32 }],
      blob: true,
      random: new SeededRandom(3),
      renderer: new MemoryRenderer(),
      hostVisibleBytes: 64 << 10,
    },
    gpu: { policy: "lose", ...options.gpu },
  });
}

async function hostBlob(bench: DriverBench): Promise<{ context: RenderContext; blob: RenderResource }> {
  const { rendering } = bench.gpu;
  const context = await bench.run(rendering.createContext({ name: "player" }));
  const blob = await bench.run(
    rendering.createHostBlob(context, { byteLength: 8192, blobId: 1, flags: BlobFlag.USE_MAPPABLE }),
  );
  return { context, blob };
}

/** Somebody who waits for a UUID, somebody who waits for a mapping, and what each of them came to. */
async function waiters(
  bench: DriverBench,
  effect: CommandEffect,
): Promise<{ uuid: Promise<unknown>; map: Promise<unknown>; blob: RenderResource }> {
  const buffer = await bench.buffer(16, 16);
  const { blob } = await hostBlob(bench);
  for (const type of [GpuCommand.RESOURCE_ASSIGN_UUID, GpuCommand.RESOURCE_MAP_BLOB]) {
    bench.host.commands.inject({ type, effect });
  }
  const outcome = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => "done",
      (error: unknown) => error,
    );
  const waiting = { uuid: outcome(buffer.uuid()), map: outcome(blob.map()), blob };
  await bench.machine.clock.advance(1);
  return waiting;
}

describe("who waits for a UUID or for a mapping", () => {
  const kinds: readonly CommandEffect[] = [{ kind: "hold" }, { kind: "drop" }];

  it.each(kinds)("R-10 (a) hears of a reset at once ($kind)", async (effect) => {
    const bench = await renderBench();
    const { uuid, map, blob } = await waiters(bench, effect);
    const before = bench.machine.clock.nowMs();
    bench.host.breakDevice();
    expect(await bench.run(uuid)).toMatchObject({ code: "ESTALE" });
    expect(await bench.run(map)).toMatchObject({ code: expect.stringMatching(/ESTALE|ENOTRECOVERABLE/) });
    expect(bench.machine.clock.nowMs() - before).toBeLessThan(100);
    await bench.machine.clock.advance(100);
    expect([bench.gpu.state, blob.lost?.code]).toEqual(["running", "ENOTRECOVERABLE"]);
    bench.machine.assertClean();
  });

  it("R-10 (a) hears of a reset that its user asked for, of a host that hangs", async () => {
    const bench = await renderBench({ gpu: { deadlines: { commandMs: 60_000 } } });
    const { uuid, map } = await waiters(bench, { kind: "hang" });
    bench.host.resetDevice();
    void bench.gpu.recover().catch(() => {});
    expect(await bench.run(uuid)).toMatchObject({ code: "ESTALE" });
    expect(await bench.run(map)).toMatchObject({ code: expect.stringMatching(/ESTALE|ENOTRECOVERABLE/) });
    expect(bench.machine.clock.nowMs()).toBeLessThan(1000);
  });

  it("R-10 (a) hears of the reset that ends a machine, and has its answer before that of a sleep", async () => {
    const slow = { kind: "slow", ms: 2000 } as const;
    const hibernating = await renderBench();
    const asked = await waiters(hibernating, slow);
    await hibernating.freeze("FREEZE");
    expect([await asked.uuid, await asked.map]).toEqual(["done", "done"]);

    const ending = await renderBench();
    const { uuid, map } = await waiters(ending, slow);
    await ending.freeze("HIBERNATE");
    expect(await uuid).toMatchObject({ code: "ESTALE" });
    expect(await map).toMatchObject({ code: expect.stringMatching(/ESTALE|ENOTRECOVERABLE/) });
    for (const bench of [hibernating, ending]) {
      bench.replaceHost();
      await bench.restore();
      bench.expectNoErrors();
    }
  });

  it.each(kinds)("R-10 (b) hears of a suspend that failed ($kind)", async (effect) => {
    for (const message of ["FREEZE", "SUSPEND"] as const) {
      const bench = await renderBench();
      const { machine, host, gpu } = bench;
      const { uuid, map, blob } = await waiters(bench, effect);
      await expect(bench.freeze(message)).rejects.toMatchObject({ code: "ETIMEDOUT" });
      expect(await bench.run(uuid), message).toMatchObject({ code: "ETIMEDOUT" });
      expect(await bench.run(map), message).toMatchObject({ code: "ETIMEDOUT" });
      expect(machine.clock.nowMs()).toBeLessThanOrEqual(10_000);
      host.resume();
      await machine.clock.advance(10);
      if (effect.kind === "drop") await bench.run(gpu.recover());
      // The next who asks gets an answer.
      const again = await bench.run((await bench.buffer(16, 16)).uuid());
      expect(again).toHaveLength(16);
      if (effect.kind === "hold") {
        await bench.run(blob.map());
        expect(blob.access((view) => view.byteLength)).toBe(8192);
      }
      bench.expectNoErrors();
    }
  });

  it("R-10 (b) hears of a suspend that was vetoed, or has its answer", async () => {
    const bench = await renderBench({ gpu: { policy: "veto" } });
    const { uuid, map } = await waiters(bench, { kind: "drop" });
    await expect(bench.freeze()).rejects.toMatchObject({ code: "EPERM" });
    expect(await bench.run(uuid)).toMatchObject({ code: "ETIMEDOUT" });
    expect(await bench.run(map)).toMatchObject({ code: "ETIMEDOUT" });
    expect(bench.machine.clock.nowMs()).toBeLessThanOrEqual(5001);
  });

  it.each(kinds)("R-10 (c) hears of a removal at once ($kind)", async (effect) => {
    const bench = await renderBench();
    const { uuid, map } = await waiters(bench, effect);
    // So does whoever waits for anything else.
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_CREATE_2D, effect });
    const made = bench.gpu.createBuffer({ width: 16, height: 16 }).catch((error: unknown) => error);
    await bench.machine.clock.advance(1);
    const before = bench.machine.clock.nowMs();
    await bench.run(bench.gpu.remove());
    expect(await uuid).toMatchObject({ code: "ENODEV" });
    expect(await map).toMatchObject({ code: "ENODEV" });
    expect(await bench.run(made)).toMatchObject({ code: "ENODEV" });
    expect(bench.machine.clock.nowMs() - before).toBeLessThan(100);
    bench.machine.assertClean();
    bench.machine.dma.assertBalanced();
    bench.machine.allocator.assertNoLeak();
    expect(bench.machine.clock.timers).toBe(0);
  });

  it("R-10 (c) hears of a removal in the middle of a sleep, and of a host that is gone", async () => {
    const asleep = await renderBench();
    const waiting = await waiters(asleep, { kind: "hold" });
    const frozen = asleep.gpu.power.freeze("FREEZE").catch((error: unknown) => error);
    await asleep.machine.clock.advance(5);
    await asleep.run(asleep.gpu.remove());
    expect(await waiting.uuid).toMatchObject({ code: "ENODEV" });
    expect(await waiting.map).toMatchObject({ code: "ENODEV" });
    expect(await frozen).toMatchObject({ code: "ENODEV" });

    const gone = await renderBench();
    const others = await waiters(gone, { kind: "hold" });
    gone.host.kill();
    await gone.run(gone.gpu.remove());
    expect(await others.uuid).toMatchObject({ code: "ENODEV" });
    expect(await others.map).toMatchObject({ code: "ENODEV" });
    gone.machine.allocator.assertNoLeak();
  });
});

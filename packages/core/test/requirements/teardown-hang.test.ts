/** a host that stops answering, at any moment and for any time, costs a freeze and nothing else. */
import { describe, expect, it } from "vitest";
import type { CommandFault } from "../../src/sim/faults/command-faults.ts";
import { GpuCommand, GpuQueue } from "../../src/wire/gpu.ts";
import { type DriverBench, paint } from "../support/driver-bench.ts";
import { Scene, sceneOptions } from "../support/teardown-scene.ts";

/** The driver's bounds, with the defaults that the documentation states. */
const COMMAND_MS = 5000;
const FREEZE_MS = 10_000;
const RESET_MS = 5000;

/** Lets the next freeze fail; gives the virtual time that it took. */
async function failingFreeze(bench: DriverBench): Promise<number> {
  const before = bench.machine.clock.nowMs();
  await expect(bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
  return bench.machine.clock.nowMs() - before;
}

const never: readonly (readonly [string, Omit<CommandFault, "effect">])[] = [
  ["at the first command", {}],
  ["at the second output's SET_SCANOUT", { type: GpuCommand.SET_SCANOUT, at: 2 }],
  ["at an UNREF in the middle", { type: GpuCommand.RESOURCE_UNREF, at: 3 }],
  ["at the last UNREF", { type: GpuCommand.RESOURCE_UNREF, at: 6 }],
  ["on the cursor queue alone", { queue: GpuQueue.CURSOR }],
];

describe("a host that never answers", () => {
  it.each(never)("R-06 (a) lets a freeze fail within its bound: %s", async (_, fault) => {
    const scene = await Scene.start();
    scene.bench.host.commands.inject({ ...fault, effect: { kind: "hang" } });
    expect(await failingFreeze(scene.bench)).toBeLessThanOrEqual(COMMAND_MS);
    expect(scene.bench.gpu.state).toBe("running");
    // And so does the next one, for the host still does not answer.
    expect(await failingFreeze(scene.bench)).toBeLessThanOrEqual(FREEZE_MS);
  });

  it("R-06 (a) bounds the whole, where every single answer comes in time", async () => {
    const scene = await Scene.start({ gpu: { deadlines: { freezeMs: 7000 } } });
    const { host, gpu } = scene.bench;
    host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: COMMAND_MS - 100 } });
    expect(await failingFreeze(scene.bench)).toBe(7000);
    expect([gpu.state, gpu.isHung]).toEqual(["running", false]);
  });

  it("R-06 (a) bounds the flush of what is shown too, and a hung reset behind it all", async () => {
    const scene = await Scene.start();
    const { host, machine } = scene.bench;
    host.commands.inject({ type: GpuCommand.RESOURCE_FLUSH, effect: { kind: "slow", ms: COMMAND_MS - 1 } });
    host.transport.faults.reset = { kind: "never" };
    paint(scene.front, 1);
    const flushed = scene.front.flush();
    await machine.clock.advance(1);
    expect(await failingFreeze(scene.bench)).toBeLessThanOrEqual(FREEZE_MS + RESET_MS);
    await flushed;
  });

  it("R-06 (a) does not keep a machine from switching off", async () => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ times: Infinity, effect: { kind: "drop" } });
    void scene.front.flush().catch(() => {});
    void gpu
      .output(0)
      .cursor.move(1, 1)
      .catch(() => {});
    await machine.clock.advance(1);
    const before = machine.clock.nowMs();
    await scene.bench.freeze("HIBERNATE");
    expect(machine.clock.nowMs() - before).toBeLessThanOrEqual(1000);
    host.transport.faults.reset = { kind: "never" };
    await scene.bench.run(gpu.power.shutdown());
    expect(gpu.state).toBe("frozen");
  });

  it.each(never)("R-06 (b) leaves nothing behind: %s", async (_, fault) => {
    const scene = await Scene.start();
    const { host, machine } = scene.bench;
    const bytes = machine.allocator.allocatedBytes;
    host.commands.inject({ ...fault, effect: { kind: "hang" } });
    await failingFreeze(scene.bench);
    expect(machine.allocator.allocatedBytes).toBe(bytes);
    // What is asked for meanwhile fails at once, and takes no memory along.
    const refused = scene.bench.gpu.createBuffer({ width: 16, height: 16 });
    await expect(scene.bench.run(refused)).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(scene.bench.run(scene.front.flush())).rejects.toMatchObject({ code: "ETIMEDOUT" });
    // The host is as it was: it may still read and write what it holds.
    host.resume();
    await machine.clock.advance(10);
    machine.assertClean();
    expect(machine.allocator.allocatedBytes).toBe(bytes);
    await scene.expectNothingLeft();
  });

  it.each(["reset works", "reset works late", "gone"])(
    "R-06 (b) leaves nothing behind when it never answers again (%s)",
    async (how) => {
      const scene = await Scene.start();
      const { host, machine, gpu } = scene.bench;
      host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 2, effect: { kind: "hang" } });
      await failingFreeze(scene.bench);
      scene.hidden.destroy();
      if (how === "reset works late") host.transport.faults.reset = { kind: "ms", ms: RESET_MS + 1000 };
      if (how === "gone") host.kill();
      await scene.bench.run(gpu.remove());
      if (how === "reset works late") {
        // A device that was not seen to stop may still write: its memory is nobody's.
        expect(machine.allocator.allocatedBytes).toBeGreaterThan(scene.lent.byteLength);
        machine.assertClean();
        return;
      }
      await scene.expectNothingLeft();
    },
  );

  it.each(never)("R-06 (c) is usable again when it answers again: %s", async (_, fault) => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ ...fault, effect: { kind: "hang" } });
    await failingFreeze(scene.bench);
    expect(gpu.isHung).toBe(true);
    paint(scene.front, 55);
    await expect(scene.bench.run(scene.front.flush())).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await machine.clock.advance(60_000);
    host.resume();
    await machine.clock.advance(10);
    expect(gpu.isHung).toBe(false);
    // What was asked for while it hung has followed by itself.
    scene.expectOnHost();
    const fresh = await scene.bench.buffer(32, 32);
    await scene.repaint(99);
    scene.expectOnHost([fresh]);
    const report = await scene.bench.hibernate();
    expect(report.lost).toEqual([]);
    scene.expectOnHost([fresh]);
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });

  it("R-06 (c) is usable again by a reset, when it never answers again", async () => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 2, effect: { kind: "hang" } });
    await failingFreeze(scene.bench);
    await scene.bench.run(gpu.recover());
    scene.expectOnHost();
    expect(gpu.isHung).toBe(false);
    await scene.bench.hibernate();
    scene.expectOnHost();
    machine.assertClean();
    await scene.expectNothingLeft();
  });
});

describe("a hung host with a full queue", () => {
  /** More objects than the ring has room for, and a cursor to be seen. */
  async function crowded(): Promise<{ scene: Scene; extras: Awaited<ReturnType<DriverBench["buffer"]>>[] }> {
    const scene = await Scene.start(sceneOptions({ gpu: { queueSizeMax: 8 } }));
    const { gpu } = scene.bench;
    const extras = await scene.bench.run(
      Promise.all(Array.from({ length: 20 }, () => gpu.createBuffer({ width: 16, height: 16 }))),
    );
    await scene.bench.machine.clock.settle();
    return { scene, extras };
  }

  it("R-07 (a) rolls back within the freeze's bound, and stays usable", async () => {
    const { scene, extras } = await crowded();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, effect: { kind: "hang" } });
    // The eight slots are taken by UNREFs that hang; a dozen more find no room.
    expect(await failingFreeze(scene.bench)).toBe(COMMAND_MS);
    expect(host.pending).toBe(8);
    const calls = [
      gpu.output(0).cursor.move(1, 1),
      gpu.output(1).show(scene.front, { x: 0, y: 0, width: 16, height: 16 }),
      scene.front.flush(),
      gpu.createBuffer({ width: 16, height: 16 }),
      scene.front.detach(),
    ];
    const outcomes = await scene.bench.run(Promise.allSettled(calls));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(calls.map(() => "rejected"));
    await scene.bench.run(
      Promise.all([
        scene.front.attach().catch(() => {}),
        gpu
          .output(0)
          .cursor.move(20, -7)
          .catch(() => {}),
        gpu
          .output(1)
          .show(scene.side)
          .catch(() => {}),
      ]),
    );
    host.resume();
    await machine.clock.advance(10);
    scene.expectOnHost(extras);
    await scene.bench.hibernate();
    scene.expectOnHost(extras);
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });

  it("R-07 (a) rolls back within the freeze's bound when the cursor's queue hangs, full", async () => {
    const scene = await Scene.start({ device: { queueSizes: [64, 2] as const } });
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ queue: GpuQueue.CURSOR, effect: { kind: "hang" } });
    const moves = [
      gpu.output(0).cursor.move(5, 5),
      gpu.output(1).cursor.set(scene.cursor),
      gpu.output(1).cursor.move(9, 9),
    ];
    void Promise.allSettled(moves);
    await machine.clock.advance(1);
    expect(await failingFreeze(scene.bench)).toBeLessThanOrEqual(COMMAND_MS);
    const outcomes = await scene.bench.run(Promise.allSettled(moves));
    expect(outcomes.map((outcome) => outcome.status)).toEqual(["rejected", "rejected", "rejected"]);
    host.resume();
    await machine.clock.advance(10);
    await scene.bench.run(Promise.all([gpu.output(1).cursor.hide(), gpu.output(0).cursor.move(20, -7)]));
    scene.expectOnHost();
    await scene.bench.hibernate();
    scene.expectOnHost();
    await scene.expectNothingLeft();
  });

  it.each(["a full ring", "room left in it", "all but one of its UNREFs answered"])(
    "R-07 (b) submits nothing to it, and is in need of a reset, which it then gets: %s",
    async (room) => {
      const { scene, extras } = room === "a full ring" ? await crowded() : { scene: await Scene.start(), extras: [] };
      const { host, machine, gpu } = scene.bench;
      // What was answered could be created again at once, if the queue were asked.
      // What is lit and was unreferenced could be created again at once, if the queue were asked.
      const at = room === "all but one of its UNREFs answered" ? host.device.usage.resources : 2;
      host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at, effect: { kind: "hang" } });
      const { recorder } = machine;
      const start = recorder.mark();
      await failingFreeze(scene.bench);
      expect(gpu.isHung).toBe(true);
      const types = recorder.commands(undefined, start).map(({ type }) => type);
      expect(types).not.toContain(GpuCommand.RESOURCE_CREATE_2D);
      const since = recorder.mark();
      const seen = host.commands.count;
      paint(scene.front, 8);
      const { cursor } = gpu.output(0);
      await Promise.allSettled([scene.front.flush(), cursor.move(2, 2), cursor.move(20, -7)]);
      await failingFreeze(scene.bench);
      await machine.clock.advance(60_000);
      expect(recorder.events({ since, kinds: ["command", "kick"] })).toEqual([]);
      expect(host.commands.count).toBe(seen);
      // The UNREFs of the old life are never answered.
      await scene.bench.run(gpu.recover());
      expect([gpu.state, gpu.isHung]).toEqual(["running", false]);
      scene.expectOnHost(extras);
      machine.assertClean();
      await scene.expectNothingLeft();
    },
  );
});

describe("answers that come after an aborted freeze", () => {
  // A command that hangs keeps all that come after it on its queue; answers are held back one by one.
  const cases: readonly (readonly [string, CommandFault])[] = [
    ["a SET_SCANOUT that was not carried out", { type: GpuCommand.SET_SCANOUT, effect: { kind: "hang" } }],
    ["SET_SCANOUT", { type: GpuCommand.SET_SCANOUT, times: 2, effect: { kind: "hold" } }],
    ["the cursor's that was not carried out", { queue: GpuQueue.CURSOR, effect: { kind: "hang" } }],
    ["the cursor's", { queue: GpuQueue.CURSOR, effect: { kind: "hold" } }],
    ["UNREFs that were not carried out", { type: GpuCommand.RESOURCE_UNREF, effect: { kind: "hang" } }],
    ["the third UNREF", { type: GpuCommand.RESOURCE_UNREF, at: 3, effect: { kind: "hold" } }],
    ["all UNREFs", { type: GpuCommand.RESOURCE_UNREF, times: Infinity, effect: { kind: "hold" } }],
    ["everything", { times: Infinity, effect: { kind: "hold" } }],
  ];

  it.each(cases)("R-08 (a) are matched and harmless: %s", async (_, fault) => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject(fault);
    await failingFreeze(scene.bench);
    host.commands.clear();
    const unanswered = (): number => machine.recorder.commands().length - machine.recorder.replies().length;
    expect(unanswered()).toBeGreaterThan(0);
    host.resume();
    await machine.clock.advance(10);
    expect(unanswered()).toBe(0);
    expect([gpu.state, gpu.isHung]).toEqual(["running", false]);
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    machine.assertClean();
    await scene.expectNothingLeft();
  });

  it.each(cases)("R-08 (b) do not keep a second freeze from succeeding: %s", async (_, fault) => {
    const scene = await Scene.start();
    const { host, machine } = scene.bench;
    host.commands.inject(fault);
    await failingFreeze(scene.bench);
    host.commands.clear();
    await machine.clock.advance(1);
    // They come in the middle of the second freeze, and of whatever it does first.
    machine.clock.after(20, () => host.resume());
    await scene.bench.freeze();
    expect(host.device.usage.resources).toBe(0);
    scene.bench.replaceHost();
    const report = await scene.bench.restore();
    expect(report).toMatchObject({ lost: [], outputs: 2, restored: 6 });
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });

  it("R-08 (b) come one by one, and after several attempts", async () => {
    const scene = await Scene.start();
    const { host, machine } = scene.bench;
    for (let attempt = 0; attempt < 3; attempt += 1) {
      host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, effect: { kind: "slow", ms: 7000 + attempt * 500 } });
      host.commands.inject({ type: GpuCommand.SET_SCANOUT, effect: { kind: "slow", ms: 6000 } });
      await failingFreeze(scene.bench);
      host.commands.clear();
    }
    await machine.clock.advance(20_000);
    scene.expectOnHost();
    await scene.bench.freeze();
    scene.bench.replaceHost();
    await scene.bench.restore();
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });

  it("R-08 (a) mean nothing any more once the device was reset", async () => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: 6000 } });
    await failingFreeze(scene.bench);
    host.commands.clear();
    await scene.bench.run(gpu.recover());
    const since = machine.recorder.mark();
    await machine.clock.advance(20_000);
    expect(machine.recorder.replies(undefined, since)).toEqual([]);
    scene.expectOnHost();
    machine.assertClean();
    await scene.expectNothingLeft();
  });
});

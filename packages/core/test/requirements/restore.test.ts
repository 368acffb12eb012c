/** A restore: every reply checked, in the right order, complete by itself, on hosts of every kind. */
import { describe, expect, it } from "vitest";
import { GpuCommand, GpuReply } from "../../src/wire/index.ts";
import { DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";

const UPLOADS = [GpuCommand.TRANSFER_TO_HOST_2D, GpuCommand.RESOURCE_ATTACH_BACKING, GpuCommand.RESOURCE_CREATE_2D];

describe("a restore", () => {
  it("R-26 R-27 (c) waits for every reply, and reports each refusal once, object by object", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.freeze();
    bench.replaceHost();
    const effect = { kind: "refuse", reply: GpuReply.ERR_UNSPEC } as const;
    bench.host.commands.inject({ resourceId: scene.offScreen.id, times: Infinity, effect });
    bench.host.commands.inject({ type: GpuCommand.SET_SCANOUT_BLOB, times: Infinity, effect });
    const report = await bench.restore();
    expect(report.outputs).toBe(1);
    expect(report.lost.map(({ object }) => object).sort()).toEqual(["output 1", `resource ${scene.offScreen.id}`]);
    for (const { reason } of report.lost) expect(reason).toMatch(/refused .*ERR_UNSPEC/);
    expect(report.restored).toBe(6);
    bench.expectShown(0, scene.left);
  });

  it("R-26 is not over while one reply is out", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.freeze();
    bench.replaceHost();
    bench.host.commands.inject({ resourceId: scene.offScreen.id, effect: { kind: "hold" } });
    const { picture, complete } = bench.gpu.power.restore("RESTORE");
    let isComplete = false;
    void complete.then(() => (isComplete = true));
    await bench.run(picture);
    await bench.machine.clock.advance(1000);
    expect(isComplete).toBe(false);
    bench.host.resume();
    await bench.run(complete);
    await expectScene(bench, scene);
  });

  it("R-27 (b) lights every output whose buffers came back, whatever else was refused", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.freeze();
    bench.replaceHost();
    const shown = new Set([scene.left.id, scene.right.id]);
    for (const part of Object.values(scene)) {
      if (!("id" in part) || shown.has(part.id)) continue;
      bench.host.commands.inject({
        resourceId: part.id,
        times: Infinity,
        effect: { kind: "refuse", reply: GpuReply.ERR_UNSPEC },
      });
    }
    const report = await bench.restore();
    expect(report).toMatchObject({ outputs: 2, restored: 2 });
    bench.expectShown(0, scene.left);
    bench.expectShown(1, scene.right);
  });

  it("R-28 (a) completes by itself on a device without any output lit or cursor set", async () => {
    const bench = await DriverBench.start();
    const images = [];
    for (let index = 0; index < 100; index += 1) images.push(await bench.buffer(16, 16));
    await bench.freeze();
    bench.replaceHost();
    const before = bench.host.commands.count;
    await bench.restore();
    // Two questions about displays besides, output and cursor off for certain: nothing is left for somebody to kick.
    expect(bench.host.commands.count - before).toBe(304);
    await bench.freeze("HIBERNATE");
    bench.expectNoErrors();
  });

  it("R-28 (b) completes by itself with all outputs switched off, and the next freeze drains", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.run(bench.gpu.output(0).disable());
    await bench.run(bench.gpu.output(1).disable());
    await bench.run(bench.gpu.output(0).cursor.hide());
    expect(await bench.hibernate()).toMatchObject({ outputs: 0, lost: [], restored: 8 - 1 });
    expect(bench.host.device.screenshot(0)).toBeNull();
    const freeze = bench.gpu.power.freeze("FREEZE");
    await bench.run(freeze);
    bench.replaceHost();
    await bench.restore();
    await bench.run(bench.gpu.output(0).show(scene.left));
    bench.expectShown(0, scene.left);
    bench.expectNoErrors();
  });

  it("R-29 a host never hears of a resource before its create and attach were answered", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    await drawScene(bench);
    await bench.freeze();
    bench.replaceHost();
    const since = bench.host.commands.count;
    // Each reply comes late: whatever is sent without waiting is found out.
    bench.host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: 3 } });
    await bench.restore();
    const seen = bench.host.commands.log(since);
    expect(seen.length).toBeGreaterThan(20);
    const order = (type: number, id: number): number =>
      seen.findIndex((command) => command.type === type && command.resourceId === id);
    for (const { type, resourceId, atMs } of seen) {
      const isUse = [GpuCommand.SET_SCANOUT, GpuCommand.SET_SCANOUT_BLOB, GpuCommand.UPDATE_CURSOR].some(
        (use) => use === type,
      );
      if (!isUse || resourceId === 0) continue;
      const creates = [GpuCommand.RESOURCE_CREATE_2D, GpuCommand.RESOURCE_CREATE_BLOB, ...UPLOADS]
        .map((create) => order(create, resourceId))
        .filter((at) => at >= 0);
      expect(creates.length).toBeGreaterThan(0);
      for (const at of creates.filter((index) => seen[index]?.type !== GpuCommand.TRANSFER_TO_HOST_2D)) {
        expect((seen[at]?.atMs ?? Infinity) + 3).toBeLessThanOrEqual(atMs);
      }
    }
    bench.expectNoErrors();
  });
});

describe.each([
  ["R-30 (a) a host that keeps resources over a reset", "keeps"],
  ["R-30 (b) a host that drops resources on a reset", "drops"],
] as const)("%s", (_, variant) => {
  const start = (): Promise<DriverBench> => DriverBench.start({ device: SCENE_DEVICE, variant });
  /** The one answer that a host which keeps things may give. */
  const exempt = variant === "keeps" ? GpuReply.ERR_INVALID_RESOURCE_ID : 0;

  it("gets the same scene after a reset, cycle after cycle", async () => {
    const bench = await start();
    const scene = await drawScene(bench);
    for (let round = 0; round < 5; round += 1) {
      await bench.freeze(round % 2 === 0 ? "FREEZE" : "SUSPEND");
      bench.host.resetDevice();
      expect(await bench.restore()).toMatchObject({ lost: [], outputs: 2 });
      await expectScene(bench, scene);
      // A host that is suspended is not told to forget: one that keeps things then says so.
      if (round % 2 === 0) bench.expectNoErrors();
      else expect(bench.host.log.errorReplies().filter(({ reply }) => reply !== exempt)).toEqual([]);
      bench.host.log.clear();
    }
  });

  it("gets the same scene after it was reset without a freeze, with no error but EXISTS", async () => {
    const bench = await start();
    const scene = await drawScene(bench);
    bench.host.breakDevice();
    await bench.machine.clock.advance(30_000);
    expect(bench.gpu.state).toBe("running");
    await expectScene(bench, scene);
    const errors = bench.host.log.errorReplies();
    expect(errors.filter(({ reply }) => reply !== exempt)).toEqual([]);
    if (variant === "keeps") expect(errors.length).toBeGreaterThan(0);
  });

  it("does not keep what was destroyed while nobody could tell it", async () => {
    const bench = await start();
    const scene = await drawScene(bench);
    const doomed = [await bench.buffer(16, 16), await bench.buffer(16, 16)];
    // No UNREF reaches the host before its reset: the device breaks with everything on it.
    bench.host.transport.faults.swallowKicks = true;
    for (const buffer of doomed) buffer.destroy();
    bench.host.breakDevice();
    bench.host.transport.faults.swallowKicks = false;
    await bench.machine.clock.advance(30_000);
    expect(bench.gpu.state).toBe("running");
    await expectScene(bench, scene);
  });
});

describe("zero errors", () => {
  async function start() {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    return { bench, scene: await drawScene(bench) };
  }

  it("R-32 (a) a normal hibernation costs the host not one error reply", async () => {
    const { bench, scene } = await start();
    await bench.freeze("FREEZE");
    await bench.restore("THAW");
    await bench.freeze("HIBERNATE");
    bench.replaceHost();
    await bench.restore("RESTORE");
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-32 (b) nor does one that is aborted by a host that hangs and comes back", async () => {
    const { bench, scene } = await start();
    bench.host.commands.inject({ at: 4, effect: { kind: "hang" } });
    await expect(bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    bench.host.resume();
    await bench.machine.clock.advance(10_000);
    await expectScene(bench, scene);
    await bench.hibernate();
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-32 (c) nor do many in a row", async () => {
    const { bench, scene } = await start();
    for (let round = 0; round < 20; round += 1) await bench.hibernate();
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

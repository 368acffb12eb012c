/** R-35 (a) to (c), (f): hosts that offer other features than the last one, one feature after the other. */
import { describe, expect, it } from "vitest";
import { type CapsetInfo, MemoryRenderer, type VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import type { HotplugEvent, RenderContext } from "../../src/driver/index.ts";
import { Capset, GpuCommand, GpuFeature, VirtioFeature } from "../../src/wire/index.ts";
import { type BenchOptions, DriverBench } from "../support/driver-bench.ts";
import { lostNames, moveTo, sleepOver, without } from "../support/other-host.ts";
import { SCENE_DEVICE, type Scene, drawScene, expectHeld, expectScene } from "../support/scene.ts";

const COMMANDS = Uint8Array.of(1, 2, 3, 4);

async function start(options: BenchOptions = {}): Promise<{ bench: DriverBench; scene: Scene }> {
  const bench = await DriverBench.start({ device: SCENE_DEVICE, ...options });
  return { bench, scene: await drawScene(bench) };
}

function rendering(renderer: MemoryRenderer = new MemoryRenderer()): VirtioGpuDeviceOptions {
  return { ...SCENE_DEVICE, renderer };
}

/** Commands of a type since a `commands.count` taken before. */
function seen(bench: DriverBench, type: number, since: number): number {
  return bench.host.commands.log(since).filter((command) => command.type === type).length;
}

const RING_FEATURES = [
  ["INDIRECT_DESC", VirtioFeature.INDIRECT_DESC],
  ["EVENT_IDX", VirtioFeature.EVENT_IDX],
  ["RING_PACKED", VirtioFeature.RING_PACKED],
  ["RING_RESET", VirtioFeature.RING_RESET],
  ["SUSPEND", VirtioFeature.SUSPEND],
  ["NOTIFICATION_DATA", VirtioFeature.NOTIFICATION_DATA],
] as const;
const EVERY_RING_FEATURE = { packed: true, notificationData: true };

describe("a feature that was used and is gone", () => {
  it.each(RING_FEATURES)("R-35 (a) %s: nothing is lost, here and back there", async (_, feature) => {
    const { bench, scene } = await start({ features: EVERY_RING_FEATURE });
    expect(bench.gpu.hasFeature(feature)).toBe(true);
    expect(await moveTo(bench, SCENE_DEVICE, without(feature))).toMatchObject({ lost: [], outputs: 2 });
    expect(bench.gpu.hasFeature(feature)).toBe(false);
    await expectScene(bench, scene);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    expect(bench.gpu.hasFeature(feature)).toBe(true);
    await expectScene(bench, scene);
    bench.expectNoErrors();
    bench.machine.assertClean();
  });

  it("R-35 (a) all of them at once, while the same objects are used", async () => {
    const { bench, scene } = await start({ features: EVERY_RING_FEATURE });
    const bits = RING_FEATURES.map(([, feature]) => feature);
    expect(await moveTo(bench, SCENE_DEVICE, without(...bits))).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    for (let index = 0; index < 40; index += 1) (await bench.buffer(16, 16)).destroy();
    await bench.freeze("SUSPEND");
    await bench.restore("RESUME");
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it.each([
    ["VERSION_1", VirtioFeature.VERSION_1, {}],
    ["ACCESS_PLATFORM, behind an IOMMU,", VirtioFeature.ACCESS_PLATFORM, { iommu: true }],
  ] as const)(
    "R-35 (a) %s: a clean failure that names it, and a later host gives all back",
    async (_, bit, options) => {
      const { bench, scene } = await start(options);
      await sleepOver(bench, SCENE_DEVICE, without(bit));
      // Who asked for something during the sleep hears of it, too.
      const waiting = expect(scene.left.flush()).rejects.toMatchObject({ code: "ENODEV" });
      const since = bench.host.commands.count;
      await expect(bench.restore()).rejects.toThrow(new RegExp(`gpu0: .*feature bit ${bit} .*another host`));
      await waiting;
      expect(bench.gpu.state).toBe("lost");
      expect(bench.gpu.error?.code).toBe("ENODEV");
      expect(bench.host.commands.count, "nothing reached a device that would misunderstand it").toBe(since);
      await expect(bench.run(scene.left.flush())).rejects.toMatchObject({ code: "ENODEV" });
      // The failure is no obstacle to the next sleep.
      expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
      await expectScene(bench, scene);
      bench.expectNoErrors();
      bench.machine.assertClean();
    },
  );

  it("R-35 (a) EDID: the outputs offer standard modes, which is told, and the pictures stay", async () => {
    const { bench, scene } = await start();
    const events: HotplugEvent[] = [];
    bench.gpu.onHotplug((event) => events.push(event));
    expect(bench.gpu.output(0).connector.monitor).not.toBeNull();
    const since = bench.host.commands.count;
    expect(await moveTo(bench, { ...SCENE_DEVICE, edid: false })).toMatchObject({ lost: [], outputs: 2 });
    expect(seen(bench, GpuCommand.GET_EDID, since)).toBe(0);
    expect(events.flatMap(({ changes }) => changes.map(({ output, kinds }) => [output, ...kinds]))).toEqual([
      [0, "edid"],
      [1, "edid"],
    ]);
    const { monitor, modes } = bench.gpu.output(0).connector;
    expect(monitor).toBeNull();
    expect(modes[0]).toMatchObject({ width: 64, height: 48, preferred: true });
    expect(modes.length).toBeGreaterThan(5);
    await expectScene(bench, scene);
    await moveTo(bench, SCENE_DEVICE);
    expect(bench.gpu.output(0).connector.monitor).not.toBeNull();
    expect(events).toHaveLength(2);
    bench.expectNoErrors();
  });

  it("R-35 (a) RESOURCE_UUID: the UUID is reported lost, its buffer is not, and a later host assigns another", async () => {
    const { bench, scene } = await start();
    const old = await bench.run(scene.offScreen.uuid());
    const told: number[] = [];
    bench.gpu.onUuid((id) => told.push(id));
    const { random: _, ...noUuid } = SCENE_DEVICE;
    const since = bench.host.commands.count;
    const report = await moveTo(bench, noUuid);
    expect(report).toMatchObject({ restored: 7, outputs: 2 });
    expect(report.lost).toEqual([
      { object: `the UUID of resource ${scene.offScreen.id}`, reason: "this host assigns no UUIDs" },
    ]);
    await expectScene(bench, scene);
    await expect(bench.run(scene.offScreen.uuid())).rejects.toMatchObject({ code: "ENOTSUP" });
    await bench.run(scene.offScreen.flush());
    expect(seen(bench, GpuCommand.RESOURCE_ASSIGN_UUID, since)).toBe(0);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [] });
    expect(told).toEqual([scene.offScreen.id]);
    expect(Buffer.compare(await bench.run(scene.offScreen.uuid()), old)).not.toBe(0);
    bench.expectNoErrors();
  });

  it("R-35 (a) RESOURCE_BLOB: every use of a blob says so, images take its place, and its memory is given back", async () => {
    const { bench, scene } = await start();
    const doomed = await bench.buffer(16, 16, { storage: "blob" });
    const report = await moveTo(bench, { ...SCENE_DEVICE, blob: false });
    const lost = ["output 1", ...[scene.right, scene.blob, scene.imported, doomed].map(({ id }) => `resource ${id}`)];
    expect(lostNames(report)).toEqual(lost);
    expect(scene.exporter.mapped, "nothing of the import is used").toBe(0);
    const since = bench.host.commands.count;
    for (const use of [
      () => scene.right.flush(),
      () => scene.blob.detach(),
      () => scene.imported.flush(),
      () => bench.gpu.output(0).show(scene.blob),
      () => bench.gpu.createBuffer({ width: 16, height: 16, storage: "blob" }),
    ]) {
      await expect(bench.run<unknown>(use())).rejects.toMatchObject({ code: "ENOTSUP" });
    }
    // What is painted meanwhile is there on the next host.
    scene.right.map((pixels) => pixels.fill(0x5a));
    const { allocatedBytes } = bench.machine.allocator;
    doomed.destroy();
    await bench.machine.clock.advance(10);
    expect(bench.machine.allocator.allocatedBytes).toBe(allocatedBytes - 4096);
    expect(bench.host.commands.log(since)).toEqual([]);
    await bench.run(scene.blob.attach().catch(() => {}));
    bench.expectShown(1, await bench.show(1, 32, 32));
    await bench.run(bench.gpu.output(0).show(scene.left));
    await bench.run(
      bench.gpu
        .output(1)
        .show(scene.right)
        .catch(() => {}),
    );
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    bench.expectShown(1, scene.right);
    bench.expectShown(0, scene.left);
    bench.expectNoErrors();
  });

  it("R-35 (a) VIRGL: an unused context is reported and refused without a word to the host, and comes back", async () => {
    const { bench, scene } = await start({ device: rendering(), gpu: { policy: "lose" } });
    const context = await bench.run(bench.gpu.rendering.createContext({ name: "idle" }));
    const report = await moveTo(bench, SCENE_DEVICE);
    expect(report.lost).toEqual([
      { object: `context ${context.id}`, reason: expect.stringMatching(/this host does not render/) },
    ]);
    await expectScene(bench, scene);
    await expect(bench.run(context.submit(COMMANDS))).rejects.toMatchObject({ code: "ENOTSUP" });
    await expect(bench.run(context.attach(scene.left))).rejects.toMatchObject({ code: "ENOTSUP" });
    expect(context.lost).toBeNull();
    const renderer = new MemoryRenderer();
    expect(await moveTo(bench, rendering(renderer))).toMatchObject({ lost: [] });
    await bench.run((await bench.run(context.submit(COMMANDS))).wait());
    expect(renderer.submissions).toEqual([{ contextId: context.id, commands: COMMANDS }]);
    bench.expectNoErrors();
  });

  it("R-35 (a) CONTEXT_INIT: a context for a capability set does not become one of another kind", async () => {
    const renderer = (): MemoryRenderer =>
      new MemoryRenderer({ capsets: [{ id: Capset.VIRGL2, maxVersion: 1, maxSize: 64 }] });
    const { bench, scene } = await start({ device: rendering(renderer()) });
    const context = await bench.run(bench.gpu.rendering.createContext({ capset: Capset.VIRGL2 }));
    const plain = await bench.run(bench.gpu.rendering.createContext());
    const report = await moveTo(bench, rendering(renderer()), without(GpuFeature.CONTEXT_INIT));
    expect(lostNames(report)).toEqual([`context ${context.id}`]);
    await expect(bench.run(context.submit(COMMANDS))).rejects.toThrow(/needs set 2/);
    await bench.run(plain.submit(COMMANDS).then((fence) => fence.wait()));
    plain.destroy();
    await expectScene(bench, scene);
    expect(await moveTo(bench, rendering(renderer()))).toMatchObject({ lost: [] });
    await bench.run(context.submit(COMMANDS).then((fence) => fence.wait()));
    bench.expectNoErrors();
  });
});

describe("a feature that nobody used and is gone", () => {
  it.each([
    ...RING_FEATURES,
    ["RESOURCE_UUID", GpuFeature.RESOURCE_UUID],
    ["RESOURCE_BLOB", GpuFeature.RESOURCE_BLOB],
    ["VIRGL", GpuFeature.VIRGL],
    ["CONTEXT_INIT", GpuFeature.CONTEXT_INIT],
    ["EDID", GpuFeature.EDID],
  ] as const)("R-35 (b) %s: nothing is lost and nothing is asked for", async (_, feature) => {
    const bench = await DriverBench.start({
      device: rendering(),
      features: EVERY_RING_FEATURE,
      // Known to the host, and never taken.
      gpu: { withoutFeatures: [feature] },
    });
    const shown = await bench.show(0, 64, 48);
    const detached = await bench.buffer(16, 16);
    await bench.run(detached.detach());
    expect(await moveTo(bench, rendering(), without(feature))).toMatchObject({ lost: [], restored: 2, outputs: 1 });
    bench.expectShown(0, shown);
    expectHeld(bench, detached);
    bench.expectNoErrors();
  });

  it("R-35 (b) all that a device may lack: negotiated, not used, gone", async () => {
    const bench = await DriverBench.start({ device: rendering(), features: EVERY_RING_FEATURE });
    const shown = await bench.show(0, 64, 48);
    const bits = [...RING_FEATURES.map(([, bit]) => bit), GpuFeature.EDID];
    const plain = { outputs: SCENE_DEVICE.outputs ?? [] };
    expect(await moveTo(bench, plain, without(...bits))).toMatchObject({ lost: [], restored: 1, outputs: 1 });
    bench.expectShown(0, shown);
    expect(await bench.hibernate()).toMatchObject({ lost: [], outputs: 1 });
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });
});

describe("a feature that is new", () => {
  it.each(RING_FEATURES)("R-35 (c) %s is used from then on, and nothing is lost", async (_, feature) => {
    const { bench, scene } = await start({ features: EVERY_RING_FEATURE, faults: { lies: without(feature) } });
    expect(bench.gpu.hasFeature(feature)).toBe(false);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    expect(bench.gpu.hasFeature(feature)).toBe(true);
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (c) blobs, UUIDs, EDID and rendering can be used where the last host had none", async () => {
    const bench = await DriverBench.start({ device: { outputs: SCENE_DEVICE.outputs ?? [], edid: false } });
    const shown = await bench.show(0, 64, 48);
    await expect(bench.run(shown.uuid())).rejects.toMatchObject({ code: "ENOTSUP" });
    await expect(bench.buffer(16, 16, { storage: "blob" })).rejects.toMatchObject({ code: "ENOTSUP" });
    // Asked for while no host is there: whether it can be is the next host's to say.
    await sleepOver(bench, rendering());
    const edids: unknown[] = [];
    bench.gpu.onHotplug(({ changes }) => edids.push(...changes.map(({ kinds }) => kinds)));
    expect(await bench.restore()).toMatchObject({ lost: [], outputs: 1 });
    await bench.machine.clock.advance(100);
    expect(edids).toEqual([["edid"], ["edid"]]);
    bench.expectShown(0, shown);
    bench.expectShown(1, await bench.show(1, 32, 32, { storage: "blob" }));
    expect(await bench.run(shown.uuid())).toHaveLength(16);
    const context = await bench.run(bench.gpu.rendering.createContext());
    await bench.run(context.submit(COMMANDS).then((fence) => fence.wait()));
    bench.expectNoErrors();
  });
});

describe("other capability sets", () => {
  const virgl: CapsetInfo = { id: Capset.VIRGL, maxVersion: 1, maxSize: 64 };
  const virgl2: CapsetInfo = { id: Capset.VIRGL2, maxVersion: 2, maxSize: 128 };

  it("R-35 (f) a context whose set is gone is given up unasked, and comes back on a host that has it", async () => {
    const device = (...capsets: CapsetInfo[]): VirtioGpuDeviceOptions => rendering(new MemoryRenderer({ capsets }));
    const bench = await DriverBench.start({ device: device(virgl, virgl2) });
    const shown = await bench.show(0, 64, 48);
    const { rendering: gpu } = bench.gpu;
    const contexts = [];
    for (const capset of [Capset.VIRGL2, Capset.VIRGL, 0, Capset.VIRGL2]) {
      contexts.push(await bench.run(gpu.createContext({ capset })));
    }
    const { count } = bench.host.commands;
    const { lost, restored } = await moveTo(bench, device(virgl));
    expect(lost.map(({ object, reason }) => [object, reason.includes("capability set 2")])).toEqual([
      ["context 1", true],
      ["context 4", true],
    ]);
    expect(restored).toBe(3);
    const asked = bench.host.commands.log(count).filter(({ type }) => type === GpuCommand.GET_CAPSET_INFO);
    expect(asked, "asked once, whoever needs it").toHaveLength(1);
    await expect(bench.run(gpu.createContext({ capset: Capset.VIRGL2 }))).rejects.toMatchObject({ code: "ENOTSUP" });
    expect(await moveTo(bench, device(virgl2, virgl))).toMatchObject({ lost: [] });
    for (const context of contexts) await bench.run(context.submit(COMMANDS).then((fence) => fence.wait()));
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });

  it("R-35 (f) a host that never says which sets it has holds up neither picture, freeze nor removal", async () => {
    const bench = await DriverBench.start({ device: rendering() });
    await bench.run(bench.gpu.rendering.createContext({ capset: Capset.VIRGL }));
    const shown = await bench.show(0, 64, 48);
    await sleepOver(bench, rendering());
    bench.host.commands.inject({ type: GpuCommand.GET_CAPSET_INFO, effect: { kind: "hang" } });
    const { picture, complete } = bench.gpu.power.restore("RESTORE");
    await bench.run(picture);
    bench.expectShown(0, shown);
    await expect(bench.run(complete)).rejects.toMatchObject({ code: "ETIMEDOUT" });
    bench.host.resume();
    await bench.machine.clock.advance(20_000);
    expect(bench.host.device.save().contexts?.ids).toEqual([1]);
    await bench.hibernate();
    bench.expectNoErrors();
    await bench.run(bench.gpu.remove());
    expect(bench.machine.clock.timers).toBe(0);
  });

  it("R-35 (f) fewer, more and other ones are told, each change once, and read from the host that is there", async () => {
    const device = (...capsets: CapsetInfo[]): VirtioGpuDeviceOptions => rendering(new MemoryRenderer({ capsets }));
    const bench = await DriverBench.start({ device: device(virgl, virgl2) });
    const ids = async (): Promise<readonly number[]> =>
      (await bench.run(bench.gpu.rendering.capsets())).map(({ id }) => id);
    expect(await ids()).toEqual([Capset.VIRGL, Capset.VIRGL2]);
    const told: unknown[] = [];
    bench.gpu.rendering.onCapsets((capsets) => told.push(capsets.map(({ id, versionMax }) => [id, versionMax])));
    await moveTo(bench, device(virgl));
    await moveTo(bench, device(virgl));
    expect(told).toEqual([[[1, 1]]]);
    expect(await ids()).toEqual([Capset.VIRGL]);
    await moveTo(bench, device(virgl, { ...virgl2, maxVersion: 3 }));
    expect(told).toEqual([
      [[1, 1]],
      [
        [1, 1],
        [2, 3],
      ],
    ]);
    bench.expectNoErrors();
  });

  it("R-35 (f) a context whose set is gone is reported and every use refused; a host that has it makes it again", async () => {
    const device = (...capsets: CapsetInfo[]): VirtioGpuDeviceOptions => rendering(new MemoryRenderer({ capsets }));
    const { bench, scene } = await start({ device: device(virgl, virgl2) });
    const context: RenderContext = await bench.run(bench.gpu.rendering.createContext({ capset: Capset.VIRGL2 }));
    const report = await moveTo(bench, device(virgl));
    expect(lostNames(report)).toEqual([`context ${context.id}`]);
    const since = bench.host.commands.count;
    await expect(bench.run(context.submit(COMMANDS))).rejects.toMatchObject({ code: "ENOTSUP" });
    expect(seen(bench, GpuCommand.SUBMIT_3D, since), "nothing is submitted to what is not there").toBe(0);
    await expectScene(bench, scene);
    expect(await moveTo(bench, device(virgl, virgl2))).toMatchObject({ lost: [] });
    await bench.run(context.submit(COMMANDS).then((fence) => fence.wait()));
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (f) a context is used only once the new host has made it, however early", async () => {
    const { bench } = await start({ device: rendering() });
    const context = await bench.run(bench.gpu.rendering.createContext());
    await sleepOver(bench, rendering());
    bench.host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: 5 } });
    const { picture, complete } = bench.gpu.power.restore("RESTORE");
    await bench.run(picture);
    await bench.run(context.submit(COMMANDS).then((fence) => fence.wait()));
    await bench.run(complete);
    bench.expectNoErrors();
  });
});

/** R-35 (d), (e), (g) to (k): hosts with other outputs, windows, queues and alignments. What they lack is reported, the rest is right, and what a later host has is used again. */
import { describe, expect, it } from "vitest";
import { MemoryRenderer, type VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import type { HotplugEvent, RenderResource } from "../../src/driver/index.ts";
import { BlobFlag, GpuCommand, VirtioFeature } from "../../src/wire/index.ts";
import { type BenchOptions, DriverBench, paint } from "../support/driver-bench.ts";
import { lostNames, moveTo, sleepOver, without } from "../support/other-host.ts";
import { FakeExporter, SCENE_DEVICE, drawScene, expectHeld, expectScene } from "../support/scene.ts";

const [LEFT = null, RIGHT = null] = SCENE_DEVICE.outputs ?? [];

async function start(options: BenchOptions = {}) {
  const bench = await DriverBench.start({ device: SCENE_DEVICE, ...options });
  const scene = await drawScene(bench);
  const events: HotplugEvent[] = [];
  bench.gpu.onHotplug((event) => events.push(event));
  const told = (): unknown[] =>
    events.splice(0).flatMap(({ changes }) => changes.map(({ output, kinds }) => [output, ...kinds]));
  return { bench, scene, told };
}

describe("another number of outputs", () => {
  it("R-35 (d) a lost output is reported with its cursor, told, refused, and lit again where there is one", async () => {
    const { bench, scene, told } = await start();
    const { cursor } = bench.gpu.output(1);
    await bench.run(cursor.set(scene.cursor, { x: 1, y: 2 }));
    const report = await moveTo(bench, { ...SCENE_DEVICE, outputs: [LEFT] });
    expect(lostNames(report)).toEqual(["cursor 1", "output 1"]);
    for (const { reason } of report.lost) expect(reason).toBe("this host has no output 1");
    expect(report).toMatchObject({ restored: 7, outputs: 1 });
    expect(told()).toEqual([[1, "disconnected"]]);
    expect(bench.gpu.outputs).toHaveLength(1);
    expect(bench.gpu.output(1).exists).toBe(false);
    expect(bench.gpu.output(1).connector.modes).toEqual([]);
    bench.expectShown(0, scene.left);
    expectHeld(bench, scene.offScreen);
    await expect(bench.run(bench.gpu.output(1).show(scene.right))).rejects.toMatchObject({ code: "ENODEV" });
    await expect(bench.run(cursor.move(3, 4))).rejects.toMatchObject({ code: "ENODEV" });
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    expect(told()).toEqual([[1, "connected"]]);
    await expectScene(bench, scene);
    expect(bench.host.device.save().cursors[1]).toMatchObject({ visible: true, x: 3, y: 4 });
    bench.expectNoErrors();
  });

  it("R-35 (d) what is shown on a lost output too is still flushed, and what was there may be switched off", async () => {
    const { bench, scene } = await start();
    await bench.run(bench.gpu.output(1).show(scene.left));
    await moveTo(bench, { ...SCENE_DEVICE, outputs: [LEFT] });
    paint(scene.left, 99);
    await bench.run(scene.left.flush());
    bench.expectShown(0, scene.left);
    paint(scene.right, 98);
    await bench.run(scene.right.flush());
    await bench.run(bench.gpu.output(1).disable());
    await bench.run(bench.gpu.output(1).cursor.hide());
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 1 });
    bench.expectShown(0, scene.left);
    expect(bench.host.device.screenshot(1)).toBeNull();
    bench.expectNoErrors();
  });

  it("R-35 (d) what was asked for while asleep is answered by the host that comes: there is no such output", async () => {
    const { bench, scene } = await start();
    await sleepOver(bench, { ...SCENE_DEVICE, outputs: [LEFT] });
    const shown = expect(bench.gpu.output(1).show(scene.left)).rejects.toMatchObject({ code: "ENODEV" });
    paint(scene.left, 97);
    const flushed = scene.left.flush();
    expect(lostNames(await bench.restore())).toEqual(["output 1"]);
    await shown;
    await bench.run(flushed);
    bench.expectShown(0, scene.left);
    await moveTo(bench, SCENE_DEVICE);
    bench.expectShown(1, scene.left);
    bench.expectNoErrors();
  });

  it("R-35 (e) new outputs are told, there to use, dark until then, and kept over further sleeps", async () => {
    const { bench, scene, told } = await start();
    const outputs = [LEFT, RIGHT, null, { width: 48, height: 32 }];
    expect(await moveTo(bench, { ...SCENE_DEVICE, outputs })).toMatchObject({ lost: [], outputs: 2 });
    expect(told()).toEqual([[3, "connected"]]);
    expect(bench.gpu.outputs.map(({ connector }) => connector.connected)).toEqual([true, true, false, true]);
    expect(bench.gpu.output(3).connector.modes[0]).toMatchObject({ width: 48, height: 32, preferred: true });
    await expectScene(bench, scene);
    for (const dark of [2, 3]) expect(bench.host.device.screenshot(dark)).toBeNull();
    await bench.run(bench.gpu.output(3).show(scene.offScreen));
    await bench.run(bench.gpu.output(3).cursor.set(scene.cursor));
    expect(await bench.hibernate()).toMatchObject({ lost: [], outputs: 3 });
    bench.expectShown(3, scene.offScreen);
    expect(bench.host.device.save().cursors[3]?.visible).toBe(true);
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

const PLAIN: VirtioGpuDeviceOptions = { outputs: [LEFT], blob: true };
const WINDOW_BYTES = 16 * 4096;

function windowed(hostVisibleBytes: number): VirtioGpuDeviceOptions {
  return { ...PLAIN, renderer: new MemoryRenderer(), hostVisibleBytes };
}

/** Maps a new host blob of `byteLength` bytes; they are the host's. */
async function mapBlob(bench: DriverBench, byteLength: number): Promise<RenderResource> {
  const { rendering } = bench.gpu;
  const context = await bench.run(rendering.createContext());
  const options = { byteLength, blobId: 1, flags: BlobFlag.USE_MAPPABLE };
  const blob = await bench.run(rendering.createHostBlob(context, options));
  try {
    await bench.run(blob.map());
  } catch (error) {
    blob.destroy();
    throw error;
  }
  const mark = blob.id & 0xff;
  blob.access((view) => view.fill(mark));
  const state = bench.host.device.save().resources.find(({ id }) => id === blob.id);
  const window = bench.host.device.sharedMemory[0]?.bytes ?? new Uint8Array();
  const bytes = window.subarray(state?.mapOffset ?? 0, (state?.mapOffset ?? 0) + byteLength);
  expect(Buffer.compare(bytes, new Uint8Array(byteLength).fill(mark)), "this host's window holds it").toBe(0);
  return blob;
}

describe.each(["loopback", "pci", "mmio"] as const)("another host-visible window, on %s", (transport) => {
  const withWindow = async () => {
    const bench = await DriverBench.start({ transport, device: windowed(WINDOW_BYTES), gpu: { policy: "lose" } });
    return { bench, shown: await bench.show(0, 64, 48), blob: await mapBlob(bench, 8192) };
  };

  it("R-35 (g) gone: mappings are refused without a word to the host, nothing else is", async () => {
    const { bench, shown, blob } = await withWindow();
    expect(lostNames(await moveTo(bench, windowed(0)))).toContain(`resource ${blob.id}`);
    expect(() => blob.access(() => {})).toThrow(expect.objectContaining({ code: "ENOTRECOVERABLE" }));
    const since = bench.host.commands.count;
    await expect(mapBlob(bench, 8192)).rejects.toMatchObject({ code: "ENOTSUP" });
    const types = bench.host.commands.log(since).map(({ type }) => type);
    expect(types).not.toContain(GpuCommand.RESOURCE_MAP_BLOB);
    bench.expectShown(0, shown);
    blob.destroy();
    await moveTo(bench, windowed(WINDOW_BYTES));
    await mapBlob(bench, WINDOW_BYTES);
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });

  it("R-35 (h) smaller: what fits is mapped, what does not is refused before it is asked for", async () => {
    const { bench, shown } = await withWindow();
    await moveTo(bench, windowed(2 * 4096));
    const since = bench.host.commands.count;
    await expect(mapBlob(bench, WINDOW_BYTES)).rejects.toMatchObject({ code: "ENOMEM" });
    const types = bench.host.commands.log(since).map(({ type }) => type);
    expect(types).not.toContain(GpuCommand.RESOURCE_MAP_BLOB);
    const blob = await mapBlob(bench, 8192);
    await expect(mapBlob(bench, 4096)).rejects.toMatchObject({ code: "ENOMEM" });
    blob.destroy();
    await bench.machine.clock.advance(10);
    await mapBlob(bench, 4096);
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });

  it("R-35 (i) elsewhere, and larger: new mappings lie in it, old ones lead nowhere", async () => {
    const { bench, shown, blob } = await withWindow();
    const old = bench.host.device.sharedMemory[0]?.bytes ?? new Uint8Array();
    let held = new Uint8Array();
    blob.access((view) => (held = view.slice()));
    await moveTo(bench, windowed(64 * WINDOW_BYTES));
    expect(() => blob.access(() => {})).toThrow(expect.objectContaining({ code: "ENOTRECOVERABLE" }));
    const now = await mapBlob(bench, WINDOW_BYTES + 4096);
    now.access((view) => view.fill(0xee));
    expect(held.some((byte) => byte === 0xee)).toBe(false);
    expect(
      old.some((byte) => byte === 0xee),
      "the old host's window is not written to",
    ).toBe(false);
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });
});

describe("other queues", () => {
  it.each([
    ["2 and 2 entries", [2, 2], []],
    ["2 and 2 entries without indirect descriptors", [2, 2], [VirtioFeature.INDIRECT_DESC]],
    ["4 and 2 entries without event indices", [4, 2], [VirtioFeature.EVENT_IDX]],
    ["1,024 and 512 entries", [1024, 512], []],
  ] as const)("R-35 (j) %s: everything goes through them, and back through the old ones", async (_, sizes, missing) => {
    const { bench, scene } = await start();
    // More scattered pages than fit a slot of a queue.
    const wide = await bench.buffer(256, 64);
    const device = { ...SCENE_DEVICE, queueSizes: sizes };
    expect(await moveTo(bench, device, without(...missing))).toMatchObject({ lost: [], outputs: 2 });
    expectHeld(bench, wide);
    const many = await bench.run(
      Promise.all(Array.from({ length: 20 }, () => bench.gpu.createBuffer({ width: 16, height: 16 }))),
    );
    for (const buffer of many) paint(buffer, buffer.id);
    await bench.run(Promise.all(many.map((buffer) => buffer.flush())));
    for (const buffer of many) expectHeld(bench, buffer);
    for (const buffer of [...many, wide]) buffer.destroy();
    await bench.machine.clock.advance(10);
    await expectScene(bench, scene);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
    bench.machine.assertClean();
  });

  it("R-35 (j) packed ones of 3 and 2 entries, too", async () => {
    const { bench, scene } = await start({ features: { packed: true } });
    const lies = { queueSizeMax: (queue: number): number => (queue === 0 ? 3 : 2) };
    expect(await moveTo(bench, SCENE_DEVICE, lies)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it.each([
    ["one entry", 1],
    ["no entry", 0],
  ])("R-35 (j) a queue of %s: a clean failure, and a later host gives all back", async (_, size) => {
    const { bench, scene } = await start();
    await sleepOver(bench, SCENE_DEVICE, { queueSizeMax: (queue, real) => (queue === 1 ? size : real) });
    await expect(bench.restore()).rejects.toThrow(/gpu0: queue 1 has room for \d descriptors, too few/);
    expect([bench.gpu.state, bench.gpu.error?.code]).toEqual(["lost", "ENODEV"]);
    expect(bench.host.machinery.status & 4, "the device is not left running").toBe(0);
    await expect(bench.run(scene.left.flush())).rejects.toMatchObject({ code: "ENODEV" });
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
    bench.machine.assertClean();
  });
});

describe("another blob alignment", () => {
  it("R-35 (k) blobs that fit it come back, the others are reported and not made, and come back where they fit", async () => {
    const { bench, scene } = await start();
    const fitting = await bench.buffer(64, 64, { storage: "blob" });
    const report = await moveTo(bench, { ...SCENE_DEVICE, blobAlignment: 16_384 });
    const blobs = [scene.right, scene.blob, scene.imported].map(({ id }) => `resource ${id}`);
    expect(lostNames(report)).toEqual(["output 1", ...blobs]);
    for (const { object, reason } of report.lost) if (object !== "output 1") expect(reason).toMatch(/16384/);
    const ids = bench.host.device.save().resources.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([fitting.id, scene.left.id]));
    for (const { id } of [scene.right, scene.blob, scene.imported]) expect(ids).not.toContain(id);
    await expect(bench.run(scene.blob.flush())).rejects.toMatchObject({ code: "ENOTSUP" });
    bench.expectNoErrors();
    fitting.destroy();
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (k) a blob whose pages have room for it is made larger, and its pixels are the same", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const small = await bench.show(0, 48, 16, { storage: "blob" });
    expect(small.byteLength).toBe(3072);
    expect(await moveTo(bench, { ...SCENE_DEVICE, blobAlignment: 4096 })).toMatchObject({ lost: [], outputs: 1 });
    const sizes = bench.host.device.save().resources.map(({ blob }) => blob?.size);
    expect(sizes).toEqual([4096]);
    expect(small.byteLength).toBe(3072);
    bench.expectShown(0, small);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [] });
    bench.expectShown(0, small);
    bench.expectNoErrors();
    bench.machine.assertClean();
  });

  it("R-35 (k) new blobs go by the host that is there: host's, guest's and imports", async () => {
    const device = (blobAlignment: number): VirtioGpuDeviceOptions => ({
      ...windowed(16 * WINDOW_BYTES),
      ...(blobAlignment === 0 ? {} : { blobAlignment }),
    });
    const bench = await DriverBench.start({ device: device(65_536), gpu: { policy: "lose" } });
    await expect(mapBlob(bench, 4096)).rejects.toMatchObject({ code: "EINVAL" });
    const large = await bench.show(0, 48, 16, { storage: "blob" });
    expect(large.byteLength).toBe(65_536);
    await moveTo(bench, device(4096));
    bench.expectShown(0, large);
    await mapBlob(bench, 4096);
    await mapBlob(bench, 8192);
    const lent = new FakeExporter(bench, "lent", 3072);
    const odd = bench.gpu.importBuffer(lent, { width: 48, height: 16 });
    await expect(bench.run(odd)).rejects.toThrow(/3072 bytes are no multiple of this host's blob alignment 4096/);
    expect(lent.mapped).toBe(0);
    await moveTo(bench, device(0));
    const imported = await bench.run(bench.gpu.importBuffer(lent, { width: 48, height: 16 }));
    await bench.run(bench.gpu.output(0).show(imported));
    bench.expectNoErrors();
  });

  it("R-35 (k) an alignment that can't be is as none", async () => {
    const { bench, scene } = await start();
    const device = { ...SCENE_DEVICE, blobAlignment: 4096 };
    const lies = { config: (offset: number, real: number): number => (offset === 16 ? 3000 : real) };
    expect(await moveTo(bench, device, lies)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

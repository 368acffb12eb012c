/** Resume on another host: what it lacks is reported, the rest is right, and what comes back later is used again. */
import { describe, expect, it } from "vitest";
import { MemoryRenderer, type VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import { BlobFlag } from "../../src/wire/index.ts";
import { DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectHeld, expectScene } from "../support/scene.ts";

async function start(device: VirtioGpuDeviceOptions = SCENE_DEVICE) {
  const bench = await DriverBench.start({ device, gpu: { policy: "lose" } });
  return { bench, scene: await drawScene(bench) };
}

/** Sleeps here and wakes on another kind of host. */
async function moveTo(bench: DriverBench, device: VirtioGpuDeviceOptions) {
  await bench.freeze();
  bench.host.kill();
  bench.host.powerOn(device);
  const report = await bench.restore();
  await bench.machine.clock.advance(2000);
  return report;
}

const PLAIN: VirtioGpuDeviceOptions = { outputs: SCENE_DEVICE.outputs ?? [] };
const HOST_WINDOW = 16 * 4096;

async function withWindow(hostVisibleBytes: number) {
  const device = { ...PLAIN, blob: true, renderer: new MemoryRenderer(), hostVisibleBytes };
  const bench = await DriverBench.start({ device, gpu: { policy: "lose" } });
  return bench;
}

/** Maps a new host blob of `byteLength` bytes. */
async function mapBlob(bench: DriverBench, byteLength: number): Promise<void> {
  const { rendering } = bench.gpu;
  const context = await bench.run(rendering.createContext());
  const options = { byteLength, blobId: 1, flags: BlobFlag.USE_MAPPABLE };
  const blob = await bench.run(rendering.createHostBlob(context, options));
  await bench.run(blob.map());
  blob.access((view) => expect(view.length).toBe(byteLength));
}

describe("resume on another host", () => {
  it("R-35 (a) a feature that was used is gone: its objects are reported, the rest is right, a later host has all", async () => {
    const { bench, scene } = await start();
    await bench.run(scene.offScreen.uuid());
    const report = await moveTo(bench, PLAIN);
    const blobs = [scene.right, scene.blob, scene.imported].map(({ id }) => `resource ${id}`);
    expect(report.lost.map(({ object }) => object).sort()).toEqual([...blobs, "output 1"].sort());
    for (const { object, reason } of report.lost) if (object !== "output 1") expect(reason).toMatch(/blob/i);
    bench.expectShown(0, scene.left);
    expectHeld(bench, scene.offScreen);
    bench.expectNoErrors();
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (b) a feature that nobody used is gone: nothing is lost", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const shown = await bench.show(0, 64, 48);
    expect(await moveTo(bench, { ...PLAIN, edid: false })).toMatchObject({ lost: [], outputs: 1 });
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });

  it("R-35 (c) a feature was added: it can be used from now on", async () => {
    const bench = await DriverBench.start({ device: PLAIN });
    const shown = await bench.show(0, 64, 48);
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [] });
    bench.expectShown(0, shown);
    bench.expectShown(1, await bench.show(1, 32, 32, { storage: "blob" }));
    bench.expectNoErrors();
  });

  it("R-35 (d) fewer scanouts: the lost output is reported, and is lit again where there is one", async () => {
    const { bench, scene } = await start();
    const report = await moveTo(bench, { ...SCENE_DEVICE, outputs: [{ width: 64, height: 48 }] });
    expect(report.lost.map(({ object }) => object)).toEqual(["output 1"]);
    expect(bench.gpu.outputs).toHaveLength(1);
    bench.expectShown(0, scene.left);
    await expect(bench.run(bench.gpu.output(1).show(scene.left))).rejects.toMatchObject({ code: "ENODEV" });
    await bench.run(bench.gpu.output(1).show(scene.right)).catch(() => {});
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (e) more scanouts: the new one is there to use", async () => {
    const { bench, scene } = await start();
    await moveTo(bench, { ...SCENE_DEVICE, outputs: [...(SCENE_DEVICE.outputs ?? []), { width: 48, height: 16 }] });
    expect(bench.gpu.outputs).toHaveLength(3);
    expect(bench.gpu.output(2).connector).toMatchObject({ connected: true, width: 48, height: 16 });
    await bench.run(bench.gpu.output(2).show(scene.offScreen));
    bench.expectShown(2, scene.offScreen);
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (f) other capability sets: the change is told, none is remembered", async () => {
    const bench = await withWindow(HOST_WINDOW);
    expect(await bench.run(bench.gpu.rendering.capsets())).not.toEqual([]);
    const told: number[] = [];
    bench.gpu.rendering.onCapsets((capsets) => told.push(capsets.length));
    await moveTo(bench, PLAIN);
    expect(told).toEqual([0]);
    await expect(bench.gpu.rendering.capsets()).rejects.toMatchObject({ code: "ENOTSUP" });
    bench.expectNoErrors();
  });

  it("R-35 (g) the host-visible window is gone: a mapping is refused, nothing else", async () => {
    const bench = await withWindow(HOST_WINDOW);
    await mapBlob(bench, 8192);
    const shown = await bench.show(0, 64, 48);
    await moveTo(bench, { ...PLAIN, blob: true, renderer: new MemoryRenderer() });
    await expect(mapBlob(bench, 8192)).rejects.toMatchObject({ code: "ENOTSUP" });
    bench.expectShown(0, shown);
    bench.expectNoErrors();
  });

  it("R-35 (h) the window is smaller: what fits is mapped, the rest is refused", async () => {
    const bench = await withWindow(HOST_WINDOW);
    await mapBlob(bench, HOST_WINDOW);
    const device = { ...PLAIN, blob: true, renderer: new MemoryRenderer(), hostVisibleBytes: 2 * 4096 };
    await moveTo(bench, device);
    await expect(mapBlob(bench, HOST_WINDOW)).rejects.toMatchObject({ code: "ENOMEM" });
    await mapBlob(bench, 8192);
    bench.expectNoErrors();
  });

  it("R-35 (i) the window lies elsewhere: mappings go to the new one", async () => {
    const bench = await withWindow(HOST_WINDOW);
    await mapBlob(bench, 8192);
    const device = { ...PLAIN, blob: true, renderer: new MemoryRenderer(), hostVisibleBytes: 2 * HOST_WINDOW };
    await moveTo(bench, device);
    await mapBlob(bench, HOST_WINDOW + 4096);
    bench.expectNoErrors();
  });

  it("R-35 (j) smaller queues: everything goes through them", async () => {
    const { bench, scene } = await start();
    expect(await moveTo(bench, { ...SCENE_DEVICE, queueSizes: [4, 2] })).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    for (let index = 0; index < 20; index += 1) (await bench.buffer(16, 16)).destroy();
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-35 (k) another blob alignment: blobs that fit it come back, others are reported, never half", async () => {
    const { bench, scene } = await start();
    const fitting = await bench.buffer(64, 64, { storage: "blob" });
    const report = await moveTo(bench, { ...SCENE_DEVICE, blobAlignment: 16_384 });
    const blobs = [scene.right, scene.blob, scene.imported].map(({ id }) => `resource ${id}`);
    expect(report.lost.map(({ object }) => object).sort()).toEqual([...blobs, "output 1"].sort());
    for (const { object, reason } of report.lost) if (object !== "output 1") expect(reason).toMatch(/16384/);
    const ids = bench.host.device.save().resources.map(({ id }) => id);
    expect(ids).toContain(fitting.id);
    bench.expectNoErrors();
    fitting.destroy();
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

/** Contents after a sleep: every image, the cursor, and whether a backing is attached. */
import { describe, expect, it } from "vitest";
import { GpuReply, GpuCommand } from "../../src/wire/index.ts";
import { DriverBench, paint } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectHeld, expectScene } from "../support/scene.ts";

async function start() {
  const bench = await DriverBench.start({ device: SCENE_DEVICE });
  return { bench, scene: await drawScene(bench) };
}

describe("contents after a sleep", () => {
  it("R-16 (a) what is displayed is the guest's memory, damage that was never flushed included", async () => {
    const { bench, scene } = await start();
    // Painted and not flushed: what the display shows after the sleep is what the memory held at the freeze.
    paint(scene.left, 77);
    await bench.freeze();
    bench.replaceHost();
    await bench.restore();
    bench.expectShown(0, scene.left);
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-16 (b) back buffers and off-screen ones hold the guest's pixels before anybody uses them", async () => {
    const { bench, scene } = await start();
    const back = await bench.buffer(64, 48);
    await bench.run(bench.gpu.output(0).show(back));
    await bench.run(bench.gpu.output(0).show(scene.left));
    await bench.hibernate();
    expectHeld(bench, back);
    expectHeld(bench, scene.offScreen);
    // Shown without a redraw.
    bench.host.commands.clear();
    await bench.run(bench.gpu.output(0).show(back));
    bench.expectShown(0, back);
    expect(bench.host.log.errorReplies()).toEqual([]);
  });

  it("R-16 (c) images of every size and format hold the guest's pixels", async () => {
    const { bench } = await start();
    const images = [];
    for (const [width, height, format] of [
      [1, 1, 1],
      [3, 5, 3],
      [17, 2, 67],
      [33, 31, 134],
      [200, 3, 121],
    ] as const) {
      images.push(await bench.buffer(width, height, { format }));
    }
    await bench.hibernate();
    for (const image of images) expectHeld(bench, image);
    bench.expectNoErrors();
  });

  it("R-17 (a) a shown cursor comes back with picture, hot spot and place", async () => {
    const { bench, scene } = await start();
    await bench.hibernate();
    await expectScene(bench, scene);
  });

  it("R-17 (b) a hidden cursor stays hidden, and shows its picture when it is asked for", async () => {
    const { bench, scene } = await start();
    await bench.run(bench.gpu.output(0).cursor.hide());
    await bench.hibernate();
    expect(bench.host.device.save().cursors[0]?.visible).toBe(false);
    await bench.run(bench.gpu.output(0).cursor.set(scene.cursor, { x: 5, y: 7 }));
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-17 (c) a cursor outside its output comes back where it was", async () => {
    const { bench, scene } = await start();
    const { cursor } = bench.gpu.output(1);
    await bench.run(cursor.set(scene.cursor, { x: 1, y: 2 }));
    await bench.run(cursor.move(-40, 3000));
    await bench.hibernate();
    const state = bench.host.device.save().cursors[1];
    expect([state?.visible, (state?.x ?? 0) | 0, (state?.y ?? 0) | 0]).toEqual([true, -40, 3000]);
    expect([state?.hotX, state?.hotY]).toEqual([1, 2]);
    bench.expectNoErrors();
  });

  it("R-18 (a) each backing is attached or detached as it was", async () => {
    const { bench, scene } = await start();
    await bench.run(scene.blob.detach());
    await bench.hibernate();
    const attached = new Map(bench.host.device.save().resources.map(({ id, entries }) => [id, entries.length > 0]));
    expect(attached.get(scene.detached.id)).toBe(false);
    expect(attached.get(scene.blob.id)).toBe(false);
    expect(attached.get(scene.offScreen.id)).toBe(true);
    expectHeld(bench, scene.detached);
    await bench.run(scene.blob.attach());
    await bench.run(scene.detached.attach());
    paint(scene.detached, 5);
    await bench.run(scene.detached.flush());
    expectHeld(bench, scene.detached);
    bench.expectNoErrors();
  });

  it("R-18 (a) a detached image that is shown is shown again, and detached again", async () => {
    const { bench, scene } = await start();
    await bench.run(scene.left.detach());
    await bench.hibernate();
    bench.expectShown(0, scene.left);
    await expectScene(bench, scene);
    const left = bench.host.device.save().resources.find(({ id }) => id === scene.left.id);
    expect(left?.entries).toEqual([]);
    bench.expectNoErrors();
  });

  it("R-18 (a) a detached image that is shown reaches the display, now and after a sleep", async () => {
    const { bench, scene } = await start();
    const flushes = (): readonly number[] =>
      bench.host.commands
        .log(seen)
        .flatMap(({ type, resourceId }) => (type === GpuCommand.RESOURCE_FLUSH ? [resourceId] : []));
    let seen = bench.host.commands.count;
    await bench.run(bench.gpu.output(0).show(scene.detached));
    expect(flushes()).toContain(scene.detached.id);
    seen = bench.host.commands.count;
    await bench.hibernate();
    bench.expectShown(0, scene.detached);
    expect(flushes()).toContain(scene.detached.id);
    bench.expectNoErrors();
  });

  it("R-18 (b) a restore that fails half-way changes nothing about what is to be attached", async () => {
    const { bench, scene } = await start();
    await bench.freeze();
    bench.replaceHost();
    // Every ATTACH is refused for as long as the driver tries.
    const effect = { kind: "refuse", reply: GpuReply.ERR_UNSPEC } as const;
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_ATTACH_BACKING, times: Infinity, effect });
    const failed = await bench.restore();
    expect(failed.lost.map(({ object }) => object)).toContain(`resource ${scene.left.id}`);
    expect(scene.detached.isAttached).toBe(false);
    expect(scene.left.isAttached).toBe(true);
    bench.host.commands.clear();
    bench.host.log.clear();
    expect(await bench.hibernate()).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

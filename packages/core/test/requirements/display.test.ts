/** Displays over a sleep: events, layouts, devices without outputs, and attempts that fail. */
import { describe, expect, it } from "vitest";
import type { HotplugEvent } from "../../src/driver/index.ts";
import { GpuCommand, GpuConfig } from "../../src/wire/index.ts";
import { DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";

async function start() {
  const bench = await DriverBench.start({ device: SCENE_DEVICE });
  const scene = await drawScene(bench);
  const events: HotplugEvent[] = [];
  bench.gpu.onHotplug((event) => events.push(event));
  return { bench, scene, events };
}

const settle = (bench: DriverBench): Promise<void> => bench.machine.clock.advance(100);

describe("display information over a sleep", () => {
  it("R-33 (a) is asked anew, with EDID: a monitor that changed meanwhile raises a hotplug event", async () => {
    const { bench, events } = await start();
    await bench.hibernate();
    await settle(bench);
    expect(events).toEqual([]);
    await bench.freeze();
    bench.host.kill();
    bench.host.powerOn({ ...SCENE_DEVICE, outputs: [{ width: 100, height: 80, name: "another" }, null] });
    await bench.restore();
    await settle(bench);
    const changes = events.flatMap((event) => event.changes.map(({ output, kinds }) => [output, ...kinds]));
    expect(changes).toEqual([
      [0, "size", "edid"],
      [1, "disconnected"],
    ]);
    expect(bench.gpu.output(0).connector.monitor?.name).toBe("another");
    bench.expectNoErrors();
  });

  it("R-33 (b) a mode that is no longer offered comes with what to use instead, and the picture stays", async () => {
    const { bench, scene, events } = await start();
    await bench.freeze();
    bench.host.kill();
    bench.host.powerOn({ ...SCENE_DEVICE, outputs: [{ width: 100, height: 80 }, null] });
    await bench.restore();
    await settle(bench);
    const [first, second] = events[0]?.changes ?? [];
    expect(first?.fallback).toMatchObject({ kind: "preferred", mode: { width: 100, height: 80 } });
    expect(second?.fallback).toEqual({ kind: "off", mode: null });
    bench.expectShown(0, scene.left);
    bench.expectShown(1, scene.right);
  });

  it("R-34 (a) an event that came while nobody listened is not lost, whatever became of the host", async () => {
    for (const keepsHost of [true, false]) {
      const { bench, events } = await start();
      await bench.freeze();
      bench.host.device.setOutput(0, { width: 320, height: 240 });
      if (!keepsHost) {
        bench.host.kill();
        bench.host.powerOn({
          ...SCENE_DEVICE,
          outputs: [
            { width: 320, height: 240 },
            { width: 32, height: 32 },
          ],
        });
      }
      await bench.restore();
      await settle(bench);
      expect(events.map(({ changes }) => changes.map(({ output }) => output))).toEqual([[0]]);
      expect(bench.gpu.output(0).connector).toMatchObject({ width: 320, height: 240 });
      // It is acknowledged: another one is told again.
      expect(bench.host.transport.config.read32(GpuConfig.EVENTS_READ)).toBe(0);
      bench.host.device.setOutput(1, null);
      await settle(bench);
      expect(events).toHaveLength(2);
    }
  });

  it("R-34 (b) no event is handled while frozen", async () => {
    const { bench, events } = await start();
    await bench.freeze();
    const { count } = bench.host.commands;
    const { accesses } = bench.host.transport;
    bench.host.device.setOutput(0, { width: 320, height: 240 });
    bench.host.transport.spuriousConfigInterrupt({ stale: true });
    await bench.machine.clock.advance(60_000);
    expect(events).toEqual([]);
    expect(bench.host.commands.count).toBe(count);
    expect(bench.host.transport.accesses).toBe(accesses);
  });

  it("R-34 (c) work of an event that came just before the freeze sets no mode after it", async () => {
    const { bench, scene } = await start();
    bench.gpu.onHotplug(({ changes }) => {
      for (const { output } of changes)
        void bench.gpu
          .output(output)
          .show(scene.left)
          .catch(() => {});
    });
    bench.host.device.setOutput(1, { width: 64, height: 48 });
    await bench.freeze();
    const { count } = bench.host.commands;
    await bench.machine.clock.advance(60_000);
    expect(bench.host.commands.count).toBe(count);
    expect(bench.host.device.screenshot(1)).toBeNull();
    bench.replaceHost();
    await bench.restore();
    await settle(bench);
    bench.expectShown(0, scene.left);
    bench.expectNoErrors();
  });
});

describe("outputs after a resume", () => {
  it("R-39 (a) each shows the right resource, rectangle and pixels: mirrored, panned, blob", async () => {
    const { bench } = await start();
    const wide = await bench.buffer(160, 96);
    const rect = { x: 32, y: 16, width: 64, height: 48 };
    await bench.run(bench.gpu.output(0).show(wide, rect));
    await bench.run(bench.gpu.output(1).show(wide));
    await bench.hibernate();
    const state = bench.host.device.save();
    expect(state.scanouts.slice(0, 2).map((scanout) => [scanout?.resourceId, scanout?.rect])).toEqual([
      [wide.id, rect],
      [wide.id, wide.bounds],
    ]);
    bench.expectShown(1, wide);
    const part = bench.host.device.screenshot(0);
    const whole = bench.host.device.screenshot(1);
    const row = (y: number): Uint8Array | undefined => whole?.rgba.subarray((y * 160 + 32) * 4, (y * 160 + 96) * 4);
    for (let y = 0; y < 48; y += 1) {
      const seen = part?.rgba.subarray(y * 64 * 4, (y + 1) * 64 * 4) ?? new Uint8Array();
      expect(Buffer.compare(seen, row(y + 16) ?? new Uint8Array())).toBe(0);
    }
    bench.expectNoErrors();
  });

  it("R-39 (b) one that was switched off stays off", async () => {
    const { bench, scene } = await start();
    await bench.run(bench.gpu.output(1).disable());
    expect(await bench.hibernate()).toMatchObject({ outputs: 1, lost: [] });
    bench.expectShown(0, scene.left);
    expect(bench.host.device.screenshot(1)).toBeNull();
    const shows = bench.host.commands.log().filter(({ type, resourceId }) => {
      return type === GpuCommand.SET_SCANOUT_BLOB && resourceId === scene.right.id;
    });
    expect(shows).toHaveLength(1);
  });

  it("R-39 (c) which monitor shows what is kept, over several sleeps and with outputs swapped before", async () => {
    const { bench, scene } = await start();
    await bench.run(bench.gpu.output(0).show(scene.right));
    await bench.run(bench.gpu.output(1).show(scene.left));
    for (let round = 0; round < 3; round += 1) {
      await bench.hibernate();
      bench.expectShown(0, scene.right);
      bench.expectShown(1, scene.left);
    }
    bench.expectNoErrors();
  });
});

describe("a device without scanouts", () => {
  it("R-36 freezes and restores, objects and all", async () => {
    const bench = new DriverBench({ device: SCENE_DEVICE });
    const lies = { config: (offset: number, real: number) => (offset === GpuConfig.NUM_SCANOUTS ? 0 : real) };
    bench.host.transport.faults.lies = lies;
    await bench.probe();
    expect(bench.gpu.outputs).toEqual([]);
    const image = await bench.buffer(16, 16);
    await expect(bench.run(bench.gpu.output(0).show(image))).rejects.toMatchObject({ code: "ENODEV" });
    await bench.run(bench.gpu.output(0).disable()).catch(() => {});
    for (let round = 0; round < 3; round += 1) {
      expect((await bench.hibernate()).restored).toBe(1);
    }
    await bench.freeze("HIBERNATE");
    bench.expectNoErrors();
  });
});

describe("attempts that fail", () => {
  it("R-37 several failed freezes, each in another way, and then a good one: the display is intact", async () => {
    const { bench, scene } = await start();
    for (const at of [1, 3, 5, 8]) {
      bench.host.commands.inject({ at, effect: { kind: "hang" } });
      await expect(bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
      bench.host.commands.clear();
      bench.host.resume();
      await bench.machine.clock.advance(20_000);
      await expectScene(bench, scene);
    }
    bench.host.breakDevice();
    await bench.run(Promise.allSettled([bench.gpu.power.freeze("FREEZE")]));
    if (bench.gpu.state === "frozen") await bench.restore("THAW");
    await bench.machine.clock.advance(20_000);
    bench.host.log.clear();
    await bench.hibernate();
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

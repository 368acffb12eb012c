/** every output after a sleep, and devices that have none. */
import { describe, expect, it } from "vitest";
import type { RestoreMessage } from "../../src/base/power.ts";
import type { VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import type { GpuBuffer, HotplugEvent } from "../../src/driver/index.ts";
import type { BootDriver } from "../../src/sim/boot-driver.ts";
import type { RegisterLies } from "../../src/sim/faults/faulty-transport.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import { GpuCommand, GpuConfig } from "../../src/wire/index.ts";
import { type BenchOptions, DriverBench, paint, rgbaOf } from "../support/driver-bench.ts";
import { moveTo } from "../support/other-host.ts";
import { FakeExporter, SCENE_DEVICE, drawScene, expectHeld, expectScene } from "../support/scene.ts";

/** Four monitors: one at which nobody looks, one that stays off. */
const WALL: VirtioGpuDeviceOptions = {
  outputs: [{ width: 64, height: 48 }, { width: 64, height: 48 }, null, { width: 32, height: 32 }],
  blob: true,
  random: new SeededRandom(5),
};

/** A boot driver's cursor on every output, in a resource of this id. */
async function pointEverywhere(bench: DriverBench, boot: BootDriver, resourceId: number): Promise<void> {
  const at = { x: 8, y: 8, hotX: 0, hotY: 0 };
  await bench.run(boot.lightUp({ scanoutId: 0, resourceId, width: 64, height: 64, colour: 0xff_ff_ff }));
  for (const scanoutId of [0, 1, 2, 3]) {
    await bench.run(boot.send({ op: "updateCursor", scanoutId, resourceId, ...at }));
  }
}

function visibleCursors(bench: DriverBench): readonly boolean[] {
  return bench.host.device.save().cursors.map(({ visible }) => visible);
}

interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The output shows exactly this part of the buffer, by the host's books and by its pixels. */
function expectPart(bench: DriverBench, output: number, buffer: GpuBuffer, rect: Rect): void {
  const scanout = bench.host.device.save().scanouts[output];
  expect([scanout?.resourceId, scanout?.rect], `output ${output}`).toEqual([buffer.id, rect]);
  const shot = bench.host.device.screenshot(output);
  expect([shot?.width, shot?.height]).toEqual([rect.width, rect.height]);
  const whole = rgbaOf(buffer);
  for (let y = 0; y < rect.height; y += 1) {
    const from = ((rect.y + y) * buffer.width + rect.x) * 4;
    const row = shot?.rgba.subarray(y * rect.width * 4, (y + 1) * rect.width * 4) ?? new Uint8Array();
    const isSame = Buffer.compare(row, whole.subarray(from, from + rect.width * 4)) === 0;
    expect(isSame, `row ${y} of output ${output}`).toBe(true);
  }
}

const SLEEPS: readonly (readonly [string, RestoreMessage, (bench: DriverBench) => Promise<void>, BenchOptions])[] = [
  ["hibernation", "RESTORE", (bench) => bench.freeze().then(() => bench.replaceHost()), {}],
  ["thaw", "THAW", (bench) => bench.freeze(), {}],
  ["S3 that resets", "RESUME", (bench) => bench.freeze("SUSPEND").then(() => bench.host.systemReset()), {}],
  ["S3 that keeps", "RESUME", (bench) => bench.freeze("SUSPEND"), {}],
  ["recovery", "RECOVER", async () => {}, {}],
  [
    "reset of a host that keeps things",
    "RESTORE",
    (bench) => bench.freeze().then(() => bench.host.resetDevice()),
    { variant: "keeps" },
  ],
  [
    "hibernation behind PCI",
    "RESTORE",
    (bench) => bench.freeze().then(() => bench.replaceHost()),
    { transport: "pci" },
  ],
];

describe("every output after a sleep", () => {
  it.each(SLEEPS)("R-39 (a) shows the right resource, rectangle and pixels: %s", async (_, message, sleep, options) => {
    const bench = await DriverBench.start({ device: WALL, ...options });
    const { gpu } = bench;
    // Panned, mirrored, whole, and a part of a blob.
    const wide = await bench.buffer(160, 96);
    const blob = await bench.buffer(80, 64, { storage: "blob" });
    const parts: readonly (readonly [number, GpuBuffer, Rect])[] = [
      [0, wide, { x: 32, y: 16, width: 64, height: 48 }],
      [1, wide, wide.bounds],
      [3, blob, { x: 16, y: 8, width: 32, height: 32 }],
    ];
    for (const [output, buffer, rect] of parts) await bench.run(gpu.output(output).show(buffer, rect));
    for (const buffer of [wide, blob]) paint(buffer, 70 + buffer.id);
    await bench.run(Promise.all([wide.flush(), blob.flush()]));
    for (let round = 0; round < 2; round += 1) {
      await sleep(bench);
      expect(await bench.restore(message)).toMatchObject({ lost: [], outputs: 3 });
      for (const [output, buffer, rect] of parts) expectPart(bench, output, buffer, rect);
      expect(bench.host.device.screenshot(2)).toBeNull();
    }
    // And goes on from there: a flip, a pan, damage.
    await bench.run(gpu.output(0).show(wide, { x: 0, y: 0, width: 64, height: 48 }));
    paint(wide, 123);
    await bench.run(wide.flush());
    expectPart(bench, 0, wide, { x: 0, y: 0, width: 64, height: 48 });
    expectPart(bench, 1, wide, wide.bounds);
    bench.expectNoErrors();
  });

  it.each(SLEEPS)(
    "R-39 (b) that is off stays off, also one that was on before: %s",
    async (_, message, sleep, options) => {
      const bench = await DriverBench.start({ device: WALL, ...options });
      const shown = await bench.show(0, 64, 48);
      const gone = await bench.show(1, 64, 48);
      await bench.show(3, 32, 32);
      await bench.run(bench.gpu.output(1).disable());
      gone.destroy();
      await sleep(bench);
      // One more goes while nobody is there to be told.
      const off = bench.gpu.output(3).disable();
      expect(await bench.restore(message)).toMatchObject({ lost: [], outputs: 1 });
      await bench.run(off);
      bench.expectShown(0, shown);
      for (const dark of [1, 2, 3]) expect(bench.host.device.screenshot(dark), `output ${dark}`).toBeNull();
      expect(bench.host.device.save().scanouts.map((scanout) => scanout !== null)).toEqual([true, false, false, false]);
      await bench.hibernate();
      for (const dark of [1, 2, 3]) expect(bench.host.device.screenshot(dark), `output ${dark}`).toBeNull();
      bench.expectNoErrors();
    },
  );

  it.each(["drops", "keeps"] as const)(
    "R-39 (b) that a boot kernel's driver lit meanwhile is made dark, on a host that %s resources over a reset",
    async (variant) => {
      const bench = await DriverBench.start({ device: WALL, variant });
      const shown = await bench.show(0, 64, 48);
      await bench.freeze();
      const boot = await bench.run(bench.machine.startBootDriver());
      for (const scanoutId of [0, 1, 3]) {
        const picture = { scanoutId, resourceId: 900 + scanoutId, width: 32, height: 32, colour: 0xff_ff_ff };
        await bench.run(boot.lightUp(picture));
      }
      expect(bench.host.device.screenshot(1)).not.toBeNull();
      expect(await bench.restore()).toMatchObject({ lost: [], outputs: 1 });
      bench.expectShown(0, shown);
      for (const dark of [1, 2, 3]) expect(bench.host.device.screenshot(dark), `output ${dark}`).toBeNull();
      bench.expectNoErrors();
    },
  );

  it.each(["drops", "keeps"] as const)(
    "R-39 (b) loses the cursor that a boot kernel's driver left there, on a host that %s resources over a reset",
    async (variant) => {
      const bench = await DriverBench.start({ device: WALL, variant });
      await bench.show(0, 64, 48);
      const arrow = await bench.buffer(64, 64);
      await bench.run(bench.gpu.output(0).cursor.set(arrow));
      await bench.freeze();
      await pointEverywhere(bench, await bench.run(bench.machine.startBootDriver()), 900);
      expect(visibleCursors(bench)).toEqual([true, true, true, true]);
      const { count } = bench.host.commands;
      expect(await bench.restore()).toMatchObject({ lost: [] });
      await bench.machine.clock.settle();
      expect(visibleCursors(bench)).toEqual([true, false, false, false]);
      // One command a cursor is all that it costs.
      const types = bench.host.commands.log(count).map(({ type }) => type);
      expect(types.filter((type) => type === GpuCommand.UPDATE_CURSOR)).toHaveLength(WALL.outputs?.length ?? 0);
      bench.expectNoErrors();
    },
  );

  it("R-39 (b) loses the firmware's cursor once a host proves to keep things", async () => {
    const bench = new DriverBench({ device: WALL, variant: "keeps" });
    await pointEverywhere(bench, await bench.run(bench.machine.startBootDriver()), 1);
    await bench.probe();
    await bench.show(1, 64, 48);
    await bench.machine.clock.settle();
    expect(visibleCursors(bench)).toEqual([false, false, false, false]);
  });

  it("R-39 (c) belongs to the layout that there was: one desktop over several monitors, seeded moves, many sleeps", async () => {
    const bench = await DriverBench.start({ device: WALL });
    const random = new SeededRandom(39);
    const desktop = await bench.buffer(192, 96);
    const other = await bench.buffer(64, 48, { storage: "blob" });
    const layout = new Map<number, readonly [GpuBuffer, Rect]>();
    for (let round = 0; round < 12; round += 1) {
      for (const output of [0, 1, 3]) {
        const what = random.below(4);
        if (what === 0) {
          layout.delete(output);
          await bench.run(bench.gpu.output(output).disable());
        } else {
          const place = { x: 16 * random.below(9), y: 8 * random.below(7), width: 48, height: 48 };
          const [buffer, rect] = what === 1 ? [other, other.bounds] : [desktop, place];
          layout.set(output, [buffer, rect]);
          await bench.run(bench.gpu.output(output).show(buffer, rect));
        }
      }
      const report = await bench.hibernate();
      expect(report).toMatchObject({ lost: [], outputs: layout.size });
      for (const output of [0, 1, 2, 3]) {
        const [buffer, rect] = layout.get(output) ?? [];
        if (buffer === undefined || rect === undefined) expect(bench.host.device.screenshot(output)).toBeNull();
        else expectPart(bench, output, buffer, rect);
      }
    }
    bench.expectNoErrors();
  });

  it("R-39 (c) keeps its cursor, each where it was", async () => {
    const bench = await DriverBench.start({ device: WALL });
    const arrow = await bench.buffer(64, 64);
    for (const output of [0, 1, 3]) {
      await bench.show(output, 64, 48);
      await bench.run(bench.gpu.output(output).cursor.set(arrow, { x: output, y: output + 1 }));
      await bench.run(bench.gpu.output(output).cursor.move(10 * output, 7));
    }
    await bench.run(bench.gpu.output(1).cursor.hide());
    await bench.hibernate();
    const cursors = bench.host.device
      .save()
      .cursors.map(({ visible, x, y, hotX, hotY }) => [visible, x, y, hotX, hotY]);
    expect(cursors[0]).toEqual([true, 0, 7, 0, 1]);
    expect(cursors[1]?.[0]).toBe(false);
    expect(cursors[3]).toEqual([true, 30, 7, 3, 4]);
    bench.expectNoErrors();
  });

  it("R-39 (c) has what was swapped before, sleep after sleep", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
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

const HEADLESS: RegisterLies = { config: (offset, real) => (offset === GpuConfig.NUM_SCANOUTS ? 0 : real) };

describe("a device without outputs", () => {
  const start = async (options: BenchOptions = {}): Promise<DriverBench> =>
    DriverBench.start({ device: SCENE_DEVICE, ...options, faults: { lies: HEADLESS } });

  it.each(SLEEPS)(
    "R-36 sleeps and comes back, objects of every kind and all: %s",
    async (_, message, sleep, options) => {
      const bench = await start(options);
      const { gpu } = bench;
      expect(gpu.outputs).toEqual([]);
      const image = await bench.buffer(48, 16);
      const detached = await bench.buffer(16, 16);
      await bench.run(detached.detach());
      const blob = await bench.buffer(16, 16, { storage: "blob" });
      const exporter = new FakeExporter(bench, "lent", 1024);
      await bench.run(gpu.importBuffer(exporter, { width: 16, height: 16 }));
      await bench.run(blob.uuid());
      for (let round = 0; round < 2; round += 1) {
        await sleep(bench);
        expect(await bench.restore(message)).toMatchObject({ restored: 4, lost: [], outputs: 0 });
        expectHeld(bench, image);
        expectHeld(bench, detached);
        expect(exporter.mapped).toBe(1);
      }
      paint(image, 50);
      await bench.run(image.flush());
      expectHeld(bench, image);
      expect(gpu.state).toBe("running");
      await bench.run(gpu.remove());
      bench.machine.allocator.assertNoLeak([exporter.pages]);
      bench.expectNoErrors();
      bench.machine.assertClean();
    },
  );

  it("R-36 refuses to show, leaves nothing behind, and sleeps all the same", async () => {
    const bench = await start();
    const { gpu } = bench;
    const image = await bench.buffer(64, 64);
    const { allocatedBytes } = bench.machine.allocator;
    for (const use of [
      () => gpu.output(0).show(image),
      () => gpu.output(15).show(image),
      () => gpu.output(0).cursor.set(image),
      () => gpu.createConsole(gpu.output(0)),
    ]) {
      await expect(bench.run<unknown>(use())).rejects.toMatchObject({ code: "ENODEV" });
    }
    await bench.machine.clock.advance(10);
    expect(bench.machine.allocator.allocatedBytes).toBe(allocatedBytes);
    await bench.run(image.flush());
    await bench.run(gpu.output(0).disable());
    await bench.run(gpu.output(0).cursor.hide());
    // A device with nothing to show may still say that displays changed.
    bench.host.device.setOutput(0, null);
    await bench.freeze();
    await bench.restore();
    await bench.freeze("HIBERNATE");
    bench.expectNoErrors();
  });

  it("R-36 may have outputs on its next host, and lose them on the one after that", async () => {
    const bench = await start();
    const events: HotplugEvent[] = [];
    bench.gpu.onHotplug((event) => events.push(event));
    const told = (): unknown[] =>
      events.splice(0).flatMap(({ changes }) => changes.map(({ output, kinds }) => [output, ...kinds]));
    await moveTo(bench, SCENE_DEVICE);
    expect(told()).toEqual([
      [0, "connected"],
      [1, "connected"],
    ]);
    const scene = await drawScene(bench);
    const report = await moveTo(bench, SCENE_DEVICE, HEADLESS);
    expect(report.lost.map(({ object }) => object)).toEqual(["output 0", "output 1", "cursor 0"]);
    expect(told()).toEqual([
      [0, "disconnected"],
      [1, "disconnected"],
    ]);
    expectHeld(bench, scene.left);
    paint(scene.left, 44);
    await bench.run(scene.left.flush());
    expect(await moveTo(bench, SCENE_DEVICE)).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

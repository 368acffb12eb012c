/**
 * R-11 (d): hybrid sleep that loses its power. The image is written, the machine goes to S3, and never wakes: the next boot
 * starts from the image, on hosts that know nothing, and what was done since the snapshot never happened.
 */
import { describe, expect, it } from "vitest";
import { type SavedState, VirtioGpu } from "../../src/driver/index.ts";
import type { SimHost } from "../../src/sim/sim-host.ts";
import type { RamImage } from "../../src/sim/sim-machine.ts";
import { SimPlatform } from "../../src/sim/sim-platform.ts";
import { SystemSleep, type Wake } from "../../src/sleep/index.ts";
import { Format } from "../../src/wire/index.ts";
import { type BenchOptions, DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";
import { type MachineCall, WatchedPlatform } from "../support/sleeping-machine.ts";

const COMMON: BenchOptions = { ramBytes: 2 << 20, device: SCENE_DEVICE };
const DEVICES: readonly (readonly [string, BenchOptions])[] = [
  ["forgets in S3", { ...COMMON, transport: "pci", features: { suspend: false } }],
  ["has No_Soft_Reset", { ...COMMON, transport: "pci", pci: { noSoftReset: true }, features: { suspend: false } }],
  ["has VIRTIO_F_SUSPEND", COMMON],
];

/** All that outlives the power. */
interface Image {
  readonly ram: RamImage;
  readonly state: unknown;
}

/** Pictures, cursors, and what every resource holds. */
function heldBy({ device }: SimHost): unknown {
  const { cursors, resources } = device.save();
  const shots = device.outputs.map((_, output) => device.screenshot(output));
  const held = resources
    .map(({ id, kind, format, width, height, pixels, entries }) => {
      return { id, kind, format, width, height, pixels, isAttached: entries.length > 0 };
    })
    .sort((a, b) => a.id - b.id);
  return JSON.stringify([shots, cursors, held], (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value,
  );
}

async function draw(bench: DriverBench): Promise<void> {
  await bench.show(0, 64, 48);
  await bench.show(1, 32, 32, { storage: "blob", format: Format.R8G8B8X8 });
  const arrow = await bench.buffer(64, 64, { format: Format.B8G8R8A8 });
  await bench.run(bench.gpu.output(0).cursor.set(arrow, { x: 5, y: 7 }));
  await bench.run(bench.gpu.output(0).cursor.move(-3, 10));
  const detached = await bench.buffer(32, 32);
  await bench.run(detached.detach());
}

function sleepOn(bench: DriverBench, platform: SimPlatform | WatchedPlatform): SystemSleep {
  const { clock, recorder: tracer } = bench.machine;
  const sleep = new SystemSleep({ platform, clock, tracer });
  bench.gpu.register(sleep);
  return sleep;
}

/** Begins a hybrid sleep and cuts the power just before `cut`, once the image is written. Null: it ended before that. */
async function powerLost(bench: DriverBench, cut: MachineCall): Promise<Image> {
  const { machine } = bench;
  const platform = new WatchedPlatform(machine);
  let image: Image | null = null;
  platform.after.set("snapshot", () => {
    const state: SavedState = JSON.parse(JSON.stringify(bench.gpu.save()));
    image = { ram: machine.snapshot(), state };
  });
  const dark = new Promise<void>((resolve) => {
    platform.before.set(cut, () => {
      if (!platform.calls.includes("write-image")) return;
      machine.powerOff();
      resolve();
      return new Promise<void>(() => {});
    });
  });
  void sleepOn(bench, platform).hibernate({ mode: "suspend" });
  await bench.run(dark);
  if (image === null) throw new Error("no image was taken");
  return image;
}

/** The calls from the written image to the end of the sleep, as long as the image is there. */
async function callsAfterImage(options: BenchOptions): Promise<readonly MachineCall[]> {
  const bench = await DriverBench.start(options);
  const platform = new WatchedPlatform(bench.machine);
  const result = await bench.run(sleepOn(bench, platform).hibernate({ mode: "suspend" }));
  expect(result).toMatchObject({ outcome: "woken", failures: [] });
  const { calls } = platform;
  return [...new Set(calls.slice(calls.indexOf("write-image") + 1, calls.indexOf("discard-image") + 1))];
}

describe("hybrid sleep without a wake", () => {
  it.each(DEVICES)("R-11 (d) a new process has everything from the image: the device %s", async (_, options) => {
    const cuts = await callsAfterImage(options);
    expect(cuts).toContain("enter mem");
    // Every moment once; where the devices differ for each kind.
    const isWhole = options.transport === undefined;
    for (const cut of isWhole ? cuts : (["enter mem", "undo noirq"] as const)) {
      const bench = await DriverBench.start(options);
      await draw(bench);
      const before = heldBy(bench.host);
      const image = await powerLost(bench, cut);
      const next = new DriverBench({ ...options, image: image.ram, seed: 2 });
      next.gpu = VirtioGpu.load(next.gpuOptions(), image.state);
      const result = await next.run(sleepOn(next, new WatchedPlatform(next.machine)).continueFromImage());
      await next.run(result.complete);
      expect(result, cut).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
      expect(heldBy(next.host) === before, `what the host has after a cut at ${cut}`).toBe(true);
      next.expectNoErrors();
      next.machine.assertClean();
    }
  });

  it.each(DEVICES)("R-11 (d) the same process, asleep in S3, has everything: the device %s", async (_, options) => {
    const bench = await DriverBench.start(options);
    const { machine } = bench;
    const scene = await drawScene(bench);
    for (let night = 0; night < 2; night += 1) {
      let darken = (): void => {};
      const dark = new Promise<void>((resolve) => (darken = resolve));
      const platform = new (class extends SimPlatform {
        override enterSleep(): Promise<Wake> {
          machine.powerOff();
          darken();
          return new Promise(() => {});
        }
      })(machine, { moveFrames: false });
      void sleepOn(bench, platform).hibernate({ mode: "suspend" });
      await bench.run(dark);
      expect(bench.gpu.state).toBe(options.features?.suspend === false && !options.pci ? "frozen" : "suspended");
      platform.bootFromImage();
      const result = await bench.run(sleepOn(bench, platform).continueFromImage());
      await bench.run(result.complete);
      expect(result).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
      await expectScene(bench, scene);
      bench.expectNoErrors();
      machine.assertClean();
    }
  });
});

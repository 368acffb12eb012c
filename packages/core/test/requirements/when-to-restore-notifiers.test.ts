/** between PREPARE and POST, where vetoes fall and `/dev/snapshot` makes one image after another. */
import { describe, expect, it } from "vitest";
import type { PowerEvent } from "../../src/base/power.ts";
import { MemoryRenderer } from "../../src/device/index.ts";
import { type GpuBuffer, VirtioGpu } from "../../src/driver/index.ts";
import type { RamImage } from "../../src/sim/sim-machine.ts";
import { idlePlatform, SystemSleep } from "../../src/sleep/index.ts";
import { DriverBench, paint, rgbaOf } from "../support/driver-bench.ts";
import { FakeExporter, SCENE_DEVICE, expectHeld } from "../support/scene.ts";
import { SleepingMachine } from "../support/sleeping-machine.ts";

/** Otherwise S3 loses nothing, and nobody has a reason to object. */
const FORGETS = { suspend: false };
const TEXTURE = {
  target: 2,
  format: 1,
  bind: 2,
  width: 16,
  height: 16,
  depth: 1,
  arraySize: 1,
  lastLevel: 0,
  sampleCount: 0,
  flags: 0,
};

/** Somebody on the chain besides drivers, who objects or not. */
class Bystander {
  readonly name: string;
  objects = false;
  readonly heard: PowerEvent[] = [];

  constructor(name: string) {
    this.name = name;
  }

  async notify(event: PowerEvent): Promise<void> {
    if (this.objects && event.endsWith("PREPARE")) throw new Error(`${this.name} objects`);
    this.heard.push(event);
  }
}

/** A GPU with an object that no sleep brings back, which objects by its policy. */
async function addObjector(bench: DriverBench, gpu: VirtioGpu): Promise<() => void> {
  const context = await bench.run(gpu.rendering.createContext({ holder: "a game" }));
  const resource = await bench.run(gpu.rendering.createResource(context, TEXTURE, { holder: "a game" }));
  return () => {
    resource.destroy();
    context.destroy();
  };
}

describe("vetoes", () => {
  /** Chain of four: a bystander, two GPUs, a bystander. */
  async function chainOfFour() {
    const device = (): object => ({ ...SCENE_DEVICE, renderer: new MemoryRenderer() });
    const system = await SleepingMachine.start({ ramBytes: 8 << 20, device: device(), features: FORGETS });
    const { bench, gpu: first } = system;
    const { gpu: second, host } = await system.addGpu({ device: device(), features: FORGETS });
    const early = new Bystander("early");
    const late = new Bystander("late");
    system.sleep.subscribe(early, 1);
    system.sleep.subscribe(late, -1);
    const destroy = [await addObjector(bench, first), await addObjector(bench, second)];
    const objectors: readonly ((objects: boolean) => void)[] = [
      (objects) => (early.objects = objects),
      (objects) => (first.policy = objects ? "veto" : "lose"),
      (objects) => (second.policy = objects ? "veto" : "lose"),
      (objects) => (late.objects = objects),
    ];
    return { system, first, second, host, early, late, destroy, objectors };
  }

  it.each(["HIBERNATION", "SUSPEND"] as const)(
    "R-14 no interleaving of vetoes of %s leaves a residue",
    async (what) => {
      const { system, first, second, early, late, destroy, objectors } = await chainOfFour();
      const { bench, sleep } = system;
      const sleepOnce = () =>
        system.run(what === "SUSPEND" ? sleep.suspend("mem") : sleep.hibernate({ mode: "test_resume" }));
      let bytes = 0;
      for (let objecting = 1; objecting < 16; objecting += 1) {
        objectors.forEach((set, index) => set((objecting & (1 << index)) !== 0));
        const { count } = system.host.commands;
        const result = await sleepOnce();
        expect(result.outcome).toBe("aborted");
        const vetoer = [1, 2, 4, 8].findIndex((bit) => (objecting & bit) !== 0);
        expect(result.failures[0]?.device).toBe(["early", first.label, second.label, "late"][vetoer]);
        // Told are those before the one who objected, and each hears exactly its POST; no device was touched.
        expect(early.heard.splice(0)).toEqual(vetoer === 0 ? [] : [`${what}_PREPARE`, `POST_${what}`]);
        expect(late.heard.splice(0)).toEqual([]);
        expect(system.commandsSince(count)).toEqual([]);
        expect(system.platform.calls.filter((call) => call !== "filesystems")).toEqual([]);
        for (const gpu of [first, second]) (await addObjector(bench, gpu))();
        await bench.machine.clock.settle();
        if (objecting === 2) bytes = bench.machine.allocator.allocatedBytes;
        if (objecting > 2) expect(bench.machine.allocator.allocatedBytes).toBe(bytes);
      }
      for (const objector of objectors) objector(false);
      for (const each of destroy) each();
      first.policy = "veto";
      second.policy = "veto";
      await system.expectWhole(await sleepOnce(), what === "SUSPEND" ? "woken" : "resumed");
      expect(late.heard.splice(0)).toEqual([`${what}_PREPARE`, `POST_${what}`]);
    },
  );

  it("R-14 a driver that waits for its users in vain objects by itself, with their names", async () => {
    const { system, first, second, early, destroy, objectors } = await chainOfFour();
    for (const objector of objectors) objector(false);
    second.policy = "wait";
    const result = await system.goDown("platform");
    expect(result.outcome).toBe("aborted");
    expect(result.failures[0]?.error).toMatchObject({ code: "EPERM", holders: ["a game"] });
    expect(early.heard).toEqual(["HIBERNATION_PREPARE", "POST_HIBERNATION"]);
    for (const each of destroy) each();
    first.policy = "veto";
    await system.expectWhole(await system.goDown("test_resume"), "resumed");
  });

  it("R-14 a veto at the opening of /dev/snapshot leaves it closed and the gate open", async () => {
    const { system, first, early, late, destroy, objectors } = await chainOfFour();
    for (const objector of objectors) objector(false);
    late.objects = true;
    await expect(system.bench.run(system.sleep.openSnapshotDevice("read"))).rejects.toThrow("late objects");
    expect(early.heard.splice(0)).toEqual(["HIBERNATION_PREPARE", "POST_HIBERNATION"]);
    (await addObjector(system.bench, first))();
    late.objects = false;
    const device = await system.bench.run(system.sleep.openSnapshotDevice("read"));
    await expect(system.bench.run(first.rendering.createContext())).resolves.toBeDefined();
    await expect(addObjector(system.bench, first)).rejects.toMatchObject({ code: "EBUSY" });
    await system.run(device.close());
    for (const each of destroy) each();
    await system.expectWhole(await system.suspend("mem"), "woken");
  });
});

describe("/dev/snapshot", () => {
  it("R-15 a second image of one PREPARE restores everything", async () => {
    const system = await SleepingMachine.start();
    const { bench, platform, gpu } = system;
    const device = await bench.run(system.sleep.openSnapshotDevice("read"));
    await system.run(device.freeze());
    expect((await system.run(device.createImage())).outcome).toBe("snapshotted");
    await system.run(device.free());
    await system.run(device.unfreeze());
    // User space is alive, and draws.
    await system.expectIntact("open");
    paint(system.scene.left, 50);
    await bench.run(system.scene.left.flush());
    const fresh = await bench.buffer(40, 20);
    const blob = await bench.buffer(32, 16, { storage: "blob" });
    await system.run(device.freeze());
    platform.reboot = () => {};
    expect(await system.run(device.createImage())).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
    platform.reboot = null;
    expect(system.host.lives).toBe(2);
    expectHeld(bench, fresh);
    expect(bench.host.device.save().resources.find(({ id }) => id === blob.id)?.entries).not.toEqual([]);
    fresh.destroy();
    blob.destroy();
    await system.run(device.unfreeze());
    await system.expectWhole(await system.run(device.close()), "done");
    expect(gpu.state).toBe("running");
    // And the next hibernation is not confused by any of it.
    await system.expectWhole(await system.hibernate(), "resumed");
  });

  it("R-15 third and later images do too, also after a failed one", async () => {
    const system = await SleepingMachine.start();
    const { bench, platform } = system;
    const device = await bench.run(system.sleep.openSnapshotDevice("read"));
    for (const fails of [false, true, false]) {
      await system.run(device.freeze());
      if (fails) platform.fail("snapshot");
      expect((await system.run(device.createImage())).outcome).toBe(fails ? "aborted" : "snapshotted");
      platform.faults.clear();
      if (!fails) await system.run(device.free());
      await system.run(device.unfreeze());
    }
    await system.run(device.freeze());
    platform.reboot = () => {};
    expect((await system.run(device.createImage())).outcome).toBe("resumed");
    await system.run(device.unfreeze());
    await system.expectWhole(await system.run(device.close()), "done");
  });

  it("R-15 a new process restores the second image, with the pixels that it was taken with", async () => {
    const options = { ramBytes: 4 << 20, device: SCENE_DEVICE };
    const bench = await DriverBench.start(options);
    const show = async (output: number, key: string, storage: "image" | "blob"): Promise<GpuBuffer> => {
      const buffer = await bench.buffer(32, 32, { key, storage });
      await bench.run(bench.gpu.output(output).show(buffer));
      return buffer;
    };
    const left = await show(0, "left", "image");
    const right = await show(1, "right", "blob");
    const lent = new FakeExporter(bench, "lent", 32 * 32 * 4);
    lent.paint(9);
    await bench.run(bench.gpu.importBuffer(lent, { width: 32, height: 32, key: "imported" }));
    const taken: { ram: RamImage; state: unknown }[] = [];
    const platform = {
      ...idlePlatform,
      snapshot: async (): Promise<"snapshotted"> => {
        taken.push({ ram: bench.machine.snapshot(), state: JSON.parse(JSON.stringify(bench.gpu.save())) });
        return "snapshotted";
      },
    };
    const { clock, recorder: tracer } = bench.machine;
    const sleep = new SystemSleep({ platform, clock, tracer });
    bench.gpu.register(sleep);
    const device = await bench.run(sleep.openSnapshotDevice("read"));
    for (let image = 0; image < 2; image += 1) {
      await bench.run(device.freeze());
      await bench.run(device.createImage());
      if (image === 1) break;
      await bench.run(device.free());
      await bench.run(device.unfreeze());
      paint(left, 70);
      await bench.run(left.flush());
      await bench.buffer(48, 16, { key: "between" });
    }
    const wanted = [rgbaOf(left), rgbaOf(right)];
    // What comes after the image is not in it.
    paint(left, 71);
    await bench.run(left.flush());
    bench.machine.powerOff();

    const [, second] = taken;
    if (second === undefined) throw new Error("no second image was taken");
    const next = new DriverBench({ ...options, image: second.ram });
    next.gpu = VirtioGpu.load(next.gpuOptions(), second.state);
    const nextLent = new FakeExporter(next, "lent", 32 * 32 * 4);
    nextLent.paint(9);
    const clients = [next.gpu.power];
    const nextSleep = new SystemSleep({ platform: idlePlatform, clock: next.machine.clock, tracer, clients });
    const resumed = await next.run(nextSleep.continueSnapshotDevice());
    expect(resumed.opened).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
    const [report] = await next.run(resumed.opened.complete);
    expect(report?.report?.lost.map(({ reason }) => reason)).toEqual(["its import was not claimed"]);
    const imported = next.gpu.adopt("imported", nextLent);
    await next.run(imported.flush());
    await next.run(resumed.unfreeze());
    await next.run(resumed.close());
    next.expectShown(0, next.gpu.adopt("left"));
    next.expectShown(1, next.gpu.adopt("right"));
    expectHeld(next, next.gpu.adopt("between"));
    [0, 1].forEach((output) => {
      const shown = next.host.device.screenshot(output)?.rgba ?? new Uint8Array();
      expect(Buffer.compare(shown, wanted[output] ?? new Uint8Array())).toBe(0);
    });
    next.expectNoErrors();
    next.machine.assertClean();
  });
});

/** Lifetimes: objects freed at any moment of a sleep, memory pressure, a thousand cycles, final failures, removal, two GPUs. */
import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import type { PowerClient } from "../../src/base/power.ts";
import { VirtioGpu } from "../../src/driver/index.ts";
import { GpuCommand } from "../../src/wire/index.ts";
import { DriverBench, paint } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";

describe("freeing during a sleep", () => {
  async function commandsOf(): Promise<number> {
    const bench = await DriverBench.start({ device: SCENE_DEVICE, watchDma: false });
    await drawScene(bench);
    const before = bench.host.commands.count;
    await bench.hibernate();
    return bench.host.commands.count - before;
  }

  it.each(["offScreen", "left", "cursor", "blob", "imported"] as const)(
    "R-31 %s freed at any command of freeze and restore: at most one UNREF in each life of the host, and nothing left",
    async (part) => {
      const commands = await commandsOf();
      for (let k = 1; k <= commands; k += 1) {
        const bench = await DriverBench.start({ device: SCENE_DEVICE, watchDma: false });
        const scene = await drawScene(bench);
        const victim = scene[part];
        bench.host.commands.inject({ at: k, effect: { kind: "call", run: () => victim.destroy() } });
        const since = bench.host.commands.count;
        await bench.freeze();
        const frozen = bench.host.commands.count;
        bench.replaceHost();
        await bench.restore();
        await bench.machine.clock.advance(10);
        const unrefs = (from: number, to: number): number => {
          return bench.host.commands.log(from).filter(({ type, resourceId, sequence }) => {
            return sequence <= to && type === GpuCommand.RESOURCE_UNREF && resourceId === victim.id;
          }).length;
        };
        expect(unrefs(since, frozen), `freeze, command ${k}`).toBe(1);
        const created = bench.host.commands.log(frozen).some(({ type, resourceId }) => {
          const isCreate = type === GpuCommand.RESOURCE_CREATE_2D || type === GpuCommand.RESOURCE_CREATE_BLOB;
          return isCreate && resourceId === victim.id;
        });
        expect(unrefs(frozen, Infinity), `restore, command ${k}`).toBe(created ? 1 : 0);
        expect(bench.host.device.save().resources.map(({ id }) => id)).not.toContain(victim.id);
        bench.expectNoErrors();
      }
    },
  );

  it("R-31 one freed while frozen is not brought back", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.freeze();
    const bytes = bench.machine.allocator.allocatedBytes;
    scene.offScreen.destroy();
    expect(bench.machine.allocator.allocatedBytes).toBeLessThan(bytes);
    bench.replaceHost();
    await bench.restore();
    expect(bench.host.device.save().resources.map(({ id }) => id)).not.toContain(scene.offScreen.id);
    bench.expectNoErrors();
  });
});

describe("a thaw under memory pressure", () => {
  it("R-40 (a) allocates nothing, however many objects there are", async () => {
    for (const count of [1, 300]) {
      const bench = await DriverBench.start({ watchDma: false });
      for (let index = 0; index < count; index += 1) await bench.buffer(16, 16);
      await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
      await bench.freeze();
      const before = bench.machine.allocator.attempts;
      await bench.restore("THAW");
      expect(bench.machine.allocator.attempts - before).toBe(0);
    }
  });

  it("R-40 (b) succeeds although every allocation fails from PREPARE on", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    bench.machine.allocator.failAt(1, Infinity);
    await bench.freeze();
    expect(await bench.restore("THAW")).toMatchObject({ lost: [], outputs: 2 });
    await bench.freeze("HIBERNATE");
    bench.replaceHost();
    expect(await bench.restore()).toMatchObject({ lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-40 (b) a mapping that fails at the k-th step loses at most its own object, and only until there is room", async () => {
    for (let k = 1; k <= 10; k += 1) {
      const bench = await DriverBench.start({ device: SCENE_DEVICE });
      const scene = await drawScene(bench);
      await bench.freeze();
      bench.machine.dma.failAt(k);
      bench.replaceHost();
      const { picture, complete } = bench.gpu.power.restore("THAW");
      await bench.run(Promise.allSettled([picture, complete]));
      if (bench.gpu.state !== "running") await bench.run(bench.gpu.recover());
      await bench.machine.clock.advance(5000);
      await bench.hibernate();
      await expectScene(bench, scene);
      bench.expectNoErrors();
    }
  });
});

describe("many cycles", () => {
  it("R-42 1,000 cycles of freeze, thaw, freeze, restore leave nothing behind on either side", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE, watchDma: false, poison: false });
    const scene = await drawScene(bench);
    await bench.hibernate();
    const measure = (): unknown => ({
      guest: bench.machine.allocator.allocatedBytes,
      mapped: bench.machine.dma.mapped.length,
      host: bench.host.device.usage,
      ids: bench.gpu.save().nextResourceId,
      exporter: scene.exporter.mapped,
    });
    const before = measure();
    for (let round = 0; round < 1000; round += 1) {
      await bench.freeze("FREEZE");
      await bench.restore("THAW");
      await bench.freeze("HIBERNATE");
      bench.replaceHost();
      await bench.restore("RESTORE");
      if (round % 100 === 0) bench.host.log.clear();
    }
    expect(measure()).toEqual(before);
    await expectScene(bench, scene);
    bench.expectNoErrors();
  }, 240_000);
});

describe("the final failure of a restore", () => {
  async function lost() {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    await bench.freeze();
    bench.replaceHost();
    // Whatever is written, the status never reads 0.
    bench.host.transport.faults.lies = { status: () => 15 };
    const waiting = bench.gpu.output(0).show(scene.offScreen);
    waiting.catch(() => {});
    const { picture, complete } = bench.gpu.power.restore("RESTORE");
    const [pictured, completed] = await bench.run(Promise.allSettled([picture, complete]));
    return { bench, scene, waiting, pictured, completed };
  }

  it("R-46 (a) ends every wait with an error", async () => {
    const { waiting, pictured, completed, bench } = await lost();
    expect([pictured.status, completed.status]).toEqual(["rejected", "rejected"]);
    await expect(bench.run(waiting)).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(bench.gpu.createBuffer({ width: 8, height: 8 })).rejects.toBeInstanceOf(GpuError);
  });

  it("R-46 (b) is reported: the device is lost, and why", async () => {
    const { bench } = await lost();
    expect(bench.gpu.state).toBe("lost");
    expect(bench.gpu.error).toMatchObject({ code: "ETIMEDOUT", device: "gpu0" });
  });

  it("R-46 (c) is mended by a later reset, without a new driver, and by a new driver too", async () => {
    const { bench, scene } = await lost();
    bench.host.transport.faults.lies = {};
    await bench.run(bench.gpu.recover());
    await bench.run(bench.gpu.output(0).show(scene.left));
    await expectScene(bench, scene);
    const again = await lost();
    again.bench.host.transport.faults.lies = {};
    await again.bench.run(again.bench.gpu.remove());
    again.bench.gpu = await again.bench.run(VirtioGpu.probe(again.bench.gpuOptions()));
    again.bench.expectShown(0, await again.bench.show(0, 64, 48));
  });
});

describe("removal", () => {
  it("R-47 (a) while frozen, the device still there or gone, leaks nothing and crashes nothing", async () => {
    for (const isGone of [false, true]) {
      const bench = await DriverBench.start({ device: SCENE_DEVICE });
      const scene = await drawScene(bench);
      await bench.freeze();
      if (isGone) bench.host.kill();
      await bench.run(bench.gpu.remove());
      expect(bench.gpu.state).toBe("removed");
      expect(bench.machine.allocator.allocatedBytes).toBe(scene.exporter.pages.byteLength);
      await expect(bench.run(bench.gpu.power.restore("RESTORE").picture)).rejects.toMatchObject({ code: "ENODEV" });
      expect(() => scene.left.read(0, new Uint8Array(4))).toThrow(expect.objectContaining({ code: "ENODEV" }));
    }
  });

  it("R-47 (a) at any command of a freeze or restore ends every wait", async () => {
    for (let k = 1; k <= 34; k += 1) {
      const bench = await DriverBench.start({ device: SCENE_DEVICE, watchDma: false });
      const scene = await drawScene(bench);
      let removed: Promise<void> = Promise.resolve();
      const run = (): void => {
        removed = bench.gpu.remove();
      };
      bench.host.commands.inject({ at: k, effect: { kind: "call", run } });
      await bench.run(Promise.allSettled([bench.gpu.power.freeze("FREEZE")]));
      if (bench.gpu.state === "frozen") {
        bench.replaceHost();
        const { picture, complete } = bench.gpu.power.restore("RESTORE");
        await bench.run(Promise.allSettled([picture, complete]));
      }
      await bench.run(removed);
      await bench.run(bench.gpu.remove());
      expect(bench.gpu.state).toBe("removed");
      expect(bench.machine.allocator.allocatedBytes, `command ${k}`).toBe(scene.exporter.pages.byteLength);
      expect(scene.exporter.mapped).toBe(0);
    }
  });

  it("R-47 (b) between PREPARE and POST takes the notifier away first", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    await drawScene(bench);
    const order: string[] = [];
    const clients = new Set<PowerClient>();
    bench.gpu.register({
      register: (client) => {
        clients.add(client);
        return () => {
          order.push("notifier gone");
          clients.delete(client);
        };
      },
    });
    bench.gpu.onState((state) => order.push(state));
    for (const client of clients) await bench.run(client.notify("HIBERNATION_PREPARE"));
    await bench.run(bench.gpu.remove());
    for (const client of clients) await bench.run(client.notify("POST_HIBERNATION"));
    expect(order).toEqual(["notifier gone", "removed"]);
    expect(clients.size).toBe(0);
  });
});

describe("several devices", () => {
  async function two() {
    const bench = await DriverBench.start({ label: "0000:00:02.0" });
    const other = bench.machine.addHost({ label: "0000:00:03.0" });
    const gpu = await bench.run(VirtioGpu.probe(bench.gpuOptions(other)));
    return { bench, other, gpu };
  }

  it("R-48 (a) every message, and every error, names its device", async () => {
    const { bench, other, gpu } = await two();
    other.commands.inject({ times: Infinity, effect: { kind: "hang" } });
    await expect(bench.run(gpu.createBuffer({ width: 8, height: 8 }))).rejects.toThrow(/^0000:00:03\.0: /);
    await expect(bench.run(gpu.power.freeze("FREEZE"))).rejects.toThrow(/^0000:00:03\.0: /);
    other.kill();
    await bench.machine.clock.advance(20_000);
    await expect(gpu.createBuffer({ width: 8, height: 8 })).rejects.toThrow(/^0000:00:03\.0: /);
    const messages = bench.machine.recorder.render({ kinds: ["message"] }).split("\n");
    expect(messages.length).toBeGreaterThan(1);
    for (const message of messages) expect(message).toContain("0000:00:03.0");
  });

  it("R-48 (b) two GPUs hibernate independently: one that fails does not disturb the other", async () => {
    const { bench, other, gpu } = await two();
    const mine = await bench.show(0, 64, 48);
    const theirs = await bench.run(gpu.createBuffer({ width: 48, height: 64 }));
    paint(theirs, 5);
    await bench.run(gpu.output(0).show(theirs));
    other.commands.inject({ times: Infinity, effect: { kind: "hang" } });
    await expect(bench.run(gpu.power.freeze("FREEZE"))).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await bench.hibernate();
    bench.expectShown(0, mine);
    other.commands.clear();
    other.resume();
    await bench.machine.clock.advance(20_000);
    await bench.run(gpu.power.freeze("FREEZE"));
    other.kill();
    other.powerOn();
    await bench.run(gpu.power.restore("RESTORE").complete);
    const shot = other.device.screenshot(0);
    expect([shot?.width, shot?.height]).toEqual([48, 64]);
    bench.expectShown(0, mine);
  });
});

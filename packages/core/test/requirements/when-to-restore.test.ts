/** the driver in the real sleep code. Whatever the device lost is brought back, however it was lost. */
import { describe, expect, it } from "vitest";
import { MemoryRenderer } from "../../src/device/index.ts";
import type { SimHost } from "../../src/sim/sim-host.ts";
import type { SleepResult } from "../../src/sleep/index.ts";
import { GpuCommand, GpuReply, VirtioFeature } from "../../src/wire/index.ts";
import { commandName } from "../../src/wire/names.ts";
import { type BenchOptions, DriverBench, paint } from "../support/driver-bench.ts";
import { SCENE_DEVICE } from "../support/scene.ts";
import { SleepingMachine } from "../support/sleeping-machine.ts";

/** PCI without No_Soft_Reset, as a conventional bus or an old machine type has it, and no VIRTIO_F_SUSPEND either. */
const FORGETS: BenchOptions = { transport: "pci", features: { suspend: false } };
/** The same with No_Soft_Reset. */
const KEEPS: BenchOptions = { transport: "pci", pci: { noSoftReset: true }, features: { suspend: false } };
const MMIO: BenchOptions = { transport: "mmio", features: { suspend: false } };

/** Objects of the scene. */
const OBJECTS = 7;

/** The host was told to make every object anew since `count`. */
function expectRemade(system: SleepingMachine, count: number, times: number = 1): void {
  const creations = system.commandsSince(count).filter((name) => name.startsWith("RESOURCE_CREATE_"));
  expect(creations, "objects made anew").toHaveLength(times * OBJECTS);
}

describe("a device that forgets", () => {
  it("R-11 (a) S3 without No_Soft_Reset brings every resource back", async () => {
    const system = await SleepingMachine.start(FORGETS);
    for (let night = 0; night < 2; night += 1) {
      const { count } = system.host.commands;
      await system.expectWhole(await system.suspend("mem"), "woken");
      expectRemade(system, count);
    }
  });

  it("R-11 (b) s2idle on a device whose D3hot forgets brings every resource back", async () => {
    const system = await SleepingMachine.start(FORGETS);
    for (let night = 0; night < 2; night += 1) {
      const { count } = system.host.commands;
      await system.expectWhole(await system.suspend("s2idle"), "woken");
      expectRemade(system, count);
    }
  });

  const sleeps: readonly (readonly [string, SleepResult["outcome"], (s: SleepingMachine) => Promise<SleepResult>])[] = [
    ["S3", "woken", (system) => system.suspend("mem")],
    ["s2idle", "woken", (system) => system.suspend("s2idle")],
    ["hibernation", "resumed", (system) => system.hibernate()],
    ["hybrid sleep", "woken", (system) => system.goDown("suspend")],
    ["test_resume", "resumed", (system) => system.goDown("test_resume")],
  ];

  it.each(sleeps)("R-11 (c) %s on virtio-mmio brings every resource back", async (_, outcome, sleep) => {
    const system = await SleepingMachine.start(MMIO);
    await system.expectWhole(await sleep(system), outcome);
    await system.expectWhole(await sleep(system), outcome);
  });

  it("R-11 (c) an object that a sleep on virtio-mmio could not bring back stands in its way", async () => {
    const system = await SleepingMachine.start({
      ...MMIO,
      device: { ...SCENE_DEVICE, renderer: new MemoryRenderer() },
    });
    const context = await system.bench.run(system.gpu.rendering.createContext({ holder: "a game" }));
    await system.bench.run(context.submit(new Uint8Array(16)).then((fence) => fence.wait()));
    for (const target of ["mem", "s2idle"] as const) {
      const result = await system.suspend(target);
      expect(result.outcome).toBe("aborted");
      expect(result.failures[0]?.error).toMatchObject({ code: "EPERM", holders: ["a game"] });
    }
    expect(context.lost).toBeNull();
    await system.expectIntact();
  });

  it.each([
    ["PCI", FORGETS],
    ["MMIO", MMIO],
    ["a host that keeps resources over a reset", { ...FORGETS, variant: "keeps" } satisfies BenchOptions],
  ])("R-11 (d) the S3 leg of hybrid sleep brings every resource back on %s", async (_, options) => {
    const system = await SleepingMachine.start(options);
    const { count } = system.host.commands;
    const result = await system.goDown("suspend");
    expect(system.platform.calls).toContain("enter mem");
    expect(system.platform.calls.at(-1)).toBe("undo tasks");
    await system.expectWhole(result, "woken");
    // Once by the thaw, and once more by the wake.
    expectRemade(system, count, 2);
    // The image's one PREPARE was used up twice; the next sleep is as good as the first.
    await system.expectWhole(await system.suspend("mem"), "woken");
  });

  it("R-11 (e) a power-off that a wakeup event stops brings every resource back", async () => {
    const system = await SleepingMachine.start(FORGETS);
    const { platform } = system;
    // Before this device is put down, and right before the power would be cut.
    for (const moment of ["console", "cpus"] as const) {
      platform.after.set("write-image", () => {
        platform.wakeupFrom = moment;
        platform.calls.length = 0;
      });
      const result = await system.goDown("platform");
      expect(result.outcome).toBe("aborted");
      expect(result.failures[0]?.error.code).toBe("EBUSY");
      expect(platform.calls).toContain("discard-image");
      await system.expectIntact();
      platform.wakeupFrom = null;
    }
  });

  it("R-11 (e) a power-off that the firmware refuses brings every resource back", async () => {
    const system = await SleepingMachine.start(FORGETS);
    const { platform, host } = system;
    const { count } = host.commands;
    platform.fail("power-off platform", "EBUSY");
    const result = await system.goDown("platform");
    expect(result.outcome).toBe("aborted");
    expect(result.phases).toContainEqual(expect.objectContaining({ phase: "restore RESTORE", state: "end" }));
    await system.expectIntact();
    expectRemade(system, count, 2);
  });

  it("R-11 (f) a boot kernel whose image can't take over brings its own resources back", async () => {
    const system = await SleepingMachine.start(FORGETS);
    const { count } = system.host.commands;
    system.platform.fail("jump", "ENOMEM");
    const result = await system.run(system.sleep.resumeFromImage());
    expect(result.outcome).toBe("aborted");
    expect(result.phases).toContainEqual(expect.objectContaining({ phase: "restore RECOVER", state: "end" }));
    await system.expectIntact();
    expectRemade(system, count);
  });

  it.each(["image-load", "kernel-threads", "late", "noirq", "cpus", "syscore"] as const)(
    "R-11 (f) a boot kernel whose resume fails at %s goes on with everything",
    async (step) => {
      const system = await SleepingMachine.start(FORGETS);
      system.platform.fail(step);
      expect((await system.run(system.sleep.resumeFromImage())).outcome).toBe("aborted");
      await system.expectIntact();
      system.platform.faults.clear();
      await system.expectWhole(await system.suspend("mem"), "woken");
    },
  );

  it("R-11 (g) S2RAM through /dev/snapshot brings every resource back, with an image and without", async () => {
    const system = await SleepingMachine.start(FORGETS);
    const device = await system.bench.run(system.sleep.openSnapshotDevice("read"));
    await system.run(device.freeze());
    for (const withImage of [false, true, false]) {
      if (withImage) expect((await system.run(device.createImage())).outcome).toBe("snapshotted");
      const { count } = system.host.commands;
      expect(await system.run(device.suspendToRam())).toMatchObject({ outcome: "woken", failures: [] });
      expectRemade(system, count);
      if (withImage) await system.run(device.free());
    }
    await system.run(device.unfreeze());
    await system.expectWhole(await system.run(device.close()), "done");
  });
});

describe("a device that keeps its state", () => {
  const keepers: readonly (readonly [string, BenchOptions])[] = [
    ["No_Soft_Reset", KEEPS],
    ["No_Soft_Reset, polled", { ...KEEPS, pci: { noSoftReset: true, interrupts: "polled" } }],
  ];

  it.each(keepers)("R-12 %s: S3 loses nothing and does nothing but verify", async (_, options) => {
    const system = await SleepingMachine.start(options);
    const { host, platform } = system;
    const { resets } = host.transport;
    const { count } = host.commands;
    for (let night = 0; night < 3; night += 1) await system.expectWhole(await system.suspend("mem"), "woken");
    expect(platform.calls.filter((call) => call === "enter mem")).toHaveLength(3);
    expect(system.commandsSince(count)).toEqual(Array(3).fill("TRANSFER_TO_HOST_2D"));
    expect(host.transport.resets).toBe(resets);
  });

  it("R-12 VIRTIO_F_SUSPEND: s2idle loses nothing and does nothing but verify", async () => {
    const system = await SleepingMachine.start();
    expect(system.gpu.hasFeature(VirtioFeature.SUSPEND)).toBe(true);
    const { host } = system;
    const { resets } = host.transport;
    const { count } = host.commands;
    for (let night = 0; night < 3; night += 1) await system.expectWhole(await system.suspend("s2idle"), "woken");
    expect(system.commandsSince(count)).toEqual(Array(3).fill("TRANSFER_TO_HOST_2D"));
    expect(host.transport.resets).toBe(resets);
  });

  it("R-12 what was drawn and not yet flushed by its caller is in the host's copy when it sleeps", async () => {
    const system = await SleepingMachine.start(KEEPS);
    const { left } = system.scene;
    paint(left, 99);
    const flushed = left.flush();
    await system.expectWhole(await system.suspend("mem"), "woken");
    await system.bench.run(flushed);
    system.bench.expectShown(0, left);
  });

  const forgetful: readonly (readonly [string, BenchOptions, "mem" | "s2idle"])[] = [
    ["No_Soft_Reset", KEEPS, "mem"],
    ["VIRTIO_F_SUSPEND", {}, "s2idle"],
  ];

  it.each(forgetful)(
    "R-12 %s: a host that keeps rings and registers, but has forgotten all objects, is noticed at the wake",
    async (_, options, target) => {
      const system = await SleepingMachine.start(options);
      const { platform, host } = system;
      platform.after.set(`enter ${target}`, () => host.forget());
      for (let night = 0; night < 2; night += 1) {
        const { count } = host.commands;
        host.log.clear();
        const result = await system.suspend(target);
        expect(host.log.errorReplies(), "the canary's answer alone").toMatchObject([
          { type: GpuCommand.TRANSFER_TO_HOST_2D, reply: GpuReply.ERR_INVALID_RESOURCE_ID },
        ]);
        host.log.clear();
        await system.expectWhole(result, "woken");
        expectRemade(system, count);
      }
    },
  );

  it("R-12 asks for whatever it has: an image, a blob that is shown, a detached image that is, or the displays", async () => {
    const scene: readonly (readonly [string, (bench: DriverBench) => Promise<unknown>, boolean])[] = [
      ["GET_DISPLAY_INFO", async () => {}, false],
      ["GET_DISPLAY_INFO", (bench) => bench.buffer(32, 32, { storage: "blob" }), false],
      ["TRANSFER_TO_HOST_2D", (bench) => bench.buffer(16, 16), true],
      ["RESOURCE_FLUSH", (bench) => bench.show(1, 32, 32, { storage: "blob" }), true],
      [
        "RESOURCE_FLUSH",
        async (bench) => {
          const shown = await bench.show(0, 64, 48);
          await bench.run(shown.detach());
        },
        true,
      ],
    ];
    for (const [command, draw, isNoticed] of scene) {
      const bench = await DriverBench.start({ device: SCENE_DEVICE });
      await draw(bench);
      for (const forgets of [false, true]) {
        await bench.freeze("SUSPEND");
        if (forgets) bench.host.forget();
        const { count } = bench.host.commands;
        const { resets } = bench.host.transport;
        expect(await bench.restore("RESUME")).toMatchObject({ lost: [] });
        const [canary] = bench.host.commands.log(count);
        expect(commandName(canary?.type ?? 0)).toBe(command);
        expect(bench.host.transport.resets > resets, `${command}, forgotten: ${forgets}`).toBe(forgets && isNoticed);
        if (!forgets) bench.expectNoErrors();
      }
    }
  });

  it("R-12 a host that refuses the canary for another reason is the same host", async () => {
    const bench = await DriverBench.start({ device: SCENE_DEVICE });
    await bench.buffer(16, 16);
    await bench.freeze("SUSPEND");
    const { resets } = bench.host.transport;
    bench.host.commands.inject({
      type: GpuCommand.TRANSFER_TO_HOST_2D,
      effect: { kind: "refuse", reply: GpuReply.ERR_UNSPEC },
    });
    expect(await bench.restore("RESUME")).toMatchObject({ lost: [], restored: 1 });
    expect(bench.host.transport.resets).toBe(resets);
  });

  const lies: readonly (readonly [string, (host: SimHost) => unknown])[] = [
    ["the bus was reset", (host) => host.systemReset()],
    ["the device was reset behind the bus", (host) => host.resetDevice()],
    ["another host took its place", (host) => host.powerOn()],
    ["the device asks for a reset", (host) => host.breakDevice()],
  ];

  it.each(lies)("R-12 No_Soft_Reset that lies: %s, and everything comes back", async (_, happens) => {
    const system = await SleepingMachine.start(KEEPS);
    const { platform, host } = system;
    platform.after.set("enter mem", () => void happens(host));
    const { count } = host.commands;
    await system.expectWhole(await system.suspend("mem"), "woken");
    expectRemade(system, count);
    await system.expectWhole(await system.suspend("mem"), "woken");
  });

  it.each(lies)("R-12 a suspend by VIRTIO_F_SUSPEND that lies: %s, and everything comes back", async (_, happens) => {
    const system = await SleepingMachine.start();
    const { platform, host } = system;
    platform.after.set("enter s2idle", () => void happens(host));
    const { count } = host.commands;
    await system.expectWhole(await system.suspend("s2idle"), "woken");
    expectRemade(system, count);
  });

  it("R-12 a boot driver that had the device leaves it running, and is not taken for us", async () => {
    for (const options of [KEEPS, { ...KEEPS, transport: "mmio" } satisfies BenchOptions]) {
      const system = await SleepingMachine.start(options);
      const { platform, host, bench } = system;
      let count = Infinity;
      platform.before.set("undo noirq", async () => {
        host.systemReset();
        const boot = await bench.machine.startBootDriver();
        await boot.lightUp({ scanoutId: 0, resourceId: system.scene.left.id, width: 32, height: 32, colour: 0xff });
        // All that our driver could go by, the status, reads as it left it.
        expect(host.machinery.status & 0x0f).toBe(0x0f);
        ({ count } = host.commands);
      });
      await system.expectWhole(await system.suspend("mem"), "woken");
      expectRemade(system, count);
    }
  });
});

const texture = {
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

describe("one sleep after another", () => {
  /** What no sleep could bring back may be made whenever no sleep is on. */
  async function expectGateOpen({ bench, gpu }: SleepingMachine): Promise<void> {
    const context = await bench.run(gpu.rendering.createContext());
    const resource = await bench.run(gpu.rendering.createResource(context, texture));
    resource.destroy();
    context.destroy();
    await bench.run(bench.machine.clock.settle());
  }

  it.each([
    ["on PCI", FORGETS],
    ["with No_Soft_Reset", KEEPS],
    ["on MMIO", MMIO],
  ])("R-13 PREPARE, abort, S3, S4: everything comes back each time %s", async (_, options) => {
    const device = { ...SCENE_DEVICE, renderer: new MemoryRenderer() };
    const system = await SleepingMachine.start({ ...options, device });
    const { sleep, platform } = system;
    const leave = sleep.subscribe({ name: "late", notify: () => Promise.reject(new Error("not now")) }, -1);
    expect((await system.goDown("platform")).outcome).toBe("aborted");
    expect(platform.calls).toEqual([]);
    await expectGateOpen(system);
    await system.expectIntact();
    leave();
    platform.fail("tasks", "EBUSY");
    expect((await system.goDown("platform")).outcome).toBe("aborted");
    platform.faults.clear();
    await expectGateOpen(system);
    await system.expectIntact();
    await system.expectWhole(await system.suspend("mem"), "woken");
    await expectGateOpen(system);
    await system.expectWhole(await system.hibernate(), "resumed");
    await expectGateOpen(system);
    await system.expectWhole(await system.suspend("mem"), "woken");
  });

  it("R-13 a hibernation that fails at any step leaves the next S3 and S4 as they should be", async () => {
    const system = await SleepingMachine.start(FORGETS);
    const { platform } = system;
    await system.goDown("test_resume");
    const steps = [...new Set(platform.calls)].filter((call) => !call.startsWith("undo"));
    expect(steps.length).toBeGreaterThan(12);
    for (const step of steps) {
      platform.fail(step);
      expect((await system.goDown("test_resume")).outcome, `${step} fails`).toBe("aborted");
      platform.faults.clear();
      await system.expectIntact();
    }
    await system.expectWhole(await system.suspend("mem"), "woken");
    await system.expectWhole(await system.hibernate(), "resumed");
  });
});

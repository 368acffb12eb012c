/** nothing touches the rings once a freeze is over, and a freeze is over when nothing is left to touch them. */
import { describe, expect, it, vi } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import type { FreezeMessage } from "../../src/base/power.ts";
import type { SimMachineOptions } from "../../src/sim/sim-machine.ts";
import { GpuCommand } from "../../src/wire/gpu.ts";
import { paint } from "../support/driver-bench.ts";
import { Scene } from "../support/teardown-scene.ts";

describe("after a freeze", () => {
  const cases: readonly (readonly [string, FreezeMessage, SimMachineOptions])[] = [
    ["a reset", "FREEZE", {}],
    ["a reset over polled PCI", "FREEZE", { transport: "pci", pci: { interrupts: "polled" } }],
    ["a reset over MMIO", "QUIESCE", { transport: "mmio" }],
    ["a power-off", "HIBERNATE", {}],
    ["SUSPEND", "SUSPEND", {}],
    ["SUSPEND with packed rings", "SUSPEND", { features: { packed: true } }],
    [
      "No_Soft_Reset",
      "SUSPEND",
      { transport: "pci", pci: { interrupts: "polled", noSoftReset: true }, features: { suspend: false } },
    ],
  ];

  it.each(cases)("R-01 (a) ignores spurious used notifications after %s", async (_, message, options) => {
    const scene = await Scene.start({ watchRings: true, ...options });
    const { machine, gpu, host } = scene.bench;
    await scene.bench.freeze(message);
    const accesses = host.transport.accesses;
    machine.rings?.arm();
    for (const queue of [0, 1, undefined]) {
      host.transport.spuriousQueueInterrupt(queue, { stale: true });
      host.transport.spuriousQueueInterrupt(queue);
    }
    // Long enough for every timer that a command left behind.
    await machine.clock.advance(60_000);
    expect(machine.rings?.accesses).toEqual([]);
    expect(host.transport.accesses - accesses).toBe(0);
    expect(gpu.state).toBe(message === "SUSPEND" ? "suspended" : "frozen");
    machine.rings?.disarm();
    await scene.bench.restore();
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });

  it.each(cases)("R-01 (b) ignores configuration interrupts after %s", async (_, message, options) => {
    const scene = await Scene.start({ watchRings: true, ...options });
    const { machine, host } = scene.bench;
    await scene.bench.freeze(message);
    const accesses = host.transport.accesses;
    const commands = machine.recorder.mark();
    machine.rings?.arm();
    host.device.setOutput(1, { width: 48, height: 48 });
    host.transport.spuriousConfigInterrupt({ stale: true });
    host.transport.spuriousConfigInterrupt();
    await machine.clock.advance(60_000);
    expect(machine.rings?.accesses).toEqual([]);
    expect(host.transport.accesses - accesses).toBe(0);
    expect(machine.recorder.commands(undefined, commands)).toEqual([]);
    machine.rings?.disarm();
    await scene.bench.restore();
    await machine.clock.advance(1000);
    // What was not handled while it slept is not lost either.
    expect(scene.bench.gpu.output(1).connector.modes[0]).toMatchObject({ width: 48, height: 48 });
    scene.expectOnHost();
    await scene.expectNothingLeft();
  });

  it("R-01 (a) ignores interrupts that were on their way when the freeze ended", async () => {
    const scene = await Scene.start({ watchRings: true, faults: { delayInterruptsMs: 7 } });
    const { machine, host } = scene.bench;
    await scene.bench.freeze();
    machine.rings?.arm();
    host.transport.spuriousQueueInterrupt(0, { stale: true });
    await machine.clock.advance(1000);
    expect(machine.rings?.accesses).toEqual([]);
    machine.rings?.disarm();
    await scene.bench.restore();
    scene.expectOnHost();
  });

  it("R-01 (a) asks nothing of the rings for its users while it is suspended", async () => {
    const scene = await Scene.start({ watchRings: true });
    const { machine, gpu } = scene.bench;
    await scene.bench.freeze("SUSPEND");
    machine.rings?.arm();
    paint(scene.front, 77);
    const calls = [
      scene.front.flush(),
      gpu.output(1).show(scene.front, { x: 0, y: 0, width: 32, height: 32 }),
      gpu.output(0).cursor.move(1, 2),
      gpu.createBuffer({ width: 16, height: 16 }),
    ];
    await machine.clock.advance(60_000);
    // The guest's own memory may be written; rings, slots and arena may not.
    const { frames } = machine;
    const pixels = new Set(
      frames.framesOf(
        scene.front.object.backing.source === "own" ? scene.front.object.backing.pages : scene.lent.pages,
      ),
    );
    expect(machine.rings?.accesses.filter(({ address }) => !pixels.has(Math.floor(address / 4096)))).toEqual([]);
    machine.rings?.disarm();
    await scene.bench.restore("RESUME");
    await scene.bench.run(Promise.all(calls));
    scene.bench.expectShown(0, scene.front);
    scene.bench.expectNoErrors();
  });
});

describe("a drain", () => {
  it("R-02 waits for the completion worker, not for the host alone", async () => {
    const scene = await Scene.start();
    const { machine, host } = scene.bench;
    // The host answers at once; the worker hears of it a moment later, every time.
    host.transport.faults.delayInterruptsMs = 50;
    const unheard: number[] = [];
    host.transport.onAccess = (name) => {
      if (name !== "writeStatus") return;
      const { recorder } = machine;
      unheard.push(recorder.commands().length - recorder.replies().length);
    };
    await scene.bench.freeze();
    expect(unheard).toEqual([0]);
    host.transport.onAccess = null;
    host.transport.faults.delayInterruptsMs = 0;
    await scene.bench.restore();
    scene.expectOnHost();
    scene.bench.expectNoErrors();
  });

  it("R-02 lets nobody slip a command in behind it", async () => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    // A display query asks for EDIDs once its first answer is there: right when the last buffer came back.
    for (const [message, width] of [
      ["SUSPEND", 40],
      ["FREEZE", 50],
    ] as const) {
      host.commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, effect: { kind: "slow", ms: 200 } });
      host.commands.inject({ type: GpuCommand.GET_EDID, times: Infinity, effect: { kind: "slow", ms: 50 } });
      host.device.setOutput(1, { width, height: 40 });
      await machine.clock.advance(100);
      const before = machine.recorder.mark();
      await scene.bench.freeze(message);
      expect(machine.recorder.replies(undefined, before).some(({ type }) => type === GpuCommand.GET_DISPLAY_INFO)).toBe(
        true,
      );
      expect(host.pending).toBe(0);
      const { commands, replies } = {
        commands: machine.recorder.commands().length,
        replies: machine.recorder.replies().length,
      };
      expect(commands - replies, `commands without an answer after ${message}`).toBe(0);
      host.commands.clear();
      await scene.bench.restore();
      await machine.clock.advance(1000);
      expect(gpu.output(1).connector.modes[0]).toMatchObject({ width, height: 40 });
      scene.expectOnHost();
    }
  });

  it("R-02 leaves the rest of a restore for later", async () => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    const many = [];
    for (let index = 0; index < 300; index += 1) many.push(await scene.bench.buffer(8, 8));
    await scene.bench.freeze();
    host.powerOn();
    host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: 1 } });
    const { picture, complete } = gpu.power.restore("RESTORE");
    const interrupted = complete.then(
      () => "complete",
      (error: unknown) => error instanceof GpuError && error.code,
    );
    await scene.bench.run(picture);
    expect(host.device.usage.resources).toBeLessThan(many.length);
    const since = machine.recorder.mark();
    await scene.bench.freeze("SUSPEND");
    expect(machine.recorder.commands(undefined, since)).toEqual([]);
    expect([await interrupted, host.pending]).toEqual(["ECANCELED", 0]);
    await scene.bench.restore();
    expect(host.device.usage.resources).toBeGreaterThan(many.length);
    scene.expectOnHost(many);
    scene.bench.expectNoErrors();
  });

  it.each(["FREEZE", "SUSPEND"] as const)(
    "R-03 sends one UNREF for what only a command in flight still held, before the queues go (%s)",
    async (message) => {
      const scene = await Scene.start();
      const { machine, host, gpu } = scene.bench;
      const doomed = await scene.bench.buffer(32, 16);
      await scene.bench.run(machine.clock.settle());
      const since = host.commands.count;
      host.commands.inject({
        type: GpuCommand.TRANSFER_TO_HOST_2D,
        resourceId: doomed.id,
        effect: { kind: "slow", ms: 300 },
      });
      paint(doomed, 5);
      const flushed = doomed.flush().catch((error: unknown) => error);
      await machine.clock.advance(1);
      doomed.destroy();
      const resets = host.transport.resets;
      let atReset = -1;
      const unrefs = (): number =>
        host.commands
          .log(since)
          .filter(({ type, resourceId }) => type === GpuCommand.RESOURCE_UNREF && resourceId === doomed.id).length;
      host.transport.onAccess = (name) => {
        if (name === "writeStatus" && atReset < 0) atReset = unrefs();
      };
      await scene.bench.freeze(message);
      expect(await flushed).toMatchObject({ code: "ECANCELED" });
      host.transport.onAccess = null;
      if (message === "FREEZE") expect([atReset, host.transport.resets - resets]).toEqual([1, 1]);
      await scene.bench.restore();
      expect(unrefs()).toBe(1);
      scene.expectOnHost();
      scene.bench.expectNoErrors();
      expect(gpu.state).toBe("running");
      await scene.expectNothingLeft();
    },
  );

  it("R-03 counts the UNREFs of many objects that go while it drains", async () => {
    const scene = await Scene.start({ ramBytes: 8 << 20 });
    const { machine, host } = scene.bench;
    const doomed = await scene.bench.run(
      Promise.all(Array.from({ length: 30 }, () => scene.bench.gpu.createBuffer({ width: 16, height: 16 }))),
    );
    host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, times: Infinity, effect: { kind: "slow", ms: 40 } });
    const since = host.commands.count;
    const flushes = doomed.map((buffer) => buffer.flush().catch(() => {}));
    await machine.clock.advance(1);
    const frozen = scene.bench.gpu.power.freeze("FREEZE");
    doomed.forEach((buffer, index) => {
      // At every moment of it: before the uploads are back, as they come, and while the UNREFs go out.
      machine.clock.after(index, () => buffer.destroy());
    });
    await scene.bench.run(frozen);
    await scene.bench.run(Promise.all(flushes));
    await machine.clock.advance(200);
    const unrefs = host.commands.log(since).filter(({ type }) => type === GpuCommand.RESOURCE_UNREF);
    expect(new Set(unrefs.map(({ resourceId }) => resourceId)).size).toBe(unrefs.length);
    expect(unrefs).toHaveLength(30 + scene.buffers.length);
    host.commands.clear();
    await scene.bench.restore();
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    await scene.expectNothingLeft();
  });
});

describe("small rings", () => {
  it.each([
    ["4 of the device's 64", { gpu: { queueSizeMax: 4 } }],
    ["2 of the device's 64", { gpu: { queueSizeMax: 2 } }],
    ["16 of the device's 256", { gpu: { queueSizeMax: 16 }, device: { queueSizes: [256, 16] as const } }],
    ["all that a tiny device has", { device: { queueSizes: [2, 2] as const } }],
    ["3 of a packed ring's 64", { gpu: { queueSizeMax: 3 }, features: { packed: true } }],
    ["4 without indirect descriptors: 2 commands", { gpu: { queueSizeMax: 4 }, features: { indirect: false } }],
    ["2 without indirect descriptors: 1 command", { gpu: { queueSizeMax: 2 }, features: { indirect: false } }],
  ])("R-04 drains with %s entries", async (_, options) => {
    const scene = await Scene.start(options);
    const { machine, host, gpu } = scene.bench;
    await scene.bench.run(
      Promise.all(Array.from({ length: 20 }, () => gpu.createBuffer({ width: 16, height: 16 }))).then((all) =>
        all.forEach((buffer) => buffer.destroy()),
      ),
    );
    await machine.clock.settle();
    for (const message of ["FREEZE", "SUSPEND"] as const) {
      const before = machine.clock.nowMs();
      await scene.bench.freeze(message);
      expect(machine.clock.nowMs() - before).toBe(0);
      if (message === "FREEZE") scene.bench.replaceHost();
      await scene.bench.restore();
      scene.expectOnHost();
    }
    scene.bench.expectNoErrors();
    expect(host.lives).toBe(2);
    await scene.expectNothingLeft();
  });

  it("R-04 drains with a ring that was made smaller for want of memory", async () => {
    const scene = await Scene.start();
    const { machine, host, gpu } = scene.bench;
    await scene.bench.freeze();
    // Another host, with larger queues, at a moment when there is no memory to be had.
    host.powerOn({
      outputs: [
        { width: 64, height: 32 },
        { width: 32, height: 32 },
      ],
      blob: true,
      queueSizes: [1024, 16],
    });
    machine.allocator.bytesMax = machine.allocator.allocatedBytes;
    await scene.bench.restore();
    scene.expectOnHost();
    await scene.bench.freeze();
    await scene.bench.restore();
    machine.allocator.clear();
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    expect(gpu.state).toBe("running");
    await scene.expectNothingLeft();
  });
});

describe("the rings' memory", () => {
  it.each(["loopback", "pci", "mmio"] as const)(
    "R-05 is given back only once the device was reset (%s)",
    async (transport) => {
      const scene = await Scene.start({ transport, variant: "slow" });
      const { machine, host } = scene.bench;
      const statuses: number[] = [];
      const unmap = machine.dma.unmap.bind(machine.dma);
      const spy = vi.spyOn(machine.dma, "unmap").mockImplementation((pages) => {
        if (pages.contiguous && pages.byteLength > 4096) statuses.push(host.machinery.status);
        unmap(pages);
      });
      await scene.bench.freeze();
      // Rings and arena.
      expect(statuses).toEqual([0, 0]);
      spy.mockRestore();
      machine.assertClean();
      machine.dma.assertBalanced();
      await scene.bench.restore();
      scene.expectOnHost();
      await scene.expectNothingLeft();
    },
  );

  it.each(["HIBERNATE", "remove"] as const)(
    "R-05 stays while the device still writes to it: %s with replies to come and a slow reset",
    async (how) => {
      const scene = await Scene.start();
      const { machine, host, gpu } = scene.bench;
      host.commands.inject({
        type: GpuCommand.TRANSFER_TO_HOST_2D,
        times: Infinity,
        effect: { kind: "slow", ms: 1010 },
      });
      host.transport.faults.reset = { kind: "ms", ms: 100 };
      paint(scene.front, 9);
      const flushed = scene.front.flush().catch((error: unknown) => error);
      await machine.clock.advance(how === "remove" ? 1000 : 1);
      await scene.bench.run(how === "remove" ? gpu.remove() : gpu.power.freeze("HIBERNATE"));
      await machine.clock.advance(5000);
      machine.assertClean();
      expect(host.machinery.status).toBe(0);
      if (how === "remove") expect(await flushed).toMatchObject({ code: "ENODEV" });
      machine.dma.assertBalanced();
      host.commands.clear();
      host.transport.faults.reset = null;
      await scene.expectNothingLeft();
    },
  );

  it("R-05 is kept, and given back later, when the device does not confirm its reset", async () => {
    const scene = await Scene.start({ gpu: { deadlines: { resetMs: 300 } } });
    const { machine, host, gpu } = scene.bench;
    host.transport.faults.reset = { kind: "never" };
    const before = machine.clock.nowMs();
    await expect(scene.bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    expect(machine.clock.nowMs() - before).toBe(300);
    await machine.clock.advance(2000);
    expect(gpu.state).toBe("lost");
    // The device goes on: it may write to rings that nobody reads any more.
    host.forgeUsed(0, 0, 0);
    machine.assertClean();
    host.transport.faults.reset = null;
    host.transport.finishReset();
    await scene.bench.run(gpu.recover());
    scene.expectOnHost();
    machine.assertClean();
    await scene.expectNothingLeft();
  });
});

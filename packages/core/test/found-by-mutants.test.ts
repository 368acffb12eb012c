/** What no test noticed until bugs were planted (docs/mutants.md): small promises, each on its own. */
import { describe, expect, it } from "vitest";
import type { InterruptHandler, QueueRegisters } from "../src/virtio/transport.ts";
import { DeviceStatus, GpuCommand, GpuQueue } from "../src/wire/index.ts";
import { DriverBench } from "./support/driver-bench.ts";
import { expectHeld, SCENE_DEVICE } from "./support/scene.ts";

const start = (options: Parameters<typeof DriverBench.start>[0] = {}): Promise<DriverBench> =>
  DriverBench.start({ ramBytes: 2 << 20, device: SCENE_DEVICE, ...options });

describe("a freeze", () => {
  it("takes resources down newest first, for hosts that look for them in a list", async () => {
    const bench = await start();
    for (let count = 0; count < 5; count += 1) await bench.buffer(16, 16);
    const before = bench.host.commands.count;
    await bench.freeze();
    const gone = bench.host.commands.log(before).filter(({ type }) => type === GpuCommand.RESOURCE_UNREF);
    expect(gone.map(({ resourceId }) => resourceId)).toEqual([5, 4, 3, 2, 1]);
  });

  it("waits for the cursor's queue as for the other one", async () => {
    // A device that is put to sleep by D3hot: nobody but the driver waits for anything.
    const pci = { noSoftReset: true };
    const bench = await start({ transport: "pci", pci, features: { suspend: false } });
    const cursor = await bench.buffer(64, 64);
    await bench.run(bench.gpu.output(0).cursor.set(cursor));
    bench.host.commands.inject({ queue: GpuQueue.CURSOR, times: Infinity, effect: { kind: "slow", ms: 300 } });
    const moved = bench.gpu.output(0).cursor.move(9, 9);
    await bench.machine.clock.settle();
    expect(bench.host.pending).toBe(1);
    await bench.freeze("SUSPEND");
    expect(bench.host.pending, "buffers that the host still has").toBe(0);
    await bench.restore("RESUME");
    await bench.run(moved);
  });

  it("listens to no interrupt any more when the device is asked to suspend", async () => {
    const bench = await start({ features: { suspend: true } });
    const { transport } = bench.host;
    const handlers: (InterruptHandler | null)[] = [];
    const atSuspend: (InterruptHandler | null | undefined)[] = [];
    const set = transport.setInterruptHandler.bind(transport);
    transport.setInterruptHandler = (handler): void => {
      handlers.push(handler);
      set(handler);
    };
    transport.onAccess = (name): void => {
      if (name === "writeStatus") atSuspend.push(handlers.at(-1));
    };
    await bench.freeze("SUSPEND");
    expect(atSuspend).toEqual([null]);
  });

  it("that comes to nothing keeps a detached image's pixels", async () => {
    const bench = await start();
    const detached = await bench.buffer(32, 32);
    await bench.run(detached.detach());
    const last = await bench.buffer(16, 16);
    // Whatever was taken back before the host stopped is brought to it again.
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, resourceId: 1, effect: { kind: "slow", ms: 6000 } });
    await expect(bench.freeze()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await bench.machine.clock.advance(20_000);
    for (const image of [detached, last]) expectHeld(bench, image);
  });
});

describe("the word that a hibernation is coming", () => {
  it("has a driver that lost its memory with its device reserve what the thaw will need", async () => {
    const bench = await start();
    bench.host.transport.faults.reset = { kind: "never" };
    bench.host.breakDevice();
    await bench.machine.clock.advance(60_000);
    expect(bench.gpu.state).toBe("lost");
    const { allocator } = bench.machine;
    const before = allocator.allocatedBytes;
    await bench.run(bench.gpu.power.notify("HIBERNATION_PREPARE"));
    expect(allocator.allocatedBytes).toBeGreaterThan(before);
    await bench.run(bench.gpu.power.notify("POST_HIBERNATION"));
  });
});

describe("a picture", () => {
  it("that an output is given is flushed, for hosts that show nothing before", async () => {
    const bench = await start();
    const image = await bench.buffer(32, 32);
    const before = bench.host.commands.count;
    await bench.run(bench.gpu.output(0).show(image));
    const seen = bench.host.commands.log(before).map(({ type }) => type);
    expect(seen).toEqual([GpuCommand.SET_SCANOUT, GpuCommand.RESOURCE_FLUSH]);
  });

  it.each([
    ["an output", GpuCommand.SET_SCANOUT, false],
    ["a cursor", GpuCommand.UPDATE_CURSOR, true],
  ])("is given up only when the host has said that %s lets go of it", async (_, letsGo, isCursor) => {
    const bench = await start();
    const image = await bench.buffer(64, 64);
    const output = bench.gpu.output(0);
    await bench.run(isCursor ? output.cursor.set(image) : output.show(image));
    const before = bench.host.commands.count;
    bench.host.commands.inject({ type: letsGo, effect: { kind: "slow", ms: 300 } });
    image.destroy();
    await bench.machine.clock.advance(1000);
    const log = bench.host.commands.log(before);
    const dark = log.find(({ type }) => type === letsGo);
    const gone = log.find(({ type, resourceId }) => type === GpuCommand.RESOURCE_UNREF && resourceId === image.id);
    expect((gone?.atMs ?? 0) - (dark?.atMs ?? 0), "milliseconds between the two").toBeGreaterThanOrEqual(300);
  });
});

describe("cursors of more outputs than their queue has room for", () => {
  it("are all shown, one after the other", async () => {
    const outputs = Array.from({ length: 8 }, () => ({ width: 64, height: 64 }));
    const bench = await start({ device: { outputs }, gpu: { queueSizeMax: 2 } });
    const cursor = await bench.buffer(64, 64);
    bench.host.commands.inject({ queue: GpuQueue.CURSOR, times: Infinity, effect: { kind: "slow", ms: 10 } });
    await bench.run(Promise.all(outputs.map((_, index) => bench.gpu.output(index).cursor.set(cursor))));
    expect(bench.host.device.save().cursors.map(({ visible }) => visible)).toEqual(outputs.map(() => true));
  });
});

describe("a host that answers, with registers that are not ours", () => {
  it.each([
    ["another status", { status: (real: number): number => real & ~DeviceStatus.DRIVER_OK }],
    [
      "a queue that is off",
      { queue: (_: number, real: QueueRegisters): QueueRegisters => ({ ...real, enabled: false }) },
    ],
    ["rings elsewhere", { queue: (_: number, real: QueueRegisters): QueueRegisters => elsewhere(real) }],
  ])("is not taken for ours: %s", async (_, lies) => {
    const bench = await start();
    const image = await bench.buffer(16, 16);
    const before = bench.host.commands.count;
    bench.host.transport.faults.lies = lies;
    const restored = bench.gpu.power.restore("RESUME").complete;
    bench.host.transport.onAccess = (name): void => {
      // The reset of a new session: from now on it tells the truth.
      if (name === "writeStatus") bench.host.transport.faults.lies = {};
    };
    await bench.run(restored);
    expect(bench.host.commands.log(before).map(({ type }) => type)).toContain(GpuCommand.RESOURCE_CREATE_2D);
    expectHeld(bench, image);
  });
});

function elsewhere(real: QueueRegisters): QueueRegisters {
  const { addresses } = real;
  return { ...real, addresses: addresses === null ? null : { ...addresses, driver: addresses.driver + 4096 } };
}

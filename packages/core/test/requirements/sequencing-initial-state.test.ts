/** the image's kernel takes the device over from whatever state it finds it in. */
import { describe, expect, it } from "vitest";
import { VirtioGpu } from "../../src/driver/index.ts";
import { PhysicalDmaMap } from "../../src/memory/dma-map.ts";
import { RamPageAllocator } from "../../src/memory/ram-allocator.ts";
import type { ResetFault } from "../../src/sim/faults/faulty-transport.ts";
import type { SlotKind } from "../../src/sim/wiring/wiring.ts";
import { negotiateFeatures } from "../../src/virtio/bring-up.ts";
import { DeviceStatus, GpuReply } from "../../src/wire/index.ts";
import { GpuCommand } from "../../src/wire/gpu.ts";
import type { BenchOptions } from "../support/driver-bench.ts";
import { SleepingMachine } from "../support/sleeping-machine.ts";

const SLOTS: readonly SlotKind[] = ["loopback", "pci", "pci-cfg", "pci-io", "mmio"];

/** A picture of somebody else, in a resource with an id of ours, and another one beside it. */
async function lightUp(system: SleepingMachine, options: { readonly inFlight: boolean }) {
  const { bench, host, scene } = system;
  const boot = await bench.machine.startBootDriver();
  const picture = { width: 32, height: 32, colour: 0x00ff_00ff };
  await boot.lightUp({ scanoutId: 1, resourceId: scene.left.id, ...picture });
  await boot.lightUp({ scanoutId: 0, resourceId: scene.left.id + 1, ...picture });
  if (!options.inFlight) return boot;
  host.commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, effect: { kind: "hang" } });
  boot.post({ op: "getDisplayInfo" });
  return boot;
}

/** Memory of the boot kernel, which is the image kernel's to use for something else by now. */
function bootMemory({ bench }: SleepingMachine): Uint8Array {
  const { ram, bootRegion } = bench.machine;
  const bytes = new Uint8Array(bootRegion.byteLength);
  ram.read(bootRegion.address, bytes);
  return bytes;
}

describe("a device that a boot kernel has driven", () => {
  it.each(SLOTS)("R-44 (a) is taken over with live rings, pictures and a command under way, over %s", async (slot) => {
    const system = await SleepingMachine.start({ transport: slot });
    let before: Uint8Array = new Uint8Array();
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: true });
      expect(system.host.machinery.status & DeviceStatus.DRIVER_OK).not.toBe(0);
      expect(system.host.pending).toBe(1);
      before = bootMemory(system);
    });
    system.host.resume();
    await system.bench.machine.clock.advance(1000);
    await system.expectWhole(result, "resumed");
    expect(Buffer.compare(bootMemory(system), before), "nothing of the old life is written late").toBe(0);
    await system.expectNothingLeft();
  });

  it("R-44 (a) is taken over on a host that keeps the boot kernel's resources over a reset", async () => {
    const system = await SleepingMachine.start({ variant: "keeps" });
    const { host } = system;
    const result = await system.hibernate(() => lightUp(system, { inFlight: false }).then(() => {}));
    expect(result).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
    // "Exists" is the one answer that such a host may give.
    const refusals = host.log.errorReplies();
    expect(refusals.map(({ type, reply }) => [type, reply])).toEqual([
      [GpuCommand.RESOURCE_CREATE_2D, GpuReply.ERR_INVALID_RESOURCE_ID],
      [GpuCommand.RESOURCE_CREATE_BLOB, GpuReply.ERR_INVALID_RESOURCE_ID],
    ]);
    host.log.clear();
    await system.expectIntact();
  });

  it.each(SLOTS)("R-44 (a) is taken over from this same driver in the boot kernel, over %s", async (slot) => {
    const system = await SleepingMachine.start({ transport: slot });
    const { bench, host } = system;
    const { ram, bootRegion, clock } = bench.machine;
    const allocator = new RamPageAllocator(ram, bootRegion, {});
    const result = await system.hibernate(async () => {
      const dma = new PhysicalDmaMap(allocator);
      const boot = await VirtioGpu.probe({ transport: host.connect(), clock, allocator, dma });
      const buffer = await boot.createBuffer({ width: 64, height: 48 });
      await boot.output(0).show(buffer);
      await boot.output(0).cursor.move(3, 4);
    });
    await system.expectWhole(result, "resumed");
  });

  it("R-44 (a) is taken over while the boot kernel's driver still hears its interrupts", async () => {
    const system = await SleepingMachine.start();
    const { bench, host } = system;
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: false });
      host.transport.spuriousConfigInterrupt({ stale: true });
      host.transport.spuriousQueueInterrupt(0, { stale: true });
    });
    host.transport.spuriousQueueInterrupt(1);
    await bench.machine.clock.advance(1000);
    await system.expectWhole(result, "resumed");
  });
});

describe("a device that needs a reset", () => {
  it.each([
    ["DEVICE_NEEDS_RESET", DeviceStatus.NEEDS_RESET],
    ["FAILED", DeviceStatus.FAILED],
    ["both", DeviceStatus.NEEDS_RESET | DeviceStatus.FAILED],
  ])("R-44 (b) is brought back from %s", async (_, bits) => {
    const system = await SleepingMachine.start();
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: false });
      system.host.transport.raiseStatusBits(bits);
    });
    await system.expectWhole(result, "resumed");
  });

  it.each(SLOTS)("R-44 (b) is brought back when it broke under the boot kernel, over %s", async (slot) => {
    const system = await SleepingMachine.start({ transport: slot });
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: true });
      system.host.breakDevice();
      expect(system.host.machinery.status & DeviceStatus.NEEDS_RESET).not.toBe(0);
    });
    await system.expectWhole(result, "resumed");
    await system.expectNothingLeft();
  });

  it.each([1, 2, 5, 9, 14])("R-44 (b) is brought back when it breaks at command %i of the restore", async (at) => {
    const system = await SleepingMachine.start();
    const { host, bench } = system;
    const result = await system.hibernate(() => host.commands.inject({ at, effect: { kind: "break" } }));
    expect(host.commands.struck).toBe(1);
    // The sleep code is not bothered with it: what it waits for comes a little later.
    await system.expectWhole(result, "resumed");
    const [report] = await result.complete;
    expect(report?.report).toEqual({ restored: 7, lost: [], outputs: 2 });
    await bench.machine.clock.advance(10_000);
    await system.expectNothingLeft();
  });
});

describe("a reset that takes its time", () => {
  const slow: readonly ResetFault[] = [
    { kind: "ms", ms: 300 },
    { kind: "ms", ms: 4900 },
    { kind: "reads", reads: 50 },
  ];

  it.each(slow)("R-44 (c) is waited for: $kind", async (reset) => {
    const system = await SleepingMachine.start();
    const { transport } = system.host;
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: true });
      transport.faults.reset = reset;
    });
    expect(transport.earlyStatusWrites).toBe(0);
    await system.expectWhole(result, "resumed");
  });

  it("R-44 (c) that never ends costs a bounded time and nothing else; the device comes back once it does", async () => {
    const system = await SleepingMachine.start();
    const { bench, gpu, host } = system;
    const { clock } = bench.machine;
    const { transport } = host;
    let from = 0;
    const result = await system.hibernate(async () => {
      await lightUp(system, { inFlight: true });
      transport.faults.reset = { kind: "never" };
      from = clock.nowMs();
    });
    expect(clock.nowMs() - from).toBeLessThanOrEqual(6000);
    expect(result.outcome).toBe("resumed");
    expect(result.lost).toMatchObject([{ device: gpu.label, error: { code: "ETIMEDOUT" } }]);
    expect([system.sleep.state, gpu.state]).toEqual(["awake", "lost"]);
    expect(transport.earlyStatusWrites).toBe(0);
    await expect(bench.run(system.scene.left.flush())).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(bench.run(gpu.recover())).rejects.toMatchObject({ code: "ETIMEDOUT" });
    transport.faults.reset = null;
    transport.finishReset();
    await bench.run(gpu.recover());
    await system.expectIntact();
    await system.expectNothingLeft();
  });

  it("R-44 (c) of a device that was given up is over before the next attempt begins", async () => {
    const system = await SleepingMachine.start();
    const { bench, gpu, host } = system;
    const result = await system.hibernate(() => {
      host.transport.faults.reset = { kind: "ms", ms: 300 };
      host.commands.inject({ times: 4, effect: { kind: "break" } });
    });
    expect(result.lost).toMatchObject([{ device: gpu.label, error: { code: "EIO" } }]);
    expect([gpu.state, host.transport.resetPending]).toEqual(["lost", true]);
    await bench.run(gpu.recover());
    await system.expectIntact();
    await bench.run(system.scene.left.flush());
    await system.expectWhole(await system.hibernate(), "resumed");
    await system.expectNothingLeft();
  });

  it("R-44 (c) that a freeze waits for in vain keeps what the device may still write to", async () => {
    const system = await SleepingMachine.start();
    const { bench, gpu, host } = system;
    const { allocator, dma, clock } = bench.machine;
    const mapped = new Set(dma.mapped);
    const { transport } = host;
    transport.faults.reset = { kind: "never" };
    const from = clock.nowMs();
    const result = await system.goDown("platform");
    expect(result.outcome).toBe("aborted");
    expect(result.failures[0]?.error.code).toBe("ETIMEDOUT");
    expect(clock.nowMs() - from).toBeLessThanOrEqual(20_000);
    // Nobody got the rings' memory: the device runs on in them as long as it was not reset.
    const rings = [...mapped].filter((pages) => dma.mapped.includes(pages));
    expect(rings.length).toBeGreaterThan(0);
    for (const pages of rings) expect(allocator.live().has(pages)).toBe(true);
    await clock.advance(20_000);
    expect(gpu.state).toBe("lost");
    transport.faults.reset = null;
    transport.finishReset();
    await bench.run(gpu.recover());
    await system.expectIntact();
    await system.expectWhole(await system.hibernate(), "resumed");
    await system.expectNothingLeft();
  });
});

describe("no quiesce", () => {
  it.each(SLOTS)("R-45 (a) a boot kernel without the driver leaves the device untouched, over %s", async (slot) => {
    const system = await SleepingMachine.start({ transport: slot });
    const statuses: number[] = [];
    for (let night = 0; night < 2; night += 1) {
      const result = await system.hibernate(() => void statuses.push(system.host.machinery.status));
      await system.expectWhole(result, "resumed");
    }
    expect(statuses).toEqual([0, 0]);
    await system.expectNothingLeft();
  });

  it.each(SLOTS)("R-45 (a) the firmware's driver leaves it running, and nobody quiesces it, over %s", async (slot) => {
    const system = await SleepingMachine.start({ transport: slot });
    const result = await system.hibernate(() => lightUp(system, { inFlight: false }).then(() => {}));
    await system.expectWhole(result, "resumed");
  });

  const leftovers: readonly (readonly [string, (system: SleepingMachine) => Promise<void> | void])[] = [
    ["half way through its features", ({ host }) => host.connect().writeStatus(0x0b)],
    [
      "with its queues on and no DRIVER_OK",
      async (system) => {
        await lightUp(system, { inFlight: false });
        const transport = system.host.connect();
        system.host.resetDevice();
        negotiateFeatures(transport, { wanted: 0n, required: 0n, previous: null });
        const { bootRegion } = system.bench.machine;
        const at = bootRegion.address;
        transport.enableQueue(0, { size: 16, descriptors: at, driver: at + 0x1000, device: at + 0x2000 });
      },
    ],
    ["with commands under way", (system) => lightUp(system, { inFlight: true }).then(() => {})],
    [
      "given up",
      async (system) => {
        await lightUp(system, { inFlight: true });
        const transport = system.host.connect();
        transport.writeStatus(transport.readStatus() | DeviceStatus.FAILED);
      },
    ],
    [
      "suspended, which the image's driver never heard of",
      async (system) => {
        const { clock, ram, bootRegion } = system.bench.machine;
        const allocator = new RamPageAllocator(ram, bootRegion, {});
        const boot = await VirtioGpu.probe({
          transport: system.host.connect(),
          clock,
          allocator,
          dma: new PhysicalDmaMap(allocator),
        });
        await boot.power.freeze("SUSPEND");
        expect(system.host.machinery.status & DeviceStatus.SUSPEND).not.toBe(0);
      },
    ],
  ];

  it.each(leftovers)("R-45 (b) another version of the driver leaves the device %s", async (_, leave) => {
    for (const transport of ["loopback", "mmio"] as const) {
      const system = await SleepingMachine.start({ transport });
      await system.expectWhole(await system.hibernate(() => leave(system)), "resumed");
      // The other driver's timers too have run out by then.
      await system.bench.machine.clock.advance(10_000);
      await system.expectNothingLeft();
    }
  });

  it("R-45 (b) other features and ring sizes than the image's driver has do not get through to it", async () => {
    const cases: readonly BenchOptions[] = [
      { features: { packed: true } },
      { gpu: { queueSizeMax: 8 } },
      { gpu: { withoutFeatures: [1] } },
    ];
    for (const options of cases) {
      const system = await SleepingMachine.start(options);
      const { driverFeatures } = system.host.machinery;
      const result = await system.hibernate(async () => {
        const boot = await lightUp(system, { inFlight: true });
        expect(boot.features).not.toBe(driverFeatures);
      });
      await system.expectWhole(result, "resumed");
      expect(system.host.machinery.driverFeatures).toBe(driverFeatures);
    }
  });
});

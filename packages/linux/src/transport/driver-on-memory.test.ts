/** The whole driver on this package's memory, with a simulated host: what a hibernation does to physical addresses. */
import { VirtioGpu } from "@virtgpu/core/driver";
import { SimHost, VirtualClock } from "@virtgpu/core/sim";
import { describe, expect, it } from "vitest";
import { ScatteredMemory } from "../../test/support/scattered-memory.ts";
import { LentPages } from "../memory/lent-pages.ts";
import { BusMap } from "../memory/bus-map.ts";
import { PoolAllocator } from "../memory/pool-allocator.ts";
import { GpuSleep } from "../sleep/gpu-sleep.ts";
import { rehearse } from "../sleep/rehearse.ts";
import { PausableTransport } from "./pausable-transport.ts";

interface Machine {
  readonly clock: VirtualClock;
  readonly memory: ScatteredMemory;
  readonly host: SimHost;
  readonly transport: PausableTransport;
  readonly allocator: PoolAllocator;
  readonly dma: BusMap;
  readonly gpu: VirtioGpu;
}

async function boot(): Promise<Machine> {
  const clock = new VirtualClock({ turn: () => new Promise((resolve) => setImmediate(resolve)) });
  const memory = new ScatteredMemory();
  const host = new SimHost({ clock, memory });
  const transport = new PausableTransport(host.transport);
  const allocator = new PoolAllocator(memory);
  const dma = new BusMap(allocator, false);
  const gpu = await clock.run(VirtioGpu.probe({ transport, clock, allocator, dma }));
  return { clock, memory, host, transport, allocator, dma, gpu };
}

const shot = ({ host }: Machine, output = 0): string =>
  Buffer.from(host.device.screenshot(output)?.rgba ?? new Uint8Array(0)).toString("base64");

async function show(machine: Machine, colour: number): Promise<void> {
  const { clock, gpu } = machine;
  const buffer = await clock.run(gpu.createBuffer({ width: 64, height: 48 }));
  buffer.map((bytes) => bytes.fill(colour));
  await clock.run(gpu.output(0).show(buffer));
}

describe("the driver on memory that a hibernation moves", () => {
  it("brings picture, off-screen buffer and lent pages back from other addresses", async () => {
    const machine = await boot();
    const { clock, memory, host, allocator, dma, gpu } = machine;
    await show(machine, 0x5a);
    const lent = new LentPages({ allocator, dma }, "lent", 64 * 48 * 4);
    lent.pages.write(0, new Uint8Array(64 * 48 * 4).fill(0x33));
    const imported = await clock.run(gpu.importBuffer(lent, { width: 64, height: 48 }));
    const before = shot(machine);
    const sleep = new GpuSleep([{ gpu }]);
    await clock.run(sleep.freeze());
    host.kill();
    memory.moveAll((page) => 50_000 + page + Math.floor(page / 700));
    host.powerOn();
    // What openGpu does when a new session asks for the function's BARs.
    dma.invalidate();
    const { picture, complete } = sleep.restore();
    await clock.run(picture);
    expect(shot(machine)).toBe(before);
    const [woken] = await clock.run(complete);
    expect(woken).toMatchObject({ error: null, report: { restored: 2, lost: [], outputs: 1 } });
    await clock.run(gpu.output(0).show(imported));
    expect(Buffer.from(shot(machine), "base64").subarray(0, 3)).toEqual(Buffer.from([0x33, 0x33, 0x33]));
    expect(allocator.close()).toBe(false);
    await clock.run(gpu.remove());
    lent.free();
    expect(allocator.close()).toBe(true);
  });

  it("takes a host whose kicks are held back for hung, and goes on when it answers", async () => {
    const machine = await boot();
    const { clock, transport, gpu } = machine;
    await show(machine, 0x11);
    transport.pause();
    const sleep = new GpuSleep([{ gpu }]);
    await expect(clock.run(sleep.freeze())).rejects.toThrow(expect.objectContaining({ code: "ETIMEDOUT" }));
    transport.resume();
    await clock.advance(5000);
    expect(gpu.isHung).toBe(false);
    await show(machine, 0x22);
    await clock.run(sleep.freeze());
    const [woken] = await clock.run(sleep.restore().complete);
    expect(woken?.error).toBeNull();
    expect(Buffer.from(shot(machine), "base64").subarray(0, 3)).toEqual(Buffer.from([0x22, 0x22, 0x22]));
  });

  it("goes through a sleep beforehand, and leaves nothing of it", async () => {
    const machine = await boot();
    const { clock, gpu } = machine;
    const states: string[] = [];
    gpu.onState((state) => states.push(state));
    await clock.run(rehearse([{ gpu }]));
    await clock.settle();
    expect(states.filter((state) => state === "frozen")).toHaveLength(2);
    expect(gpu.state).toBe("running");
    expect(machine.host.device.save().resources).toEqual([]);
    await show(machine, 0x33);
    expect(Buffer.from(shot(machine), "base64").subarray(0, 3)).toEqual(Buffer.from([0x33, 0x33, 0x33]));
  });
});

/**
 * What a guest's hibernation does to the device, without a guest: a driver that does not know of it, in one machine and in
 * the next, with v86's memory as all that comes along.
 */
import { afterEach, describe, expect, it } from "vitest";
import { BootDriver } from "@virtgpu/core/sim";
import { PciTransport, negotiateFeatures } from "@virtgpu/core/virtio";
import { DeviceStatus } from "@virtgpu/core/wire";
import { BareMachine, MEMORY_BYTES, clock } from "./support/bare-machine.ts";

const REGION = { address: 2 << 20, byteLength: 1 << 20 };
const machines: BareMachine[] = [];

afterEach(async () => {
  for (const machine of machines.splice(0)) await machine.stop();
});

async function create(rescueStaleDrivers: boolean | Uint8Array): Promise<BareMachine> {
  const machine = await BareMachine.create({ rescueStaleDrivers });
  machines.push(machine);
  return machine;
}

async function drive(machine: BareMachine): Promise<{ driver: BootDriver; transport: PciTransport }> {
  const transport = PciTransport.open(machine.function);
  const first = machine.function.config.read32(0x10) & 0xfffc;
  // Ours knows that it has no queues after a reset; a stale driver kicks as ever.
  transport.notify = (queue) => machine.ports.port_write16(first + 0x40 + 4 * queue, queue);
  const driver = await BootDriver.start({ transport, clock, memory: machine.memory, region: REGION });
  await driver.lightUp({ scanoutId: 0, resourceId: 3, width: 32, height: 16, colour: 0x12_3456 });
  return { driver, transport };
}

/** What Linux's virtio core does at thaw and at resume. */
function resetAndGoOn(transport: PciTransport, features: bigint): void {
  transport.writeStatus(0);
  negotiateFeatures(transport, { wanted: features, required: 0n, previous: null });
  transport.writeStatus(transport.readStatus() | DeviceStatus.DRIVER_OK);
}

function colour(machine: BareMachine): number[] {
  return [...(machine.gpu.screenshot(0)?.rgba.subarray(0, 3) ?? [])];
}

describe("a driver that does not know of a hibernation", () => {
  it("is lost where nobody asked for its rescue", async () => {
    const machine = await create(false);
    const { driver, transport } = await drive(machine);
    resetAndGoOn(transport, driver.features);
    expect(colour(machine)).toEqual([]);
  });

  it("goes on in the machine that thaws, and in the one that resumes from its memory", async () => {
    const machine = await create(true);
    const { driver, transport } = await drive(machine);
    const image = machine.cpu.mem8.slice(0, MEMORY_BYTES);
    resetAndGoOn(transport, driver.features);
    expect(colour(machine)).toEqual([0x12, 0x34, 0x56]);
    await driver.lightUp({ scanoutId: 0, resourceId: 4, width: 64, height: 16, colour: 0x65_4321 });
    expect(colour(machine)).toEqual([0x65, 0x43, 0x21]);

    const next = await create(machine.gpu.save());
    next.memory.write(0, image);
    const resumed = PciTransport.open(next.function);
    resetAndGoOn(resumed, driver.features);
    expect(colour(next)).toEqual([0x12, 0x34, 0x56]);
    expect(next.gpu.device.usage.resources).toBe(1);
    expect(next.problems).toEqual([]);
  });

  it("is refused with a sentence where the bytes are no saved state", async () => {
    await expect(create(Uint8Array.of(1, 2, 3))).rejects.toThrow("not a saved state of the GPU");
  });
});

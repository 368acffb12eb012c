import { describe, expect, it } from "vitest";
import { GuestRam } from "../memory/guest-ram.ts";
import { createDeviceQueue } from "./device-queue.ts";
import { createDriverQueue, driverQueueBytes, driverQueueSize } from "./driver-queue.ts";
import { Chain, DescriptorList } from "./queue.ts";

describe("the queue of a negotiated layout", () => {
  it("has the size that both sides can have: a power of two for split rings alone", () => {
    const size = (max: number, wanted: number, packed: boolean): number => driverQueueSize({ max, wanted, packed });
    expect([size(64, 256, false), size(64, 50, false), size(1, 64, false), size(0, 64, false)]).toEqual([64, 32, 1, 0]);
    expect([size(64, 50, true), size(50, 64, true), size(0, 64, true)]).toEqual([50, 50, 0]);
    // A device that claims an odd or a huge maximum gets what can be.
    expect([size(48, 64, false), size(65_535, 65_535, false), size(65_535, 65_535, true)]).toEqual([
      32, 32_768, 32_768,
    ]);
  });

  it.each([false, true])("is the same layout at both ends (packed: %s)", (packed) => {
    const shape = { size: packed ? 3 : 4, packed, indirectEntries: 2 };
    const byteLength = driverQueueBytes(shape);
    const ram = GuestRam.of(0x1000 + byteLength);
    const memory = ram.ringMemory(0x1000, byteLength);
    const driver = createDriverQueue({ ...shape, eventIndex: true, memory, address: 0x1000 });
    const { addresses } = driver;
    const device = createDeviceQueue({ packed, memory: ram, addresses, indirect: true, eventIndex: true });
    const list = new DescriptorList();
    list.pushReadable(0x10, 24);
    list.pushWritable(0x20, 24);
    const id = driver.add(list);
    const chain = new Chain();
    expect(device.pop(chain)).toBe(true);
    device.push(chain, 24);
    device.flush();
    expect(driver.pop()).toBe(true);
    expect(driver.used).toEqual({ id, byteLength: 24 });
  });
});

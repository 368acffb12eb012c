import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import { DescriptorList } from "../../virtio/queue.ts";
import { createSplitDriverQueue, splitLayout } from "../../virtio/split/index.ts";
import { WatchedMemory } from "./watched-memory.ts";

describe("watched memory", () => {
  it("records every way to touch a ring, with its address", () => {
    const memory = new WatchedMemory(GuestRam.of(0x4000));
    const ring = memory.ringMemory(0x1000, 64);
    ring.u32[3] = 1;
    memory.arm();
    ring.u32[3] = 7;
    const read = ring.u8[12];
    ring.load16(6);
    ring.store16(5, 1);
    ring.publish(0, 8);
    ring.refresh(8, 4);
    ring.u16.fill(0, 0, 2);
    memory.read(0x2000, new Uint8Array(3));
    memory.write(0x2000, new Uint8Array(4));
    expect(read).toBe(7);
    expect(memory.accesses).toEqual([
      { what: "write", address: 0x100c, byteLength: 4, by: "array" },
      { what: "read", address: 0x100c, byteLength: 1, by: "array" },
      { what: "read", address: 0x100c, byteLength: 2, by: "load16" },
      { what: "write", address: 0x100a, byteLength: 2, by: "store16" },
      { what: "write", address: 0x1000, byteLength: 8, by: "publish" },
      { what: "read", address: 0x1008, byteLength: 4, by: "refresh" },
      { what: "write", address: 0x1000, byteLength: 64, by: "fill" },
      { what: "read", address: 0x2000, byteLength: 3, by: "copy" },
      { what: "write", address: 0x2000, byteLength: 4, by: "copy" },
    ]);
    memory.disarm();
    ring.store16(0, 1);
    expect(memory.accesses).toHaveLength(9);
  });

  it("records what lies in the range alone", () => {
    const memory = new WatchedMemory(GuestRam.of(0x4000));
    const ring = memory.ringMemory(0x1000, 64);
    memory.arm({ address: 0x1010, byteLength: 0x10 });
    ring.store16(7, 1);
    ring.store16(8, 1);
    ring.store16(15, 1);
    ring.store16(16, 1);
    expect(memory.accesses.map(({ address }) => address)).toEqual([0x1010, 0x101e]);
  });

  it("is memory to a driver's queue, and sees all that the queue does", () => {
    const memory = new WatchedMemory(GuestRam.of(0x8000));
    const layout = { size: 8, indirectEntries: 4 };
    const { byteLength } = splitLayout(layout);
    const ring = memory.ringMemory(0x1000, byteLength);
    const queue = createSplitDriverQueue({ ...layout, eventIndex: true, memory: ring, address: 0x1000 });
    const list = new DescriptorList();
    list.pushReadable(0x4000, 24);
    memory.arm({ address: 0x1000, byteLength });
    expect(queue.pop()).toBe(false);
    const looked = memory.accesses.length;
    expect(looked).toBeGreaterThan(0);
    expect(queue.add(list)).toBeGreaterThanOrEqual(0);
    expect(memory.accesses.slice(looked).some(({ what }) => what === "write")).toBe(true);
    memory.arm();
    expect(queue.outstanding).toBe(1);
    expect(memory.accesses).toEqual([]);
  });
});

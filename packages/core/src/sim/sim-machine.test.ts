import { describe, expect, it } from "vitest";
import { PAGE_BYTES, type Pages } from "../memory/pages.ts";
import { GpuReply } from "../wire/gpu.ts";
import { createSimMachine } from "./sim-machine.ts";

const bytesOf = (pages: Pages): Uint8Array => {
  const bytes = new Uint8Array(pages.byteLength);
  pages.read(0, bytes);
  return bytes;
};

describe("a simulated machine", () => {
  it("is put together in one call, with a device that a boot driver can use", async () => {
    const machine = createSimMachine();
    const driver = await machine.clock.run(machine.startBootDriver());
    const reply = await machine.clock.run(driver.send({ op: "getDisplayInfo" }));
    expect(reply).toBe(GpuReply.OK_DISPLAY_INFO);
    machine.assertClean();
  });

  it("hands out scattered, poisoned memory; the same for the same seed", () => {
    const frames = (seed: number): readonly number[] => {
      const { allocator } = createSimMachine({ seed });
      allocator.allocate(8 * PAGE_BYTES);
      return allocator.save()[0]?.frames ?? [];
    };
    expect(frames(5)).toEqual(frames(5));
    expect(frames(5)).not.toEqual(frames(6));
    expect(frames(5)).not.toEqual(frames(5).toSorted((a, b) => a - b));
    const { allocator, ram, frames: table } = createSimMachine();
    const pages = allocator.allocate(1);
    const [frame = 0] = table.framesOf(pages);
    allocator.free(pages);
    expect(ram.view(frame * PAGE_BYTES, 1)).toEqual(Uint8Array.of(0xaa));
  });

  it("notices a device that uses what the driver did not map", async () => {
    const machine = createSimMachine();
    const driver = await machine.clock.run(machine.startBootDriver());
    const { addresses } = machine.dma.map(machine.allocator.allocate(PAGE_BYTES));
    const transfer = { x: 0, y: 0, width: 32, height: 32, offset: 0, resourceId: 1 };
    const send = async (address: number): Promise<void> => {
      const entries = [{ address, byteLength: PAGE_BYTES }];
      await machine.clock.run(driver.send({ op: "resourceAttachBacking", resourceId: 1, entries }));
      await machine.clock.run(driver.send({ op: "transferToHost2d", ...transfer }));
      await machine.clock.run(driver.send({ op: "resourceDetachBacking", resourceId: 1 }));
    };
    await machine.clock.run(driver.send({ op: "resourceCreate2d", resourceId: 1, format: 1, width: 32, height: 32 }));
    await send(addresses[0] ?? 0);
    machine.assertClean();
    await send(0x4000);
    expect(machine.dmaWatch?.violations[0]).toMatchObject({ what: "read", address: 0x4000 });
    expect(() => machine.assertClean()).toThrow("read: ");
  });

  it("puts memory back as it was, in place or in other frames", () => {
    const machine = createSimMachine({ ramBytes: 1 << 20 });
    const pages = machine.allocator.allocate(3 * PAGE_BYTES);
    pages.write(PAGE_BYTES - 1, Uint8Array.of(1, 2, 3));
    const before = bytesOf(pages);
    const image = machine.snapshot();
    const later = machine.allocator.allocate(PAGE_BYTES);
    later.write(0, Uint8Array.of(9));
    pages.write(0, new Uint8Array(pages.byteLength).fill(0xee));
    machine.restore(image);
    expect(bytesOf(pages)).toEqual(before);
    const frames = [...machine.frames.framesOf(pages)];
    pages.write(0, new Uint8Array(pages.byteLength).fill(0xee));
    machine.restore(image, { moveFrames: true });
    expect(bytesOf(pages)).toEqual(before);
    expect(machine.frames.framesOf(pages)).not.toEqual(frames);
    machine.restore(image);
    expect(bytesOf(pages)).toEqual(before);
    expect(bytesOf(later)[0]).toBe(9);
    machine.dma.map(pages);
    expect(() => machine.restore(image, { moveFrames: true })).toThrow("frames can't move");
  });

  it("starts a new machine from an old one's memory, its pages to be adopted", () => {
    const old = createSimMachine({ ramBytes: 1 << 20 });
    const pages = old.allocator.allocate(2 * PAGE_BYTES);
    pages.write(5, Uint8Array.of(4, 5, 6));
    const image = old.snapshot();
    const fresh = createSimMachine({ ramBytes: 1 << 20, image, seed: 2 });
    expect(fresh.allocator.allocatedBytes).toBe(0);
    const [record] = image.pages;
    if (record === undefined) throw new Error("there is a record");
    const adopted = fresh.allocator.adopt(record);
    expect(bytesOf(adopted)).toEqual(bytesOf(pages));
    expect(() => createSimMachine({ ramBytes: 2 << 20, image })).toThrow("EINVAL");
  });

  it("puts an IOMMU between device and memory", () => {
    const machine = createSimMachine({ iommu: true });
    expect(machine.transport.readDeviceFeatures() & (1n << 33n)).not.toBe(0n);
    const { addresses } = machine.dma.map(machine.allocator.allocate(PAGE_BYTES));
    expect(addresses[0]).toBeGreaterThanOrEqual(2 ** 40);
    expect(() => machine.startBootDriver()).toThrow("ENOTSUP");
  });

  it("holds several hosts, which lose and regain power together", () => {
    const machine = createSimMachine();
    const second = machine.addHost();
    expect(machine.hosts.map(({ label }) => label)).toEqual(["gpu0", "gpu1"]);
    machine.powerOff();
    expect(() => second.transport.readStatus()).toThrow("gpu1: the host is gone");
    expect(() => machine.transport.readStatus()).toThrow("gpu0: the host is gone");
    machine.powerOn();
    expect(second.transport.readStatus()).toBe(0);
    expect(machine.host.lives).toBe(2);
  });

  it("lets accesses to rings be watched", () => {
    const machine = createSimMachine({ watchRings: true });
    const ring = machine.allocator.allocate(PAGE_BYTES, { contiguous: true }).ringMemory(0, 64);
    machine.rings?.arm();
    ring.u16[3] = 1;
    expect(machine.rings?.accesses).toHaveLength(1);
    expect(createSimMachine().rings).toBeNull();
  });
});

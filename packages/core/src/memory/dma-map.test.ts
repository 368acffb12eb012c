import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../base/assert.ts";
import { IommuDmaMap, PhysicalDmaMap } from "./dma-map.ts";
import { MemoryRangeError } from "./guest-memory.ts";
import { GuestRam } from "./guest-ram.ts";
import { IommuGuestMemory } from "./iommu-memory.ts";
import { PAGE_BYTES, type Pages, type ScatterList } from "./pages.ts";
import { RamPageAllocator } from "./ram-allocator.ts";

const RANGE = { address: 0x10000, byteLength: 64 * PAGE_BYTES };

function setUp(): { ram: GuestRam; allocator: RamPageAllocator } {
  const ram = GuestRam.of(RANGE.address + RANGE.byteLength);
  return { ram, allocator: new RamPageAllocator(ram, RANGE) };
}

/** Pages on the given frames. */
function pagesOn(allocator: RamPageAllocator, key: number, frames: readonly number[]): Pages {
  return allocator.adopt({ key, byteLength: frames.length * PAGE_BYTES, contiguous: false, frames });
}

function ranges(list: ScatterList): [number, number][] {
  return Array.from({ length: list.count }, (_, index) => [list.addresses[index] ?? 0, list.lengths[index] ?? 0]);
}

describe("physical DMA map", () => {
  it("names frames by their addresses, adjacent ones merged, order kept", () => {
    const { allocator } = setUp();
    const map = new PhysicalDmaMap(allocator);
    const pages = pagesOn(allocator, 1, [20, 21, 22, 40, 30, 31, 29]);
    expect(ranges(map.map(pages))).toEqual([
      [20 * 4096, 3 * 4096],
      [40 * 4096, 4096],
      [30 * 4096, 2 * 4096],
      [29 * 4096, 4096],
    ]);
  });

  it("counts uses, and resolves anew only for a new session", () => {
    const { allocator } = setUp();
    const map = new PhysicalDmaMap(allocator);
    const pages = allocator.allocate(2 * PAGE_BYTES);
    const first = map.map(pages);
    expect(map.map(pages)).toBe(first);
    allocator.moveFrames();
    expect(map.map(pages)).toBe(first);
    map.invalidate();
    const second = map.map(pages);
    expect(ranges(second)).not.toEqual(ranges(first));
    map.unmap(pages);
    // Given back late, by whoever mapped it in the session before: no mistake.
    expect(() => map.unmap(pages)).not.toThrow();
    expect(() => map.unmap(allocator.allocate(1))).toThrow(InvariantViolation);
  });
});

describe("IOMMU DMA map", () => {
  it("gives other addresses than physical ones, through which the device reaches the same bytes", () => {
    const { ram, allocator } = setUp();
    const map = new IommuDmaMap(allocator);
    const device = new IommuGuestMemory(ram, map);
    const pages = pagesOn(allocator, 1, [25, 20, 21, 50]);
    pages.write(
      0,
      Uint8Array.from({ length: pages.byteLength }, (_, index) => (index >> 10) & 0xff),
    );
    const list = map.map(pages);
    expect(list.count).toBe(1);
    const address = list.addresses[0] ?? 0;
    expect(ram.contains(address, 1)).toBe(false);
    const seen = new Uint8Array(pages.byteLength);
    device.read(address, seen);
    const own = new Uint8Array(pages.byteLength);
    pages.read(0, own);
    expect(seen).toEqual(own);
    device.write(address + PAGE_BYTES - 1, Uint8Array.of(0xee, 0xff));
    pages.read(PAGE_BYTES - 1, own.subarray(0, 2));
    expect([...own.subarray(0, 2)]).toEqual([0xee, 0xff]);
    expect(device.view(address, 2 * PAGE_BYTES)).toBeNull();
    expect(device.view(address + PAGE_BYTES, 2 * PAGE_BYTES)?.byteLength).toBe(2 * PAGE_BYTES);
    expect(() => device.ringMemory(address, 2 * PAGE_BYTES)).toThrow(MemoryRangeError);
    device.ringMemory(address + PAGE_BYTES, 64).store16(0, 0x1234);
    pages.read(PAGE_BYTES, own.subarray(0, 2));
    expect([...own.subarray(0, 2)]).toEqual([0x34, 0x12]);
  });

  it("fails a device's access to what is not mapped, not mapped any more, or physical", () => {
    const { ram, allocator } = setUp();
    const map = new IommuDmaMap(allocator);
    const device = new IommuGuestMemory(ram, map);
    const pages = allocator.allocate(2 * PAGE_BYTES);
    const address = map.map(pages).addresses[0] ?? 0;
    const byte = new Uint8Array(1);
    expect(device.contains(address, 2 * PAGE_BYTES)).toBe(true);
    expect(device.contains(address, 2 * PAGE_BYTES + 1)).toBe(false);
    for (const hostile of [RANGE.address, -1, Number.NaN, 0.5, 2 ** 60, address - 1, address + 2 * PAGE_BYTES]) {
      expect(() => device.read(hostile, byte)).toThrow(MemoryRangeError);
      expect(device.contains(hostile, 1)).toBe(false);
    }
    expect(device.contains(address, Number.NaN)).toBe(false);
    expect(device.contains(address, -1)).toBe(false);
    expect(device.contains(address, 2 ** 53)).toBe(false);
    map.map(pages);
    map.unmap(pages);
    device.read(address, byte);
    map.unmap(pages);
    expect(() => device.read(address, byte)).toThrow(MemoryRangeError);
    expect(map.mappedPages).toBe(0);
  });

  it("does not use an address again soon, nor in the next session", () => {
    const { allocator } = setUp();
    const map = new IommuDmaMap(allocator, { pagesMax: 8 });
    const seen = new Set<number>();
    for (let round = 0; round < 8; round += 1) {
      const pages = allocator.allocate(4 * PAGE_BYTES);
      const address = map.map(pages).addresses[0] ?? 0;
      expect(seen.has(address)).toBe(false);
      seen.add(address);
      if (round % 2 === 0) map.unmap(pages);
      else map.invalidate();
      allocator.free(pages);
    }
    // The window is used up: from here on old addresses come back.
    const pages = allocator.allocate(4 * PAGE_BYTES);
    expect(seen.has(map.map(pages).addresses[0] ?? 0)).toBe(true);
  });

  it("has a bounded table (ENOMEM)", () => {
    const { allocator } = setUp();
    const map = new IommuDmaMap(allocator, { pagesMax: 4 });
    const pages = allocator.allocate(3 * PAGE_BYTES);
    map.map(pages);
    expect(() => map.map(allocator.allocate(2 * PAGE_BYTES))).toThrow(expect.objectContaining({ code: "ENOMEM" }));
    map.unmap(pages);
    expect(map.map(allocator.allocate(4 * PAGE_BYTES)).count).toBe(1);
  });
});

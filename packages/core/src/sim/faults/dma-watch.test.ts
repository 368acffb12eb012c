import { beforeEach, describe, expect, it } from "vitest";
import { PhysicalDmaMap } from "../../memory/dma-map.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { PAGE_BYTES } from "../../memory/pages.ts";
import { RamPageAllocator } from "../../memory/ram-allocator.ts";
import { SeededRandom } from "../seeded-random.ts";
import { DmaWatch } from "./dma-watch.ts";
import { FaultyAllocator } from "./faulty-allocator.ts";
import { FaultyDmaMap } from "./faulty-dma-map.ts";

const byteLength = 64 * PAGE_BYTES;

let ram: GuestRam;
let allocator: FaultyAllocator;
let dma: FaultyDmaMap;
let watch: DmaWatch;

beforeEach(() => {
  ram = GuestRam.of(byteLength);
  const frames = new RamPageAllocator(ram, { address: 0, byteLength }, { scatter: new SeededRandom(1) });
  allocator = new FaultyAllocator(frames);
  dma = new FaultyDmaMap(new PhysicalDmaMap(frames));
  watch = new DmaWatch({ memory: ram, dma, allocator });
});

describe("a faulty DMA map", () => {
  it("fails the k-th mapping from now, and what would map too much", () => {
    const pages = allocator.allocate(2 * PAGE_BYTES);
    dma.map(pages);
    dma.failAt(2);
    dma.map(pages);
    expect(() => dma.map(pages)).toThrow("ENOMEM");
    dma.pagesMax = 3;
    dma.map(pages);
    expect(() => dma.map(allocator.allocate(2 * PAGE_BYTES))).toThrow("more than 3 pages");
    dma.map(allocator.allocate(PAGE_BYTES));
  });

  it("knows at any moment what the device may use", () => {
    const pages = allocator.allocate(3 * PAGE_BYTES);
    const { addresses } = dma.map(pages);
    const first = addresses[0] ?? 0;
    dma.map(pages);
    expect(dma.covers(first, PAGE_BYTES)).toBe(true);
    expect(dma.covers(first + PAGE_BYTES - 1, 2)).toBe(false);
    dma.unmap(pages);
    expect(dma.covers(first, 1)).toBe(true);
    dma.unmap(pages);
    expect(dma.covers(first, 1)).toBe(false);
  });

  it("finds what was never unmapped, or too early, and ends all mappings with a session", () => {
    const pages = allocator.allocate(1);
    const { addresses } = dma.map(pages);
    dma.assertBalanced([pages]);
    expect(() => dma.assertBalanced()).toThrow(`never unmapped: ${pages.key}`);
    dma.invalidate();
    expect(dma.covers(addresses[0] ?? 0, 1)).toBe(false);
    expect(() => dma.assertBalanced([pages])).toThrow("too early");
    dma.unmap(pages);
    dma.assertBalanced();
  });
});

describe("a watch over DMA", () => {
  it("lets a device use what is mapped, and no more", () => {
    const pages = allocator.allocate(PAGE_BYTES);
    const address = dma.map(pages).addresses[0] ?? 0;
    watch.write(address + 10, Uint8Array.of(1, 2, 3));
    watch.read(address, new Uint8Array(PAGE_BYTES));
    expect(watch.violations).toEqual([]);
    dma.unmap(pages);
    watch.write(address + 10, Uint8Array.of(4));
    watch.read(address, new Uint8Array(2));
    expect(watch.violations).toEqual([
      { what: "write", address: address + 10, byteLength: 1, key: null },
      { what: "read", address, byteLength: 2, key: null },
    ]);
    expect(ram.view(address + 10, 1)).toEqual(Uint8Array.of(4));
    watch.clear();
    expect(watch.violations).toEqual([]);
  });

  it("sees accesses to rings, also through a window made while all was well", () => {
    const pages = allocator.allocate(PAGE_BYTES, { contiguous: true });
    const address = dma.map(pages).addresses[0] ?? 0;
    const ring = watch.ringMemory(address, 64);
    ring.store16(1, 77);
    ring.u32[4] = 9;
    ring.publish(16, 4);
    expect(watch.violations).toEqual([]);
    expect(new Uint16Array(ram.view(address, 64).slice().buffer)[1]).toBe(77);
    dma.unmap(pages);
    ring.load16(0);
    ring.store16(1, 78);
    expect(watch.violations.map(({ what, byteLength }) => [what, byteLength])).toEqual([
      ["read", 2],
      ["write", 2],
    ]);
  });

  it("gives no view that would go unseen", () => {
    expect(watch.view()).toBeNull();
    expect(watch.regions).toEqual(ram.regions);
    expect(() => watch.ringMemory(byteLength, 4)).toThrow("outside guest memory");
  });

  it("finds pages that are given back while the device could still use them", () => {
    const pages = allocator.allocate(PAGE_BYTES);
    dma.map(pages);
    allocator.free(pages);
    expect(watch.violations).toEqual([
      { what: "freed while mapped", address: 0, byteLength: PAGE_BYTES, key: pages.key },
    ]);
  });

  it("refuses what is not mapped, where it is told to", () => {
    const strict = new DmaWatch({ memory: ram, dma, refuse: true });
    expect(() => strict.write(0, Uint8Array.of(1))).toThrow("outside guest memory");
    expect(ram.view(0, 1)).toEqual(Uint8Array.of(0));
  });
});

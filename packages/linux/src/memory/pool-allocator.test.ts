import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES, PhysicalDmaMap, scatterBytes } from "@virtgpu/core/memory";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScatteredMemory } from "../../test/support/scattered-memory.ts";
import { BusMap } from "./bus-map.ts";
import { PoolAllocator } from "./pool-allocator.ts";
import type { MemorySource } from "./source.ts";

const MIB = 1 << 20;

describe("the driver's memory", () => {
  it("gives zeroed pages that nobody else has, and takes them back", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 * PAGE_BYTES }), { maxLength: 30 }), (sizes) => {
        const allocator = new PoolAllocator(new ScatteredMemory());
        const taken = sizes.map((bytes, index) => {
          const pages = allocator.allocate(bytes);
          expect(pages.view()?.every((byte) => byte === 0)).toBe(true);
          pages.write(0, new Uint8Array(pages.byteLength).fill(index + 1));
          return pages;
        });
        taken.forEach((pages, index) => {
          expect(pages.view()?.every((byte) => byte === index + 1)).toBe(true);
          expect(allocator.framesOf(pages)).toHaveLength(pages.byteLength / PAGE_BYTES);
        });
        const frames = taken.flatMap((pages) => [...allocator.framesOf(pages)]);
        expect(new Set(frames).size).toBe(frames.length);
        for (const pages of taken) allocator.free(pages);
        expect(allocator.allocatedBytes).toBe(0);
        if (taken.length > 0)
          expect(
            allocator
              .allocate(1)
              .view()
              ?.every((byte) => byte === 0),
          ).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it("finds contiguous pages among scattered frames", () => {
    // Every eighth page is torn from the one before it.
    const memory = new ScatteredMemory((page) => 1000 + page + Math.floor(page / 8));
    const allocator = new PoolAllocator(memory);
    allocator.allocate(3 * PAGE_BYTES);
    const pages = allocator.allocate(6 * PAGE_BYTES, { contiguous: true });
    const [first = 0] = allocator.framesOf(pages);
    expect(allocator.framesOf(pages)).toEqual([0, 1, 2, 3, 4, 5].map((index) => first + index));
    expect(() => allocator.allocate(9 * PAGE_BYTES, { contiguous: true })).toThrow(/no 9 pages in a row/);
  });

  it("puts contiguous pages elsewhere that a sleep tore apart, with their contents", () => {
    const memory = new ScatteredMemory();
    const allocator = new PoolAllocator(memory);
    const pages = allocator.allocate(4 * PAGE_BYTES, { contiguous: true });
    pages.write(0, new Uint8Array(pages.byteLength).fill(7));
    memory.moveAll((page) => (page < 4 ? 5000 + 2 * page : 9000 + page));
    allocator.forgetFrames();
    const frames = allocator.framesOf(pages);
    expect(frames).toEqual([9004, 9005, 9006, 9007]);
    const seen = new Uint8Array(pages.byteLength);
    memory.read(9004 * PAGE_BYTES, seen);
    expect(seen.every((byte) => byte === 7)).toBe(true);
    expect(pages.ringMemory(PAGE_BYTES, 64).u8[0]).toBe(7);
  });

  it("names frames anew once the map is told that they may have moved", () => {
    const memory = new ScatteredMemory();
    const allocator = new PoolAllocator(memory);
    const map = new BusMap(allocator, false);
    const pages = allocator.allocate(2 * PAGE_BYTES);
    const before = map.map(pages);
    memory.moveAll((page) => 7000 + 3 * page);
    map.invalidate();
    const after = map.map(pages);
    expect(scatterBytes(after)).toBe(scatterBytes(before));
    expect(Array.from(after.addresses)).toEqual([7000 * PAGE_BYTES, 7003 * PAGE_BYTES]);
    expect(new PhysicalDmaMap(allocator).map(pages)).toEqual(after);
  });

  it("grows, and takes less where much can't be had", () => {
    const memory = new ScatteredMemory();
    const limited: MemorySource = {
      granularity: PAGE_BYTES,
      allocate: (bytes) => {
        if (bytes > MIB) throw new GpuError("ENOMEM", "too much");
        return memory.allocate(bytes);
      },
      close: () => memory.close(),
    };
    const allocator = new PoolAllocator(limited);
    const taken = [allocator.allocate(MIB), allocator.allocate(MIB / 2)];
    expect(memory.chunks.map(({ bytes }) => bytes.byteLength)).toEqual([MIB, MIB / 2]);
    expect(() => allocator.allocate(2 * MIB)).toThrow(expect.objectContaining({ code: "ENOMEM" }));
    expect(allocator.close()).toBe(false);
    expect(memory.isClosed).toBe(false);
    for (const pages of taken) allocator.free(pages);
    expect(allocator.close()).toBe(true);
    expect(memory.chunks).toEqual([]);
    expect(memory.isClosed).toBe(true);
  });

  it("adopts nothing: its memory ends with its process", () => {
    const allocator = new PoolAllocator(new ScatteredMemory());
    allocator.allocate(PAGE_BYTES);
    const [record] = allocator.save();
    expect(record).toEqual({ key: 1, byteLength: PAGE_BYTES, contiguous: false, frames: [0] });
    if (record !== undefined) {
      expect(() => allocator.adopt(record)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
  });
});

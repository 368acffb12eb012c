import { describe, expect, it } from "vitest";
import { GuestRam } from "../../memory/guest-ram.ts";
import { PAGE_BYTES } from "../../memory/pages.ts";
import { RamPageAllocator } from "../../memory/ram-allocator.ts";
import { FaultyAllocator } from "./faulty-allocator.ts";

function setUp(): FaultyAllocator {
  const byteLength = 64 * PAGE_BYTES;
  return new FaultyAllocator(new RamPageAllocator(GuestRam.of(byteLength), { address: 0, byteLength }));
}

describe("a faulty allocator", () => {
  it("fails the k-th request from now, and as many as told", () => {
    const allocator = setUp();
    allocator.allocate(1);
    allocator.failAt(2, 2);
    const results = [1, 2, 3, 4].map(() => {
      try {
        return allocator.allocate(PAGE_BYTES).key > 0;
      } catch (error) {
        return String(error);
      }
    });
    expect(results).toEqual([true, expect.stringContaining("ENOMEM"), expect.stringContaining("ENOMEM"), true]);
    expect(allocator.attempts).toBe(5);
    allocator.failAt(1);
    allocator.clear();
    expect(allocator.allocate(1).byteLength).toBe(PAGE_BYTES);
  });

  it("fails whatever leads beyond a bound, and lets smaller requests through", () => {
    const allocator = setUp();
    allocator.bytesMax = 3 * PAGE_BYTES;
    allocator.allocate(2 * PAGE_BYTES);
    expect(() => allocator.allocate(2 * PAGE_BYTES)).toThrow("ENOMEM");
    expect(allocator.allocate(PAGE_BYTES).byteLength).toBe(PAGE_BYTES);
    expect(allocator.allocatedBytes).toBe(3 * PAGE_BYTES);
  });

  it("remembers every request, those that failed for want of memory included", () => {
    const allocator = setUp();
    const { key } = allocator.allocate(10, { contiguous: true });
    const since = allocator.attempts;
    expect(() => allocator.allocate(65 * PAGE_BYTES)).toThrow("ENOMEM");
    expect(allocator.history()).toEqual([
      { sequence: 1, byteLength: 10, contiguous: true, key },
      { sequence: 2, byteLength: 65 * PAGE_BYTES, contiguous: false, key: null },
    ]);
    expect(allocator.history(since)).toHaveLength(1);
  });

  it("finds what is given back twice, never, or too early", () => {
    const allocator = setUp();
    const kept = allocator.allocate(1);
    const other = allocator.allocate(2 * PAGE_BYTES);
    allocator.assertNoLeak([kept, other]);
    expect(() => allocator.assertNoLeak([kept])).toThrow(`never given back: ${other.key} (8192 bytes)`);
    allocator.free(other);
    expect(() => allocator.free(other)).toThrow("given back twice");
    expect(() => allocator.assertNoLeak([kept, other])).toThrow("too early");
    allocator.assertNoLeak([kept]);
    expect([allocator.frees, allocator.peakBytes, allocator.live().size]).toEqual([1, 3 * PAGE_BYTES, 1]);
  });

  it("keeps books of adopted pages too", () => {
    const allocator = setUp();
    const adopted = allocator.adopt({ key: 5, byteLength: PAGE_BYTES, contiguous: true, frames: [9] });
    expect(() => allocator.assertNoLeak()).toThrow("never given back: 5");
    expect(allocator.save()).toHaveLength(1);
    allocator.free(adopted);
    allocator.assertNoLeak();
  });
});

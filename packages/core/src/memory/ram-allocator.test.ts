import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { MemoryRangeError } from "./guest-memory.ts";
import { GuestRam } from "./guest-ram.ts";
import { PAGE_BYTES, type Pages, type PagesRecord } from "./pages.ts";
import { RamPageAllocator, type RamAllocatorOptions } from "./ram-allocator.ts";

/** A repeatable sequence. */
function seeded(seed: number): Random {
  let state = seed;
  return {
    nextU32: () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return (state ^ (state >>> 15)) >>> 0;
    },
  };
}

const PAGES = 64;
const START = 16;

function setUp(options: RamAllocatorOptions = {}): { ram: GuestRam; allocator: RamPageAllocator } {
  const ram = GuestRam.of((START + PAGES) * PAGE_BYTES);
  const range = { address: START * PAGE_BYTES, byteLength: PAGES * PAGE_BYTES };
  return { ram, allocator: new RamPageAllocator(ram, range, options) };
}

function pattern(key: number, byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, index) => (key * 31 + index * 7 + (index >> 12)) & 0xff);
}

function contents(pages: Pages): Uint8Array {
  const bytes = new Uint8Array(pages.byteLength);
  pages.read(0, bytes);
  return bytes;
}

describe("page allocator", () => {
  it("rounds up to pages, zeroes them, and counts what it handed out", () => {
    const { ram, allocator } = setUp();
    ram.view(0, ram.regions[0]?.byteLength ?? 0).fill(0x55);
    const pages = allocator.allocate(PAGE_BYTES + 1);
    expect(pages.byteLength).toBe(2 * PAGE_BYTES);
    expect(contents(pages).every((byte) => byte === 0)).toBe(true);
    expect(allocator.allocatedBytes).toBe(2 * PAGE_BYTES);
    allocator.free(pages);
    expect(allocator.allocatedBytes).toBe(0);
  });

  it("never hands a frame to two, whatever the order of allocating, freeing and moving", () => {
    const step = fc.record({
      what: fc.constantFrom("allocate", "contiguous", "free", "move"),
      pages: fc.integer({ min: 1, max: 12 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), fc.nat(), (steps, scatter, seed) => {
        const { allocator } = setUp({ poison: true, ...(scatter ? { scatter: seeded(seed) } : {}) });
        const held = new Map<number, { pages: Pages; bytes: Uint8Array }>();
        const keys = new Set<number>();
        for (const { what, pages: count, pick } of steps) {
          const picked = [...held.values()][pick % Math.max(1, held.size)];
          try {
            if (what === "allocate" || what === "contiguous") {
              const pages = allocator.allocate(count * PAGE_BYTES, { contiguous: what === "contiguous" });
              expect(keys.has(pages.key)).toBe(false);
              keys.add(pages.key);
              const bytes = pattern(pages.key, pages.byteLength);
              pages.write(0, bytes);
              held.set(pages.key, { pages, bytes });
            } else if (picked !== undefined && what === "free") {
              allocator.free(picked.pages);
              held.delete(picked.pages.key);
            } else if (picked !== undefined) {
              allocator.moveFrames([picked.pages.key]);
            }
          } catch (error) {
            expect(error).toBeInstanceOf(GpuError);
            expect((error as GpuError).code).toBe("ENOMEM");
          }
          for (const { pages, bytes } of held.values()) expect(Buffer.compare(contents(pages), bytes)).toBe(0);
          const frames = [...held.values()].flatMap(({ pages }) => allocator.framesOf(pages));
          expect(new Set(frames).size).toBe(frames.length);
          expect(allocator.allocatedBytes).toBe(frames.length * PAGE_BYTES);
          expect(frames.every((frame) => frame >= START && frame < START + PAGES)).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("gives contiguous pages one run of frames, first fit, and a window for rings", () => {
    const { ram, allocator } = setUp({ scatter: seeded(1) });
    const pages = allocator.allocate(3 * PAGE_BYTES, { contiguous: true });
    const frames = allocator.framesOf(pages);
    expect(frames).toEqual([START, START + 1, START + 2]);
    pages.ringMemory(PAGE_BYTES, 64).u32[0] = 0x01020304;
    expect(ram.view((START + 1) * PAGE_BYTES, 1)[0]).toBe(4);
    expect(pages.view()?.byteLength).toBe(3 * PAGE_BYTES);
    const scattered = allocator.allocate(4 * PAGE_BYTES);
    expect(() => scattered.ringMemory(0, 64)).toThrow(InvariantViolation);
  });

  it("scatters on request: no frame follows the one before it", () => {
    const { allocator } = setUp({ scatter: seeded(7) });
    const pages = allocator.allocate(24 * PAGE_BYTES);
    const frames = allocator.framesOf(pages);
    for (const [index, frame] of frames.entries()) expect(Math.abs(frame - (frames[index + 1] ?? -9))).not.toBe(1);
    expect(pages.view()).toBeNull();
    const rest = allocator.allocate((PAGES - 24) * PAGE_BYTES);
    expect(new Set([...frames, ...allocator.framesOf(rest)]).size).toBe(PAGES);
  });

  it("reads and writes across frames, and not beyond the end", () => {
    const { allocator } = setUp({ scatter: seeded(3) });
    const pages = allocator.allocate(4 * PAGE_BYTES);
    const bytes = pattern(5, 2 * PAGE_BYTES + 99);
    pages.write(PAGE_BYTES - 50, bytes);
    const back = new Uint8Array(bytes.length);
    pages.read(PAGE_BYTES - 50, back);
    expect(back).toEqual(bytes);
    expect(() => pages.write(3 * PAGE_BYTES, new Uint8Array(PAGE_BYTES + 1))).toThrow(MemoryRangeError);
    expect(() => pages.read(-1, new Uint8Array(1))).toThrow(MemoryRangeError);
    expect(() => pages.read(Number.NaN, new Uint8Array(1))).toThrow(MemoryRangeError);
  });

  it("says ENOMEM when pages, or contiguous pages, run out", () => {
    const { allocator } = setUp();
    const held = Array.from({ length: PAGES }, () => allocator.allocate(1));
    expect(() => allocator.allocate(1)).toThrow(expect.objectContaining({ code: "ENOMEM" }));
    for (const [index, pages] of held.entries()) if (index % 2 === 0) allocator.free(pages);
    expect(() => allocator.allocate(2 * PAGE_BYTES, { contiguous: true })).toThrow(
      expect.objectContaining({ code: "ENOMEM" }),
    );
    expect(allocator.allocate(2 * PAGE_BYTES).contiguous).toBe(false);
  });

  it("poisons freed pages when asked", () => {
    const { ram, allocator } = setUp({ poison: true });
    const pages = allocator.allocate(PAGE_BYTES);
    const frame = allocator.framesOf(pages)[0] ?? 0;
    allocator.free(pages);
    expect([...new Set(ram.view(frame * PAGE_BYTES, PAGE_BYTES))]).toEqual([0xaa]);
  });

  it("calls freeing twice, freeing another's pages and use after free bugs", () => {
    const { allocator } = setUp();
    const pages = allocator.allocate(1);
    expect(() => setUp().allocator.free(pages)).toThrow(InvariantViolation);
    allocator.free(pages);
    expect(() => allocator.free(pages)).toThrow(InvariantViolation);
    expect(() => pages.read(0, new Uint8Array(1))).toThrow(InvariantViolation);
    expect(() => allocator.framesOf(pages)).toThrow(InvariantViolation);
  });

  it("moves contents to other frames under handles that stay valid", () => {
    const { allocator } = setUp({ scatter: seeded(11) });
    const ring = allocator.allocate(2 * PAGE_BYTES, { contiguous: true });
    const image = allocator.allocate(9 * PAGE_BYTES);
    for (const pages of [ring, image]) pages.write(0, pattern(pages.key, pages.byteLength));
    const before = [ring, image].map((pages) => [...allocator.framesOf(pages)]);
    allocator.moveFrames();
    for (const [index, pages] of [ring, image].entries()) {
      const after = allocator.framesOf(pages);
      expect(after.some((frame) => before[index]?.includes(frame))).toBe(false);
      expect(contents(pages)).toEqual(pattern(pages.key, pages.byteLength));
    }
    expect(ring.view()).not.toBeNull();
  });

  it("is taken over by a new process: same contents, keys never used again", () => {
    const { ram, allocator } = setUp({ scatter: seeded(2) });
    const first = allocator.allocate(5 * PAGE_BYTES);
    const second = allocator.allocate(PAGE_BYTES, { contiguous: true });
    first.write(0, pattern(1, first.byteLength));
    const records = JSON.parse(JSON.stringify(allocator.save())) as PagesRecord[];
    const range = { address: START * PAGE_BYTES, byteLength: PAGES * PAGE_BYTES };
    const heir = new RamPageAllocator(ram, range);
    const [pages, other] = records.map((record) => heir.adopt(record));
    expect(pages === undefined ? null : contents(pages)).toEqual(pattern(1, first.byteLength));
    expect(other?.key).toBe(second.key);
    expect(heir.find(second.key)).toBe(other);
    expect(heir.save()).toEqual(records);
    expect(heir.allocate(1).key).toBeGreaterThan(second.key);
    expect(heir.allocatedBytes).toBe(7 * PAGE_BYTES);
  });

  it("refuses records that are not sound (EINVAL), and takes nothing of them", () => {
    const good: PagesRecord = { key: 3, byteLength: 2 * PAGE_BYTES, contiguous: true, frames: [20, 21] };
    const bad: readonly (readonly [string, Record<string, unknown>])[] = [
      ["key 0", { key: 0 }],
      ["key beyond exact numbers", { key: 2 ** 53 - 1 }],
      ["key not a number", { key: "3" }],
      ["key taken", { key: 9 }],
      ["no frames", { frames: [], byteLength: 0 }],
      ["frames not a list", { frames: { length: 2 } }],
      ["length that does not fit", { byteLength: PAGE_BYTES }],
      ["length not a number", { byteLength: Number.NaN }],
      ["frame below the range", { frames: [START - 1, START] }],
      ["frame above the range", { frames: [START + PAGES - 1, START + PAGES] }],
      ["frame twice", { frames: [20, 20], contiguous: false }],
      ["frame of another", { frames: [30, 31] }],
      ["frame not a whole number", { frames: [20.5, 21.5] }],
      ["frame a word", { frames: ["20", "21"] }],
      ["not contiguous", { frames: [20, 22] }],
      ["contiguous not a truth value", { contiguous: 1 }],
    ];
    for (const [what, change] of bad) {
      const { allocator } = setUp();
      allocator.adopt({ key: 9, byteLength: PAGE_BYTES, contiguous: false, frames: [30] });
      const record = { ...good, ...change } as unknown as PagesRecord;
      expect(() => allocator.adopt(record), what).toThrow(expect.objectContaining({ code: "EINVAL" }));
      expect(allocator.allocatedBytes, what).toBe(PAGE_BYTES);
      expect(allocator.adopt(good).key, what).toBe(3);
    }
  });

  it("wants whole pages of memory (EINVAL)", () => {
    const ram = GuestRam.of(8 * PAGE_BYTES);
    for (const [address, byteLength] of [
      [1, PAGE_BYTES],
      [0, 100],
      [0, 9 * PAGE_BYTES],
      [-PAGE_BYTES, PAGE_BYTES],
    ] as const) {
      expect(() => new RamPageAllocator(ram, { address, byteLength })).toThrow(GpuError);
    }
  });
});

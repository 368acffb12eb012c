import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PixelMemory } from "./pixel-memory.ts";

describe("memory for pixels", () => {
  it("gives what was given back to the next of its size, zeroed", () => {
    const memory = new PixelMemory();
    const first = memory.take(64).fill(7);
    memory.give(first);
    const second = memory.take(64);
    expect(second).toBe(first);
    expect(second.every((byte) => byte === 0)).toBe(true);
    expect(memory.keptBytes).toBe(0);
  });

  it("never hands out memory that is in use, has the size asked for, and keeps no more than it may", () => {
    const sizes = fc.constantFrom(4, 64, 100, 4096);
    const step = fc.record({ size: sizes, isGiven: fc.boolean(), keepAtMost: fc.option(fc.nat(8192), { nil: null }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const memory = new PixelMemory();
        const used: Uint8Array[] = [];
        for (const { size, isGiven, keepAtMost } of steps) {
          const returned = isGiven ? used.shift() : undefined;
          if (returned !== undefined) memory.give(returned.fill(1));
          else {
            const bytes = memory.take(size);
            expect(bytes.byteLength).toBe(size);
            expect(bytes.every((byte) => byte === 0)).toBe(true);
            expect(used.includes(bytes)).toBe(false);
            used.push(bytes);
          }
          if (keepAtMost === null) continue;
          memory.keepAtMost(keepAtMost);
          expect(memory.keptBytes).toBeLessThanOrEqual(keepAtMost);
        }
      }),
    );
  });
});

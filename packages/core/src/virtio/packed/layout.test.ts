import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { GuestRam } from "../../memory/guest-ram.ts";
import { EventWords, RingPosition, isPackedSize, packedLayout } from "./layout.ts";

describe("packed layout", () => {
  it("places the parts as VIRTIO 1.2 section 2.8 aligns them, nothing overlapping", () => {
    expect(packedLayout({ size: 3, indirectEntries: 2 })).toEqual({
      byteLength: 64 + 96,
      descriptors: 0,
      driver: 48,
      device: 52,
      indirect: 64,
    });
    for (const size of [1, 2, 3, 100, 32_768]) {
      const layout = packedLayout({ size, indirectEntries: 0 });
      expect(layout.driver).toBe(16 * size);
      expect(layout.device).toBe(layout.driver + 4);
      expect(layout.byteLength).toBeGreaterThanOrEqual(layout.device + 4);
    }
  });

  it("is for any size up to 32768", () => {
    const sizes = [0, 1, 3, 48, 32_768, 32_769, -2, 0.5, Number.NaN, 2 ** 32];
    expect(sizes.filter(isPackedSize)).toEqual([1, 3, 48, 32_768]);
    expect(() => packedLayout({ size: 0, indirectEntries: 0 })).toThrow(InvariantViolation);
  });
});

describe("a place in a packed ring", () => {
  it("tells available and used by both bits, in either lap (2.8.1)", () => {
    const first = new RingPosition(4, 0, true);
    const second = new RingPosition(4, 0, false);
    const flags = [0, 0x80, 0x8000, 0x8080].map((bits) => bits | 0x7f07);
    expect(flags.map((bits) => first.isAvailable(bits))).toEqual([false, true, false, false]);
    expect(flags.map((bits) => first.isUsed(bits))).toEqual([false, false, false, true]);
    expect(flags.map((bits) => second.isAvailable(bits))).toEqual([false, false, true, false]);
    expect(flags.map((bits) => second.isUsed(bits))).toEqual([true, false, false, false]);
  });

  it("has passed an event exactly when that place is among the last slots, for every place and size", () => {
    for (const size of [1, 2, 3, 5, 8]) {
      for (let start = 0; start < 2 * size; start += 1) {
        for (let slots = 0; slots < size; slots += 1) {
          const position = new RingPosition(size);
          const words = [];
          for (let step = 0; step < start + slots; step += 1) {
            if (step >= start) words.push(position.word);
            position.advance(1);
          }
          for (let event = 0; event < 2 * size; event += 1) {
            const word = event < size ? event : (event - size) | 0x8000;
            expect(position.passed(word, slots), `${size} ${start} ${slots} ${event}`).toBe(words.includes(word));
          }
        }
      }
    }
  });

  it("treats the reserved flag as enabled, and descriptor events without EVENT_IDX too", () => {
    const memory = GuestRam.of(64).ringMemory(0, 4);
    const position = new RingPosition(8, 5);
    memory.store16(0, 0x8007);
    const wants = (eventIndex: boolean, flag: number): boolean => {
      memory.store16(1, flag);
      return new EventWords(memory, 0, eventIndex).wants(position, 1, 8);
    };
    expect([0, 1, 2, 3].map((flag) => wants(true, flag))).toEqual([true, false, false, true]);
    expect([0, 1, 2, 3].map((flag) => wants(false, flag))).toEqual([true, false, true, true]);
  });
});

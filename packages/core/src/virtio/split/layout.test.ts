import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../../base/assert.ts";
import { isSplitSize, passesEvent, splitLayout } from "./layout.ts";

describe("split layout", () => {
  it("places the parts as VIRTIO 1.2 section 2.7 aligns them, nothing overlapping", () => {
    expect(splitLayout({ size: 1, indirectEntries: 0 })).toEqual({
      byteLength: 48,
      descriptors: 0,
      driver: 16,
      device: 24,
      indirect: 48,
    });
    for (let size = 1; size <= 32_768; size *= 2) {
      const layout = splitLayout({ size, indirectEntries: 3 });
      expect(layout.driver).toBe(16 * size);
      expect(layout.device).toBeGreaterThanOrEqual(layout.driver + 6 + 2 * size);
      expect(layout.device % 4).toBe(0);
      expect(layout.indirect).toBeGreaterThanOrEqual(layout.device + 6 + 8 * size);
      expect(layout.indirect % 16).toBe(0);
      expect(layout.byteLength).toBe(layout.indirect + 48 * size);
    }
  });

  it("is for powers of two up to 32768", () => {
    const sizes = [0, 1, 2, 3, 48, 64, 32_768, 65_536, -2, 0.5, Number.NaN, 2 ** 32];
    expect(sizes.filter(isSplitSize)).toEqual([1, 2, 64, 32_768]);
    expect(() => splitLayout({ size: 48, indirectEntries: 0 })).toThrow(InvariantViolation);
  });
});

describe("event index", () => {
  it("is passed exactly when one of the new indices is the event's, for every event, round the corner too", () => {
    for (const before of [0, 1, 0x7fff, 0xfff9, 0xfffe, 0xffff]) {
      for (let count = 0; count <= 8; count += 1) {
        const passed = new Set(Array.from({ length: count }, (_, index) => (before + index) & 0xffff));
        for (let event = 0; event <= 0xffff; event += 1) {
          const expected = passed.has(event);
          if (passesEvent(event, (before + count) & 0xffff, before) !== expected) {
            expect.fail(`event ${event} from ${before} by ${count}: expected ${expected}`);
          }
        }
      }
    }
  });
});

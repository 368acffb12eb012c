/**
 * Property tests: bytes and commands at random. Nothing is thrown but RingViolation, every chain comes back, memory stays
 * within the limits, and the state that results can be saved and restored.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import { GuestRam } from "../memory/guest-ram.ts";
import { SeededRandom } from "../sim/index.ts";
import { COMMANDS } from "../wire/gpu.gen.ts";
import { MemoryRenderer } from "./memory-renderer.ts";
import type { VirtioGpuDeviceOptions } from "./options.ts";
import { FREE_MEMORY, GpuBench, RAM_BYTES, toBytes } from "./test-bench.ts";

const LIMITS = { hostMemoryBytesMax: 1 << 20, resourcesMax: 24, entriesMax: 8, entriesTotalMax: 40, contextsMax: 4 };

function options(): VirtioGpuDeviceOptions {
  return {
    ...LIMITS,
    outputs: [{ width: 64, height: 64 }, { width: 64, height: 64 }, null],
    blob: true,
    renderer: new MemoryRenderer({ bytesMax: 1 << 20, submissionsMax: 4 }),
    hostVisibleBytes: 1 << 16,
    random: new SeededRandom(1),
  };
}

// One memory for all runs: making it costs more than using it.
const ram = GuestRam.of(RAM_BYTES);

/** A word as guests send it: an id, a size, an address, a number near a limit, or anything. */
const word = fc.oneof(
  fc.integer({ min: 0, max: 6 }),
  fc.constantFrom(0, 1, 2, 3, 4, 15, 16, 63, 64, 67, 68, 121, 134, 255, 256, 257, 4096, 8192, 16384, 65536),
  fc.constantFrom(
    FREE_MEMORY,
    FREE_MEMORY + 4096,
    RAM_BYTES - 4096,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    0xffff_ffff,
  ),
  fc.integer({ min: 0, max: 0xffff_ffff }),
);
const type = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...COMMANDS.keys()) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0xffff_ffff }) },
);
const request = fc
  .tuple(type, fc.constantFrom(0, 0, 1, 3, 0xff), fc.constantFrom(0, 0, 1, 2), fc.array(word, { maxLength: 30 }))
  .map(([code, flags, contextId, body]) => toBytes(Uint32Array.of(code, flags, 5, 6, contextId, 0, ...body)));
const step = fc.record({
  request: fc.oneof(
    { weight: 9, arbitrary: request },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 200 }) },
  ),
  queue: fc.constantFrom(0, 0, 0, 1),
  capacity: fc.constantFrom(0, 4, 24, 60, 1056),
});

it("random commands are answered, within the limits, and leave a state that restores to itself", () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const bench = new GpuBench(options(), ram);
      for (const one of steps) {
        const { used } = bench.send(one.request, one);
        expect(used).toBeGreaterThanOrEqual(one.queue === 0 ? Math.min(24, one.capacity) : 0);
        expect(used).toBeLessThanOrEqual(one.capacity);
        const { resources, hostBytes, entries } = bench.device.usage;
        expect(resources <= LIMITS.resourcesMax && entries <= LIMITS.entriesTotalMax).toBe(true);
        expect(hostBytes).toBeLessThan(LIMITS.hostMemoryBytesMax);
      }
      const state = bench.device.save();
      const other = new GpuBench(options(), ram);
      other.device.restore(state);
      expect(other.device.usage).toEqual(bench.device.usage);
      for (const output of [0, 1, 2]) {
        expect(other.device.screenshot(output)?.width).toBe(bench.device.screenshot(output)?.width);
      }
      bench.reset();
      expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
    }),
    { numRuns: 100 },
  );
});

it("random states are refused, or restored to something that works", () => {
  const base = new GpuBench(options(), ram);
  base.picture(1, { width: 64, height: 64 });
  base.run({ op: "setScanout", x: 0, y: 0, width: 64, height: 64, scanoutId: 0, resourceId: 1 });
  const state = base.device.save();
  const key = fc.constantFrom(...Object.keys(state));
  const anything = fc.oneof(fc.anything(), fc.array(word), word);
  fc.assert(
    fc.property(key, anything, (name, value) => {
      const bench = new GpuBench(options(), ram);
      try {
        bench.device.restore({ ...state, [name]: value });
      } catch (error) {
        expect(error).toMatchObject({ code: "EINVAL" });
      }
      expect(() => bench.device.save()).not.toThrow();
      for (const output of [0, 1, 2]) bench.device.screenshot(output);
    }),
    { numRuns: 120 },
  );
});

/** The machine that benchmarks share: driver and device in one process, real time, nothing watched. */
import type { Clock } from "../src/base/clock.ts";
import { silentTracer } from "../src/base/tracer.ts";
import { VirtioGpuDevice, type VirtioGpuDeviceOptions } from "../src/device/index.ts";
import type { VirtioGpuOptions } from "../src/driver/index.ts";
import { PhysicalDmaMap } from "../src/memory/dma-map.ts";
import { GuestRam } from "../src/memory/guest-ram.ts";
import { RamPageAllocator } from "../src/memory/ram-allocator.ts";
import { SeededRandom } from "../src/sim/seeded-random.ts";
import { LoopbackTransport } from "../src/virtio/loopback.ts";
import { VirtioDevice } from "../src/virtio/machinery/index.ts";
import type { BenchRow } from "../../../scripts/bench.ts";

export const clock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  defer: (callback) => queueMicrotask(callback),
};

/** What a driver needs, on a new machine. */
export function machine(
  options: { readonly ramBytes?: number; readonly scatter?: boolean; readonly device?: VirtioGpuDeviceOptions } = {},
): {
  readonly driver: VirtioGpuOptions;
  readonly device: VirtioGpuDevice;
  readonly memory: GuestRam;
  readonly allocator: RamPageAllocator;
} {
  const ramBytes = options.ramBytes ?? 64 << 20;
  const memory = GuestRam.of(ramBytes);
  const device = new VirtioGpuDevice({ hostMemoryBytesMax: 2 ** 32, ...options.device });
  const transport = new LoopbackTransport(new VirtioDevice({ model: device, memory, label: "gpu0" }));
  const scatter = options.scatter === true ? new SeededRandom(1) : undefined;
  const allocator = new RamPageAllocator(memory, { address: 4096, byteLength: ramBytes - 4096 }, { scatter });
  const dma = new PhysicalDmaMap(allocator);
  return { driver: { transport, clock, allocator, dma, tracer: silentTracer }, device, memory, allocator };
}

/** The median of `rounds` measurements, after one that is thrown away. */
export async function median(rounds: number, measure: () => Promise<number> | number): Promise<number> {
  await measure();
  const values: number[] = [];
  for (let round = 0; round < rounds; round += 1) values.push(await measure());
  return middle(values);
}

/** The median of measurements. */
export function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** A row with its ratio, and whether it met `at`: at least, or at most. */
export function row(
  name: string,
  unit: string,
  value: number,
  against: number | null,
  target: { readonly atLeast?: number; readonly atMost?: number; readonly valueAtLeast?: number } = {},
): BenchRow {
  const ratio = against === null ? null : value / against;
  const { atLeast, atMost, valueAtLeast } = target;
  const words: string[] = [];
  const met: boolean[] = [];
  if (atLeast !== undefined && ratio !== null) {
    words.push(`ratio >= ${atLeast}`);
    met.push(ratio >= atLeast);
  }
  if (atMost !== undefined && ratio !== null) {
    words.push(`ratio <= ${atMost}`);
    met.push(ratio <= atMost);
  }
  if (valueAtLeast !== undefined) {
    words.push(`>= ${valueAtLeast.toLocaleString("en-US")} ${unit}`);
    met.push(value >= valueAtLeast);
  }
  return {
    name,
    value,
    unit,
    against,
    ratio,
    target: words.join(", "),
    met: met.length === 0 ? null : met.every(Boolean),
  };
}

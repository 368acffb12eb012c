/**
 * Restore of many objects on a real QEMU, against the same commands written by a loop that knows them beforehand. Both
 * begin on a QEMU that knows nothing.
 */
import { GpuError } from "@virtgpu/core/base";
import { VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { PciTransport } from "@virtgpu/core/virtio";
import type { BenchRow } from "../../../scripts/bench.ts";
import { session } from "../../core/bench/commands.bench.ts";
import { middle, row } from "../../core/bench/machine.ts";
import { Replay } from "../../core/bench/replay.ts";
import { createNodeClock } from "../src/hosts/node-clock.ts";
import { QemuHost } from "../src/hosts/qemu/qemu-host.ts";

const MIB = 1 << 20;
const SIZE = 32;
const PAGE_BYTES = 4096;
const BATCH = 500;

interface Bench {
  readonly host: QemuHost;
  readonly driver: VirtioGpuOptions;
}

function driverOf(host: QemuHost): VirtioGpuOptions {
  const { pci } = host.device;
  if (pci === null) throw new Error("no PCI function");
  const range = { address: MIB, byteLength: host.ram.byteLength - MIB };
  const allocator = new RamPageAllocator(host.ram.memory, range);
  return {
    transport: PciTransport.open(pci),
    clock: createNodeClock(),
    allocator,
    dma: new PhysicalDmaMap(allocator),
    deadlines: { commandMs: 60_000, freezeMs: 120_000, resetMs: 10_000 },
  };
}

/** Milliseconds from the call to the last object. */
async function restored({ host, driver }: Bench, count: number, rounds: number): Promise<number[]> {
  const gpu = await VirtioGpu.probe(driver);
  for (let done = 0; done < count; done += BATCH) {
    const many = Array.from({ length: Math.min(BATCH, count - done) }, () =>
      gpu.createBuffer({ width: SIZE, height: SIZE }),
    );
    for (const buffer of await Promise.all(many)) buffer.write(0, Uint8Array.of(1));
  }
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await gpu.power.freeze("FREEZE");
    await host.restart();
    const start = performance.now();
    await gpu.power.restore("RESTORE").complete;
    times.push(performance.now() - start);
  }
  await gpu.remove();
  return times;
}

/** The same with everything known beforehand. */
async function replayed({ host }: Bench, count: number, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await host.restart();
    const start = performance.now();
    const opened = await session(0, driverOf(host));
    new Replay(opened).restore(count, SIZE);
    times.push(performance.now() - start);
    await opened.close(new GpuError("ESTALE", "measured"));
  }
  return times;
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const result: BenchRow[] = [];
  for (const [count, rounds] of [
    [1000, 5],
    [10_000, 3],
  ] as const) {
    const host = await QemuHost.start({ ramBytes: 64 * MIB + Math.ceil((count * PAGE_BYTES) / (4 * MIB)) * 4 * MIB });
    try {
      const bench = { host, driver: driverOf(host) };
      const ours = middle(await restored(bench, count, rounds));
      const plain = middle(await replayed(bench, count, rounds));
      const what = `restore on QEMU, ${count.toLocaleString("en-US")} objects (against the same commands without a driver)`;
      result.push(row(what, "ms", ours, plain, { atMost: 1.3 }));
    } finally {
      await host.stop();
    }
  }
  return result;
}

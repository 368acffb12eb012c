/** Freeze and restore of many objects in process, the way to the picture, and memory. */
import type { BenchRow } from "../../../scripts/bench.ts";
import { VirtioGpu } from "../src/driver/index.ts";
import { machine, median, row } from "./machine.ts";

/** Commands a second of daily use in this run: creating objects is what a restore does. */
async function scene(count: number) {
  const { driver, device } = machine({ ramBytes: (64 << 20) + count * 4096 });
  const gpu = await VirtioGpu.probe(driver);
  const shown = await gpu.createBuffer({ width: 640, height: 480 });
  shown.map((pixels) => pixels.fill(9));
  await gpu.output(0).show(shown);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  const batch = 1000;
  const start = performance.now();
  for (let done = 0; done < count; done += batch) {
    const many = Array.from({ length: Math.min(batch, count - done) }, () =>
      gpu.createBuffer({ width: 16, height: 16 }),
    );
    for (const buffer of await Promise.all(many)) buffer.write(0, Uint8Array.of(1));
  }
  const createMs = performance.now() - start;
  globalThis.gc?.();
  return { gpu, device, createMs, bytesPerObject: (process.memoryUsage().heapUsed - before) / Math.max(1, count) };
}

/** Milliseconds of one cycle. */
async function cycle(gpu: VirtioGpu): Promise<{ freeze: number; picture: number; restore: number }> {
  const start = performance.now();
  await gpu.power.freeze("FREEZE");
  const frozen = performance.now();
  const { picture, complete } = gpu.power.restore("RESTORE");
  await picture;
  const pictured = performance.now();
  await complete;
  return { freeze: frozen - start, picture: pictured - frozen, restore: performance.now() - frozen };
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const result: BenchRow[] = [];
  const none = await scene(0);
  const pictureOfNone = await median(5, async () => (await cycle(none.gpu)).picture);
  let small: { freeze: number; restore: number } | null = null;
  for (const count of [1000, 10_000, 100_000]) {
    const { gpu, bytesPerObject } = await scene(count);
    const freeze = await median(3, async () => (await cycle(gpu)).freeze);
    const restore = await median(3, async () => (await cycle(gpu)).restore);
    const perObject = { freeze: (freeze * 1000) / count, restore: (restore * 1000) / count };
    small ??= perObject;
    const linear = count > 1000 ? { atMost: 1.25 } : {};
    result.push(row(`freeze, ${count} objects (against 1,000)`, "us/object", perObject.freeze, small.freeze, linear));
    result.push(
      row(`restore, ${count} objects (against 1,000)`, "us/object", perObject.restore, small.restore, linear),
    );
    if (count !== 100_000) continue;
    const picture = await median(5, async () => (await cycle(gpu)).picture);
    result.push(
      row("time to picture, 100,000 invisible objects (against none)", "ms", picture, pictureOfNone, { atMost: 1.1 }),
    );
    result.push(row("heap of driver, device and handle", "bytes/object", bytesPerObject, null));
  }
  return result;
}

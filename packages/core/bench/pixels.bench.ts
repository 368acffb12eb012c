/** Transfer and flush of whole pictures, against plain copies of the same bytes. */
import type { BenchRow } from "../../../scripts/bench.ts";
import { VirtioGpu } from "../src/driver/index.ts";
import { machine, median, row } from "./machine.ts";

const PAGE_BYTES = 4096;
const ROUNDS = 9;

async function rate(width: number, height: number, scatter: boolean): Promise<{ ours: number; plain: number }> {
  const { driver, memory, allocator } = machine({ ramBytes: 128 << 20, scatter });
  const gpu = await VirtioGpu.probe(driver);
  const buffer = await gpu.createBuffer({ width, height, contiguous: !scatter });
  buffer.map((pixels) => pixels.fill(7));
  await gpu.output(0).show(buffer);
  const perSecond = (start: number, times: number): number => times / ((performance.now() - start) / 1000);
  const ours = await median(ROUNDS, async () => {
    const start = performance.now();
    for (let time = 0; time < 4; time += 1) await buffer.flush();
    return perSecond(start, 4);
  });
  const record = allocator.save().find(({ byteLength }) => byteLength >= width * height * 4);
  const frames = record?.frames ?? [];
  const source = memory.view(0, 128 << 20);
  const target = new Uint8Array(frames.length * PAGE_BYTES);
  const plain = await median(ROUNDS, () => {
    const start = performance.now();
    for (let time = 0; time < 4; time += 1) {
      if (scatter) {
        frames.forEach((frame, page) => {
          target.set(source.subarray(frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES), page * PAGE_BYTES);
        });
      } else {
        const from = (frames[0] ?? 0) * PAGE_BYTES;
        target.set(source.subarray(from, from + width * height * 4));
      }
    }
    return perSecond(start, 4);
  });
  await gpu.remove();
  return { ours, plain };
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const result: BenchRow[] = [];
  for (const [name, width, height] of [
    ["1080p", 1920, 1080],
    ["4K", 3840, 2160],
  ] as const) {
    for (const scatter of [false, true]) {
      const { ours, plain } = await rate(width, height, scatter);
      const what = scatter ? "scattered pages (against a page-by-page copy)" : "contiguous (against TypedArray.set)";
      result.push(row(`transfer + flush, ${name}, ${what}`, "frames/s", ours, plain, { atLeast: 0.9 }));
    }
  }
  return result;
}

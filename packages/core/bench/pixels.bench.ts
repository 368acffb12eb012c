/** Transfer and flush of whole pictures, against plain copies of the same bytes. */
import type { BenchRow } from "../../../scripts/bench.ts";
import { type GpuBuffer, VirtioGpu } from "../src/driver/index.ts";
import { machine, middle, row } from "./machine.ts";

const PAGE_BYTES = 4096;
const RAM_BYTES = 128 << 20;
const WARM_UP_FLUSHES = 20_000;
const ROUNDS = 101;

/** So many frames that the compiler has seen the path: what is measured is a program that runs, not one that starts. */
async function warmUp(gpu: VirtioGpu): Promise<void> {
  const small = await gpu.createBuffer({ width: 16, height: 16 });
  await gpu.output(0).show(small);
  for (let time = 0; time < WARM_UP_FLUSHES; time += 1) await small.flush();
}

/** Copies the same frames without ring, device or driver. */
function plainCopy(source: Uint8Array, frames: readonly number[], byteLength: number, scatter: boolean): () => void {
  const target = new Uint8Array(byteLength).fill(1);
  const start = (frames[0] ?? 0) * PAGE_BYTES;
  if (!scatter) return () => target.set(source.subarray(start, start + byteLength));
  return () => {
    for (let page = 0; page < frames.length; page += 1) {
      const from = (frames[page] ?? 0) * PAGE_BYTES;
      const to = page * PAGE_BYTES;
      target.set(source.subarray(from, from + Math.min(PAGE_BYTES, byteLength - to)), to);
    }
  };
}

/** Frames a second of both, in turns, so that neither has the machine to itself. */
async function inTurns(buffer: GpuBuffer, plain: () => void): Promise<{ ours: number; theirs: number }> {
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    await buffer.flush();
    const flushed = performance.now();
    plain();
    ours.push(flushed - start);
    theirs.push(performance.now() - flushed);
  }
  return { ours: 1000 / middle(ours), theirs: 1000 / middle(theirs) };
}

async function rate(width: number, height: number, scatter: boolean): Promise<{ ours: number; theirs: number }> {
  const { driver, memory, allocator } = machine({ ramBytes: RAM_BYTES, scatter });
  const gpu = await VirtioGpu.probe(driver);
  await warmUp(gpu);
  const buffer = await gpu.createBuffer({ width, height, contiguous: !scatter });
  buffer.map((pixels) => pixels.fill(7));
  await gpu.output(0).show(buffer);
  const byteLength = width * height * 4;
  const record = allocator.save().find((pages) => pages.byteLength >= byteLength);
  const measured = await inTurns(
    buffer,
    plainCopy(memory.view(0, RAM_BYTES), record?.frames ?? [], byteLength, scatter),
  );
  await gpu.remove();
  return measured;
}

/** See the file's head. */
export async function rows(): Promise<readonly BenchRow[]> {
  const result: BenchRow[] = [];
  for (const [name, width, height] of [
    ["1080p", 1920, 1080],
    ["4K", 3840, 2160],
  ] as const) {
    for (const scatter of [false, true]) {
      const { ours, theirs } = await rate(width, height, scatter);
      const what = scatter ? "scattered pages (against a page-by-page copy)" : "contiguous (against TypedArray.set)";
      result.push(row(`transfer + flush, ${name}, ${what}`, "frames/s", ours, theirs, { atLeast: 0.9 }));
    }
  }
  return result;
}

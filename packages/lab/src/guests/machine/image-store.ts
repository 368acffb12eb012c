/**
 * Snapshots to and from image files.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { type GuestMemory, PAGE_BYTES } from "@virtgpu/core/memory";
import type { ImageSize } from "./protocol.ts";
import { readMachineState, runsOf, type Snapshot } from "./snapshot.ts";

export async function writeSnapshot(
  path: string,
  snapshot: Snapshot,
  onProgress: (done: number, total: number) => void,
): Promise<ImageSize> {
  const { state, frames, bytes } = snapshot;
  writeFileSync(path, Buffer.concat([Buffer.from(`${JSON.stringify({ state, frames })}\n`), bytes]));
  onProgress(bytes.length, bytes.length);
  return { fileBytes: bytes.length, ramBytes: bytes.length, pages: frames.length, zeroPages: 0 };
}

export async function readSnapshot(
  path: string,
  memory: GuestMemory,
  ramBytes: number,
  _p: (a: number, b: number) => void,
): Promise<{ scene: unknown; gpu: unknown }> {
  const all = readFileSync(path);
  const end = all.indexOf(10);
  const { state, frames } = JSON.parse(all.toString("utf8", 0, end)) as { state: unknown; frames: number[] };
  const saved = readMachineState(state, ramBytes);
  for (const { at, first, count } of runsOf(frames)) {
    memory.write(first * PAGE_BYTES, all.subarray(end + 1 + at * PAGE_BYTES, end + 1 + (at + count) * PAGE_BYTES));
  }
  return saved;
}

export async function markUsed(_path: string): Promise<void> {}

export async function discardSnapshot(path: string): Promise<void> {
  rmSync(path, { force: true });
}

/**
 * What an image holds of a machine: the pages that were in use, and as plain data what its application and its driver know
 * of them.
 */
import type { SavedState } from "@virtgpu/core/driver";
import { type GuestMemory, PAGE_BYTES, type PageAllocator } from "@virtgpu/core/memory";
import type { Hardware } from "../../hosts/machine.ts";
import type { Remembered } from "../../scenarios/hibernate/compare.ts";
import type { SceneState } from "../../scenarios/scene/scene-state.ts";

/** What is behind the snapshot's bytes. */
export interface MachineState {
  /** Of which machine. */
  readonly hardware: Hardware;
  /** What there was to see, for those who did not. */
  readonly seen: Remembered;
  readonly scene: SceneState;
  readonly gpu: SavedState;
}

/** See the file's head. */
export interface Snapshot {
  readonly state: MachineState;
  /** Frame numbers, upwards. */
  readonly frames: readonly number[];
  /** Their contents, one after the other. */
  readonly bytes: Uint8Array;
}

/** Takes a snapshot. Nothing in the guest may run meanwhile. */
export function takeSnapshot(memory: GuestMemory, allocator: PageAllocator, state: MachineState): Snapshot {
  const frames = usedFrames(allocator);
  const bytes = new Uint8Array(frames.length * PAGE_BYTES);
  for (const { at, first, count } of runsOf(frames)) {
    memory.read(first * PAGE_BYTES, bytes.subarray(at * PAGE_BYTES, (at + count) * PAGE_BYTES));
  }
  return { state, frames, bytes };
}

/** Frames that somebody was given, upwards. */
export function usedFrames(allocator: PageAllocator): readonly number[] {
  return allocator
    .save()
    .flatMap(({ frames }) => frames)
    .sort((one, other) => one - other);
}

/** A run of adjacent frames; `at`: how many frames come before it. */
export interface FrameRun {
  readonly at: number;
  readonly first: number;
  readonly count: number;
}

/** Adjacent frames together. */
export function runsOf(frames: readonly number[]): readonly FrameRun[] {
  const runs: { at: number; first: number; count: number }[] = [];
  for (const [at, frame] of frames.entries()) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === frame) last.count += 1;
    else runs.push({ at, first: frame, count: 1 });
  }
  return runs;
}

/**
 * A sleep that is gone through beforehand, for nothing but its code: a program that Node compiles as it goes is slowest the
 * first time, and the first time would be the wake, with everybody looking at a dark screen.
 */
import { GpuError } from "@virtgpu/core/base";
import type { GpuBuffer } from "@virtgpu/core/driver";
import { GpuSleep, type SleepingGpu } from "./gpu-sleep.ts";

/** A GPU that shows nothing yet. */
export interface RehearsingGpu extends SleepingGpu {
  readonly gpu: SleepingGpu["gpu"] & {
    createBuffer(size: { readonly width: number; readonly height: number }): Promise<GpuBuffer>;
  };
}

const ROUNDS = 2;
const SIZE = { width: 16, height: 16 };

/**
 * Puts the GPUs down and brings them back, with so many objects on each that are made for it and destroyed behind it: the
 * walk over them is compiled with them. To be done before anything is shown, as outputs go dark meanwhile. Throws GpuError
 * where a GPU refuses or does not come back.
 */
export async function rehearse(gpus: readonly RehearsingGpu[], objects = 16): Promise<void> {
  const sleep = new GpuSleep(gpus);
  const buffers: GpuBuffer[] = [];
  try {
    for (const { gpu } of gpus) await make(gpu, objects, buffers);
    await Promise.all(buffers.map((buffer) => buffer.flush()));
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep.freeze();
      for (const { device, error } of await sleep.restore().complete) {
        if (error !== null) throw new GpuError(error.code, `it does not come back: ${error.message}`, { device });
      }
    }
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

/** As many objects as there is memory for. */
async function make(gpu: RehearsingGpu["gpu"], objects: number, buffers: GpuBuffer[]): Promise<void> {
  for (let made = 0; made < objects; made += 1) {
    try {
      buffers.push(await gpu.createBuffer(SIZE));
    } catch (error) {
      if (error instanceof GpuError && error.code === "ENOMEM") return;
      throw error;
    }
  }
}

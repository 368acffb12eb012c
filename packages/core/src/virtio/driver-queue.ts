/**
 * The driver's end of a virtqueue, in the layout that was negotiated (VIRTIO 1.2 section 2.6).
 */
import { QUEUE_SIZE_MAX } from "../wire/ring.ts";
import { createPackedDriverQueue, packedLayout } from "./packed/index.ts";
import type { DriverQueue } from "./queue.ts";
import { createSplitDriverQueue, type DriverQueueOptions, splitLayout } from "./split/index.ts";

/** The shape of a driver's queue, as far as its memory depends on it. */
export interface DriverQueueShape {
  /** Entries: a power of two for split rings. See {@link driverQueueSize}. */
  readonly size: number;
  /** RING_PACKED was negotiated. */
  readonly packed: boolean;
  /** Entries of each slot's indirect table; 0 where INDIRECT_DESC was not negotiated. */
  readonly indirectEntries: number;
}

/** The largest size that driver and device agree on: at most `wanted`, and a power of two for split rings. 0 when `max` (of the device) is 0. */
export function driverQueueSize(options: {
  readonly max: number;
  readonly wanted: number;
  readonly packed: boolean;
}): number {
  const bound = Math.min(options.max, options.wanted, QUEUE_SIZE_MAX);
  if (bound < 1) return 0;
  return options.packed ? bound : 2 ** Math.floor(Math.log2(bound));
}

/** Bytes of memory that {@link createDriverQueue} needs for such a queue. */
export function driverQueueBytes(shape: DriverQueueShape): number {
  return (shape.packed ? packedLayout(shape) : splitLayout(shape)).byteLength;
}

/**
 * Makes the driver's end of a queue, and zeroes its rings. `memory` has {@link driverQueueBytes} bytes and starts at bus
 * address `address`, a multiple of 16.
 */
export function createDriverQueue(options: DriverQueueOptions & { readonly packed: boolean }): DriverQueue {
  return options.packed ? createPackedDriverQueue(options) : createSplitDriverQueue(options);
}

/**
 * The device's end of a virtqueue, in the layout that was negotiated (VIRTIO 1.2 section 2.6).
 */
import { createPackedDeviceQueue } from "./packed/index.ts";
import type { DeviceQueue } from "./queue.ts";
import { createSplitDeviceQueue, type DeviceQueueOptions } from "./split/index.ts";

/** Makes the device's end of a queue. Throws RingViolation for a size, addresses or a state that can't be. */
export function createDeviceQueue(options: DeviceQueueOptions & { readonly packed: boolean }): DeviceQueue {
  return options.packed ? createPackedDeviceQueue(options) : createSplitDeviceQueue(options);
}

/**
 * What QEMU knows of a virtqueue (QMP `x-query-virtio-queue-status`, an experimental command): the host's own look at whether
 * a driver has set its queues up again.
 */
import { GpuError } from "@virtgpu/core/base";
import * as v from "valibot";
import type { QmpClient } from "../../hosts/qemu/qmp-client.ts";
import type { QueueStatus } from "./linux-vm.ts";

const address = v.pipe(v.number(), v.minValue(0));

const reply = v.pipe(
  v.object({
    "vring-num": address,
    "vring-desc": address,
    "vring-avail": address,
    "vring-used": address,
    "last-avail-idx": v.optional(address, 0),
    "used-idx": v.optional(address, 0),
  }),
  v.transform(
    (status): QueueStatus => ({
      size: status["vring-num"],
      descriptors: status["vring-desc"],
      available: status["vring-avail"],
      used: status["vring-used"],
      lastAvailable: status["last-avail-idx"],
      usedIndex: status["used-idx"],
    }),
  ),
);

/** Where QEMU's object tree has the virtio device of a PCI function: directly, or behind the proxy. */
function paths(device: string): readonly string[] {
  return [`/machine/peripheral/${device}/virtio-backend`, `/machine/peripheral/${device}`];
}

/** Throws GpuError ENOTSUP where this QEMU does not tell. */
export async function readQueueStatus(qmp: QmpClient, device: string, queue: number): Promise<QueueStatus> {
  let refusal: unknown = null;
  for (const path of paths(device)) {
    try {
      return v.parse(reply, await qmp.execute("x-query-virtio-queue-status", { path, queue }));
    } catch (error) {
      refusal = error;
      if (error instanceof GpuError && error.code !== "EIO") throw error;
    }
  }
  throw new GpuError("ENOTSUP", "this QEMU does not tell the state of a virtqueue", { cause: refusal });
}

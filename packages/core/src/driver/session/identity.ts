/**
 * Whether a host is still the one of a session (contract 3, R-12, R-43..R-45): what can be read of it without a command.
 */
import type { Transport } from "../../virtio/transport.ts";
import { DeviceStatus } from "../../wire/index.ts";
import type { BuiltQueue } from "./queues.ts";

/** The status of a device that runs. */
export const RUNNING: number =
  DeviceStatus.ACKNOWLEDGE | DeviceStatus.DRIVER | DeviceStatus.FEATURES_OK | DeviceStatus.DRIVER_OK;

/** Whether status, every queue and its addresses read as the session wrote them. Throws GpuError ENODEV. */
export function registersAreOurs(transport: Transport, queues: readonly BuiltQueue[]): boolean {
  if (transport.readStatus() !== RUNNING) return false;
  return queues.every(({ addresses: wanted }, queue) => {
    const found = transport.readQueue(queue);
    if (!found.enabled) return false;
    const { addresses } = found;
    return (
      addresses === null ||
      (addresses.size === wanted.size &&
        addresses.descriptors === wanted.descriptors &&
        addresses.driver === wanted.driver &&
        addresses.device === wanted.device)
    );
  });
}

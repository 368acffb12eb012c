/**
 * The slot of a simulated machine that a device is plugged into. It stays while host processes, and devices with them,
 * come and go; drivers hold transports onto the slot, not onto a device, as real ones do.
 */
import { GpuError } from "../../base/errors.ts";
import type { VirtioDevice } from "../../virtio/machinery/index.ts";
import type { Transport } from "../../virtio/transport.ts";

/** How a driver reaches the slot. */
export type SlotKind = "loopback" | "pci" | "pci-cfg" | "pci-io" | "mmio";

/** See the file's head. */
export interface Slot {
  readonly label: string;
  /** A transport onto the slot, for one driver. Throws GpuError ENODEV where that looks at the device and there is none. */
  connect(): Transport;
  /** A new device is in the slot, as after power-on. */
  plug(device: VirtioDevice): void;
  /** Nothing is in the slot any more: every access ends with ENODEV. */
  unplug(): void;
  /** What the machine's reset line does: the device is reset, and a bus forgets where it was. */
  busReset(): void;
  /** What the bus knows of the device, plain data; the device saves itself. */
  save(): unknown;
  /** After the device's own restore. */
  restore(state: unknown): void;
  /** Whether the device would come through S3 as it is now: No_Soft_Reset, and the function in D3hot. */
  readonly keepsOverSleep: boolean;
}

/** What an access to an empty slot ends with. */
export function emptySlot(label: string): GpuError {
  return new GpuError("ENODEV", "the host is gone: no device answers", { device: label });
}

/**
 * Blobs of the guest's memory (VIRTIO 1.3, 5.7.6.8): QEMU shows them where they lie, by dmabufs of its own memory. So it
 * needs the host's udmabuf, and memory that it has from a memfd.
 */
import { accessSync, constants } from "node:fs";
import { GpuError } from "@virtgpu/core/base";

const UDMABUF = "/dev/udmabuf";

/** Whether a GPU, as `-device` has it, is asked to offer blobs. */
export function wantsBlobs(device: string): boolean {
  return /,blob=(?:on|true|yes)(?:,|$)/.test(device);
}

/** Throws GpuError ENOTSUP where the host can't have what a GPU with blobs needs. */
export function requireBlobs(device: string, udmabuf: string = UDMABUF): void {
  if (!wantsBlobs(device)) return;
  try {
    accessSync(udmabuf, constants.R_OK | constants.W_OK);
  } catch {
    throw new GpuError(
      "ENOTSUP",
      `this host offers no blobs: QEMU needs ${udmabuf} for them, which is not there, or not for us (modprobe udmabuf, with a kernel that has CONFIG_UDMABUF); leave blob=on out`,
    );
  }
}

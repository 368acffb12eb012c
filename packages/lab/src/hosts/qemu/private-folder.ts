/**
 * Where the QEMU host puts what needs a name for a moment: FIFOs, sockets, screen dumps.
 */
import { accessSync, constants, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";

const SHARED_MEMORY_FOLDER = "/dev/shm";

/** A new folder that only we can enter (mode 0700), in memory where the system offers that; its path is short enough for a socket's. */
export function createPrivateFolder(): string {
  for (const parent of [SHARED_MEMORY_FOLDER, tmpdir()]) {
    try {
      accessSync(parent, constants.W_OK);
      return mkdtempSync(join(parent, "virtgpu-"));
    } catch {
      continue;
    }
  }
  throw new GpuError("ENODEV", "no folder for temporary files can be written; set TMPDIR to one");
}

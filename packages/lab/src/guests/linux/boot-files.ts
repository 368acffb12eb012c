/**
 * All that a machine boots from, made or taken from the cache.
 */
import { join } from "node:path";
import { debianPackage } from "./debian-packages.ts";
import { makeInitramfs, type ModuleChoice } from "./initramfs.ts";
import { findKernel, type KernelSource } from "./kernel.ts";
import type { BootFiles } from "./linux-vm.ts";
import { makeAgentDisk, makeRootDisk, type OtherAgent } from "./root-disk.ts";
import { systemdAddition } from "./systemd.ts";

/** What a machine is to boot. */
export interface BootRequest {
  readonly kernel: KernelSource;
  readonly modules: ModuleChoice;
  /** Another program instead of @virtgpu/linux's agent. */
  readonly agent?: OtherAgent;
  /** Units of systemd's, by file name, which are enabled; systemd is the machine's first process then. */
  readonly units?: Readonly<Record<string, string>>;
}

/** Modules for our driver in user space. */
export const USER_SPACE_MODULES: ModuleChoice = { early: [], late: ["uio_pci_generic"], optional: ["button"] };

/** Modules for our driver behind an IOMMU. */
export const VFIO_MODULES: ModuleChoice = {
  early: [],
  late: ["vfio_pci", "vfio_iommu_type1"],
  optional: ["uio_pci_generic", "button"],
};

/** Modules for the kernel's own driver, and whoever exports dmabufs to it. */
export const KERNEL_DRIVER_MODULES: ModuleChoice = {
  early: [],
  late: ["virtio_gpu"],
  optional: ["vgem", "udmabuf", "system_heap", "button"],
};

/** Makes what is missing. Takes seconds the first time, a fraction of one later. */
export async function prepareBoot(request: BootRequest): Promise<BootFiles> {
  const kernel = await findKernel(request.kernel);
  const busybox = join(await debianPackage("busybox-static"), "bin/busybox");
  return {
    release: kernel.release,
    kernel: kernel.image,
    initramfs: await makeInitramfs(kernel.modules, busybox, request.modules),
    root: await makeRootDisk(busybox, request.units === undefined ? null : await systemdAddition(request.units)),
    app: await makeAgentDisk(request.agent ?? null),
  };
}

/**
 * From what was asked for to a machine: kernel, devices, memory, IOMMU, the agent's arguments.
 */
import type { AgentDriver, Size, SleepWay } from "@virtgpu/linux/agent";
import { KERNEL_DRIVER_MODULES, prepareBoot, USER_SPACE_MODULES, VFIO_MODULES } from "../../guests/linux/boot-files.ts";
import type { ModuleChoice } from "../../guests/linux/initramfs.ts";
import { DEBIAN_KERNELS, type KernelSource } from "../../guests/linux/kernel.ts";
import type { LinuxVmOptions } from "../../guests/linux/linux-vm.ts";
import { unbindRemedy } from "./remedy.ts";
import { machineFor } from "./ways.ts";

/** How our driver reaches the device. */
export type DriverWay = "uio" | "vfio" | "pci-cfg";

/** Where our driver's memory comes from. */
export type DriverMemory = "hugepages" | "pages" | "heap";

/** What was asked for. */
export interface LinuxSetup {
  readonly driver: AgentDriver;
  readonly way: DriverWay;
  readonly memory: DriverMemory;
  /** Null: Debian's, the smallest that will do. */
  readonly kernel: KernelSource | null;
  readonly qemu: string;
  /** Null: the one that the sleeps want. */
  readonly machine: string | null;
  /** As `-device` has it, without `id` and `max_outputs`. */
  readonly device: string;
  readonly gpus: number;
  readonly outputs: number;
  /** MiB; null: as much as scene and kernel need. */
  readonly ram: number | null;
  /** The guest is started by systemd, which has the remedy as a unit, and puts it to sleep. */
  readonly systemd: boolean;
  readonly chain: readonly SleepWay[];
  /** Bytes of all objects of all GPUs. */
  readonly sceneBytes: number;
  /** Off-screen objects of each GPU. */
  readonly objects: number;
}

/** Debian's smallest kernel that has what a driver needs. */
export function usualKernel(driver: AgentDriver): KernelSource {
  return driver === "virtgpu" ? DEBIAN_KERNELS.cloud : DEBIAN_KERNELS.generic;
}

/** For people: where a kernel comes from. */
export function kernelText(source: KernelSource): string {
  switch (source.kind) {
    case "debian":
      return `Debian's ${source.package}${source.pocket === "backports" ? ", backports" : ""}`;
    case "deb":
      return source.file;
    case "files":
      return source.kernel;
  }
}

/** For people: which driver, in which way. */
export function subjectName(
  { driver, way, memory, systemd }: Pick<LinuxSetup, "driver" | "way" | "memory" | "systemd">,
  remedy: boolean,
): string {
  if (systemd) return "the kernel's driver, unbound for the sleep by a unit of systemd";
  if (driver === "kernel") return remedy ? "the kernel's driver, unbound for the sleep" : "the kernel's driver";
  return `our driver by ${way}${memory === "hugepages" ? "" : `, ${memory}`}`;
}

/** The modules that such a machine needs. */
export function modulesFor({ driver, way }: Pick<LinuxSetup, "driver" | "way">): ModuleChoice {
  if (driver === "kernel") return KERNEL_DRIVER_MODULES;
  return way === "vfio" ? VFIO_MODULES : USER_SPACE_MODULES;
}

const MIB = 1 << 20;
/** Host memory for pictures that QEMU gives a GPU unless it is told otherwise: 256 MiB. */
const HOSTMEM_MIB = 256;

/** The machine's options. Unpacks, or makes, what it boots from. */
export async function prepareMachine(setup: LinuxSetup): Promise<LinuxVmOptions> {
  const { driver, way, memory, kernel } = setup;
  const { file, unit } = unbindRemedy();
  const boot = await prepareBoot({
    kernel: kernel ?? usualKernel(driver),
    modules: modulesFor(setup),
    ...(setup.systemd ? { units: { [file]: unit } } : {}),
  });
  const isVfio = driver === "virtgpu" && way === "vfio";
  return {
    qemu: setup.qemu,
    machine: setup.machine ?? machineFor(setup.chain),
    devices: Array.from({ length: setup.gpus }, () => deviceText(setup)),
    memory: ramFor(setup),
    boot,
    commandLine: isVfio ? ["intel_iommu=on"] : [],
    extra: isVfio ? ["-device", "intel-iommu,intremap=on,caching-mode=on"] : [],
    swap: swapFor(setup),
    agent: [
      "--driver",
      driver,
      ...(driver === "virtgpu" ? ["--way", way, "--memory", memory, "--objects", String(setup.objects)] : []),
      ...(setup.systemd ? ["--systemd"] : []),
    ],
    rfb: true,
  };
}

/** What the GPU is, with its number of outputs and memory for all its pictures. */
export function deviceText({ device, outputs, driver, way, sceneBytes, gpus }: LinuxSetup): string {
  const parts = [device, `max_outputs=${Math.max(1, outputs)}`];
  if (driver === "virtgpu" && way === "vfio") {
    for (const [name, value] of [
      ["iommu_platform", "on"],
      ["disable-legacy", "on"],
    ]) {
      if (!device.includes(`${name}=`)) parts.push(`${name}=${value}`);
    }
  }
  const needed = Math.ceil((sceneBytes / Math.max(1, gpus) / MIB) * 1.25) + 32;
  if (needed > HOSTMEM_MIB && !device.includes("max_hostmem=")) parts.push(`max_hostmem=${needed}M`);
  return parts.join(",");
}

/** An image has to fit beside what it is of: twice a kernel's own need, and Node's, and the scene's. */
export function ramFor({ ram, driver, way, kernel, sceneBytes }: LinuxSetup): number {
  if (ram !== null) return ram;
  const isSmall = driver === "virtgpu" && (kernel ?? usualKernel(driver)) === DEBIAN_KERNELS.cloud;
  const base = isSmall && way !== "vfio" ? 448 : 576;
  return base + Math.ceil((3 * sceneBytes) / MIB / 64) * 64;
}

/** Sparse; an image is never larger than the memory. */
function swapFor(setup: LinuxSetup): number {
  return Math.max(512, ramFor(setup) * 2);
}

/** Bytes of the pictures of a scene, of all GPUs. */
export function sceneBytes(
  outputs: readonly (Size | null)[],
  offscreen: { readonly count: number } & Size,
  gpus: number,
): number {
  const lit = outputs.reduce((sum, size) => sum + (size === null ? 0 : size.width * size.height * 4), 0);
  // Twice: pages are flipped on the last output.
  return gpus * (2 * lit + offscreen.count * offscreen.width * offscreen.height * 4);
}

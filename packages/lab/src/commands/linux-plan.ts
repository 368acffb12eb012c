/** From what was typed for `virtgpu linux` to a machine and what it is put through. */
import { resolve } from "node:path";
import { availableParallelism } from "node:os";
import type { Size, SleepWay } from "@virtgpu/linux/agent";
import { requireBlobs } from "../guests/linux/blobs.ts";
import { cacheFolder } from "../guests/linux/cache.ts";
import { DEBIAN_KERNELS, type KernelSource } from "../guests/linux/kernel.ts";
import { findQemu } from "../hosts/qemu/qemu-process.ts";
import { LINUX_CASES, type LinuxCase } from "../scenarios/linux/cases.ts";
import { type LifePlan, LIMITS } from "../scenarios/linux/plan.ts";
import { type LinuxSetup, sceneBytes } from "../scenarios/linux/setup.ts";
import { UsageError } from "../usage-error.ts";
import type { LinuxFlags } from "./linux.ts";

const SIZE: Size = { width: 1024, height: 768 };
const OUTPUTS = 2;
const OBJECTS = 24;
/** 64 KiB each. */
const OBJECT_SIZE: Size = { width: 128, height: 128 };
const SHOWN_MAX = 64;
const SCENE_MAX = 3 * 2 ** 30;

/** What is asked of a machine. */
export interface LinuxRunPlan {
  readonly plan: LifePlan;
  readonly setup: LinuxSetup;
  readonly hard: LinuxCase;
}

/** What is taken from the agent's package, which may not be installed. */
export type AgentParts = Pick<LifePlan, "pattern" | "liveSays">;

/** Throws UsageError. */
export function makeLinuxPlan(flags: LinuxFlags, kernel: KernelSource | null, agent: AgentParts): LinuxRunPlan {
  checkFlags(flags);
  requireBlobs(flags.device);
  const hard = LINUX_CASES[flags.case];
  if (hard === undefined) throw new UsageError(`there is no case called "${flags.case}"`);
  if (hard.onlyOurs === true && flags.driver === "kernel") {
    throw new UsageError(
      `the case "${flags.case}" is for --driver virtgpu: the kernel's driver can't be kept from its host`,
    );
  }
  const chain = hard.chain ?? Array.from({ length: flags.cycles }, () => flags.sleep).flat();
  const count = flags.outputs ?? OUTPUTS;
  const typed: LifePlan = {
    driver: flags.driver,
    chain,
    gpus: flags.gpus,
    outputs: Array.from({ length: count }, () => flags.size ?? SIZE),
    offscreen: { count: flags.objects ?? OBJECTS, ...OBJECT_SIZE },
    cursor: true,
    extras: true,
    flips: true,
    hotplug: true,
    remedy: flags.remedy || flags.systemd === true,
    hangMs: 0,
    loss: null,
    seed: 1,
    shownMax: SHOWN_MAX,
    limits: LIMITS,
    ...agent,
  };
  const plan = { ...typed, ...hard.plan?.(typed) };
  const bytes = sceneBytes(plan.outputs, plan.offscreen, plan.gpus);
  if (bytes > SCENE_MAX) throw new UsageError("so many pixels take more than 3 GiB of guest memory");
  const setup: LinuxSetup = {
    driver: flags.driver,
    way: flags.way,
    memory: flags.memory,
    kernel,
    qemu: findQemu(flags.qemu),
    machine: flags.machine ?? null,
    device: flags.device,
    gpus: flags.gpus,
    outputs: count,
    ram: flags.ram ?? null,
    systemd: flags.systemd === true,
    chain,
    sceneBytes: bytes,
    objects: plan.offscreen.count,
  };
  return { plan, setup: { ...setup, ...hard.setup?.(setup) }, hard };
}

/** systemd puts a machine to sleep in these ways, and no other. */
const SYSTEMD_WAYS: readonly SleepWay[] = ["s4-platform", "s3", "hybrid"];

function checkSystemd({ driver, systemd, sleep }: LinuxFlags): void {
  if (systemd !== true) return;
  if (driver !== "kernel") throw new UsageError("--systemd is for --driver kernel");
  const other = sleep.find((way) => !SYSTEMD_WAYS.includes(way));
  if (other !== undefined) {
    throw new UsageError(`systemd has no ${other}: --systemd takes ${SYSTEMD_WAYS.join(", ")}`);
  }
}

function checkFlags(flags: LinuxFlags): void {
  checkSystemd(flags);
  const { driver, way, memory, remedy, kernel, modules, patch, source, debian, deb } = flags;
  if (driver === "kernel" && (way !== "uio" || memory !== "hugepages")) {
    throw new UsageError("--way and --memory are for --driver virtgpu");
  }
  if (memory === "heap" && way !== "pci-cfg") throw new UsageError("--memory heap is for --way pci-cfg");
  if (remedy && driver === "virtgpu") throw new UsageError("--remedy is for --driver kernel");
  if (modules !== undefined && kernel === undefined) throw new UsageError("--modules is for --kernel");
  if (kernel !== undefined && modules === undefined) throw new UsageError("--kernel needs --modules");
  if (patch !== undefined && patch.length > 0 && source === undefined) throw new UsageError("--patch is for --source");
  const kernels = [debian, deb, kernel, source].filter((one) => one !== undefined);
  if (kernels.length > 1) throw new UsageError("give one of --debian, --deb, --kernel and --source");
}

/** The kernel that was asked for, built where it has to be; null: the usual one. `here` is where paths begin. */
export async function findKernelSource(
  flags: LinuxFlags,
  here: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<KernelSource | null> {
  checkFlags(flags);
  const { debian, deb, kernel, modules, source, patch = [] } = flags;
  if (debian !== undefined) return DEBIAN_KERNELS[debian];
  if (deb !== undefined) return { kind: "deb", file: resolve(here, deb) };
  if (kernel !== undefined && modules !== undefined) {
    return { kind: "files", kernel: resolve(here, kernel), modules: resolve(here, modules) };
  }
  if (source === undefined) return null;
  const { buildKernel } = await import("../guests/linux/kernel-source/index.ts");
  const built = await buildKernel({
    source: resolve(here, source),
    patches: patch.map((path) => resolve(here, path)),
    cache: cacheFolder(),
    onLine,
    jobs: availableParallelism(),
    signal,
  });
  if (built.without.length > 0) onLine(`this kernel does not have ${built.without.join(", ")}`);
  return { kind: "files", kernel: built.kernel, modules: built.modules };
}

/**
 * The initramfs of the lab's Linux machine: busybox, the modules that it needs, and our /init.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { cached, keyOf } from "./cache.ts";
import { type CpioMember, writeCpio } from "./cpio.ts";
import { INIT_SCRIPT } from "./init-script.ts";
import { collectModules, type KernelModule } from "./modules.ts";

/** Modules of a machine, by name; what is built into its kernel is left out. */
export interface ModuleChoice {
  /** Loaded before an image is looked for, in the kernel that resumes too. */
  readonly early: readonly string[];
  /** Loaded only in a fresh boot. */
  readonly late: readonly string[];
  /** Like `late`, where the kernel has them. */
  readonly optional: readonly string[];
}

/** What no machine can do without: its disks. */
const ALWAYS_EARLY = ["virtio_pci", "virtio_blk"] as const;
const ALWAYS_LATE = ["ext4"] as const;
/** ext4 asks for it by what it does, not by its name, where it is a module. */
const CHECKSUM = "crc32c_generic";

/** Where busybox finds itself; the script uses no other. */
const COMMANDS = "sh mount insmod cat dd swapon chroot stty poweroff sleep switch_root sync dmesg grep tail echo".split(
  " ",
);

function moduleFiles(name: string, modules: readonly KernelModule[]): CpioMember[] {
  const list = modules.map((module) => `${module.name}\n`).join("");
  return [
    { kind: "file", path: `modules/${name}`, bytes: Buffer.from(list) },
    ...modules.map((module): CpioMember => ({ kind: "file", path: `modules/${module.name}.ko`, bytes: module.bytes })),
  ];
}

function members(busybox: Buffer, early: readonly KernelModule[], late: readonly KernelModule[]): CpioMember[] {
  const folders = ["bin", "dev", "proc", "sys", "disk", "modules"];
  return [
    ...folders.map((path): CpioMember => ({ kind: "folder", path })),
    // The kernel opens it for /init before anything is mounted.
    { kind: "character-device", path: "dev/console", major: 5, minor: 1 },
    { kind: "file", path: "bin/busybox", bytes: busybox, executable: true },
    ...COMMANDS.map((name): CpioMember => ({ kind: "link", path: `bin/${name}`, target: "busybox" })),
    { kind: "file", path: "init", bytes: Buffer.from(INIT_SCRIPT), executable: true },
    ...moduleFiles("early", early),
    ...moduleFiles("late", late),
  ];
}

/** The path of the initramfs for a kernel's modules, made where it is not in the cache. Throws GpuError ENOENT for a module that is not there. */
export async function makeInitramfs(modulesFolder: string, busybox: string, choice: ModuleChoice): Promise<string> {
  const early = await collectModules(modulesFolder, [...ALWAYS_EARLY, ...choice.early]);
  const all = await collectModules(modulesFolder, [
    ...ALWAYS_EARLY,
    ...choice.early,
    CHECKSUM,
    ...ALWAYS_LATE,
    ...choice.late,
    ...choice.optional,
  ]);
  const mayBeMissing = [CHECKSUM, ...choice.optional.map((name) => name.replaceAll("-", "_"))];
  const missing = all.missing.filter((name) => !mayBeMissing.includes(name));
  if (missing.length > 0) {
    throw new GpuError("ENOENT", `the kernel has no module ${missing.join(", ")} (in ${modulesFolder})`);
  }
  const inEarly = new Set(early.modules.map((module) => module.name));
  const late = all.modules.filter((module) => !inEarly.has(module.name));
  const archive = writeCpio(members(readFileSync(busybox), early.modules, late));
  // As it is: to unpack it would take an emulated machine longer than to copy it.
  return cached("initramfs", `${keyOf(archive)}.cpio`, async (work) => {
    const path = join(work, "initramfs");
    writeFileSync(path, archive);
    return path;
  });
}

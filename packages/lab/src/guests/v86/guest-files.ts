/**
 * A ready guest for v86: Debian's kernel for 32-bit PCs with its virtio_gpu, busybox, and a BIOS, from Debian's packages,
 * which are fetched and unpacked, never installed. Another kernel can be named by its files.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { GpuError } from "@virtgpu/core/base";
import { cached, keyOf } from "../linux/cache.ts";
import { type CpioMember, writeCpio } from "../linux/cpio.ts";
import { debianPackage } from "../linux/debian-packages.ts";
import { findKernel, type KernelSource } from "../linux/kernel.ts";
import { collectModules, type KernelModule } from "../linux/modules.ts";
import { GREETING, INIT_SCRIPT } from "./init-script.ts";
import { kmsProgram } from "./kms-program.ts";

/** Paths of what a machine in v86 boots from. */
export interface V86GuestFiles {
  /** `uname -r`. */
  readonly release: string;
  /** SeaBIOS. */
  readonly bios: string;
  /** A bzImage. */
  readonly kernel: string;
  /** The initramfs. */
  readonly initrd: string;
  /** The kernel's command line. */
  readonly commandLine: string;
}

/** What differs from the ready guest. */
export interface V86GuestChoice {
  /** Default: Debian's linux-image-686. */
  readonly kernel?: KernelSource;
  /** Default: busybox with the kernel's modules, made here. */
  readonly initrd?: string;
}

/** Names another kernel, and the folder of its modules, in the environment. */
const KERNEL_VARIABLE = "VIRTGPU_V86_KERNEL";
const MODULES_VARIABLE = "VIRTGPU_V86_MODULES";

const DEBIAN_KERNEL: KernelSource = { kind: "debian", package: "linux-image-686", pocket: "i386" };

/** Without a console on the screen: what the kernel has to say would stand between the words of the login. */
const COMMAND_LINE = "console=ttyS0 quiet loglevel=4 tsc=reliable mitigations=off rcupdate.rcu_cpu_stall_suppress=1";

const MODULES = ["virtio_pci", "virtio_gpu"] as const;
/** A disk, for hibernation; a kernel may have its driver built in under another name. */
const DISK_MODULES = ["ata_piix", "sd_mod"] as const;
/** v86's VGA, for comparison. */
const VGA_MODULES = ["bochs"] as const;

const COMMANDS =
  "sh mount hostname cat echo insmod getty login setsid cttyhack sleep mkswap swapon poweroff reboot dmesg ls dd sync od";

/** Modules by what they are for, in the order to load them in. */
interface ModuleLists {
  readonly disk: readonly KernelModule[];
  readonly gpu: readonly KernelModule[];
  readonly vga: readonly KernelModule[];
}

function members(busybox: Buffer, kms: Buffer, lists: ModuleLists): CpioMember[] {
  const files = new Map([...lists.disk, ...lists.gpu, ...lists.vga].map(({ name, bytes }) => [name, bytes]));
  const text = (path: string, contents: string, executable = false): CpioMember => ({
    kind: "file",
    path,
    bytes: Buffer.from(contents),
    executable,
  });
  return [
    ...["bin", "dev", "etc", "proc", "root", "sys", "modules"].map((path): CpioMember => ({ kind: "folder", path })),
    // The kernel opens it for /init before anything is mounted.
    { kind: "character-device", path: "dev/console", major: 5, minor: 1 },
    { kind: "file", path: "bin/busybox", bytes: busybox, executable: true },
    ...COMMANDS.split(" ").map((name): CpioMember => ({ kind: "link", path: `bin/${name}`, target: "busybox" })),
    { kind: "file", path: "bin/kms", bytes: kms, executable: true },
    text("init", INIT_SCRIPT, true),
    text("etc/issue", `${GREETING}, Linux \\r on \\l\n\n`),
    text("etc/passwd", "root::0:0:root:/root:/bin/sh\n"),
    text("etc/group", "root:x:0:\n"),
    ...(["disk", "gpu", "vga"] as const).map((list) =>
      text(`modules/${list}`, lists[list].map(({ name }) => `${name}\n`).join("")),
    ),
    ...Array.from(files, ([name, bytes]): CpioMember => ({ kind: "file", path: `modules/${name}.ko`, bytes })),
  ];
}

/** The archive as the kernel takes it. */
async function makeInitrd(modulesFolder: string): Promise<string> {
  const disk = await collectModules(modulesFolder, DISK_MODULES);
  const gpu = await collectModules(modulesFolder, MODULES);
  const vga = await collectModules(modulesFolder, VGA_MODULES);
  const lacking = gpu.missing;
  if (lacking.length > 0) {
    throw new GpuError("ENOENT", `the kernel has no module ${lacking.join(", ")} (in ${modulesFolder})`);
  }
  const busybox = readFileSync(join(await debianPackage("busybox-static", "i386"), "bin/busybox"));
  const archive = writeCpio(
    members(busybox, await kmsProgram(), { disk: disk.modules, gpu: gpu.modules, vga: vga.modules }),
  );
  return cached("initramfs", `v86-${keyOf(archive)}.cpio.gz`, async (work) => {
    const path = join(work, "initramfs");
    writeFileSync(path, gzipSync(archive, { level: 6 }));
    return path;
  });
}

/**
 * Makes what is missing: takes a minute the first time, a fraction of a second later. Throws GpuError EIO where a package
 * can't be fetched, ENODEV where a program is missing, UsageError for files that are not what they should be.
 */
export async function prepareV86Guest(choice: V86GuestChoice = {}): Promise<V86GuestFiles> {
  try {
    return await prepare(choice);
  } catch (error) {
    if (!(error instanceof GpuError) || error.code !== "EIO") throw error;
    throw new GpuError(
      "EIO",
      `the guest for v86 can't be made: ${error.message}; another kernel can be named by ` +
        `${KERNEL_VARIABLE}=<bzImage> and ${MODULES_VARIABLE}=<folder lib/modules/RELEASE>`,
      { cause: error },
    );
  }
}

function namedKernel(): KernelSource | null {
  const kernel = process.env[KERNEL_VARIABLE];
  const modules = process.env[MODULES_VARIABLE];
  return kernel === undefined || modules === undefined ? null : { kind: "files", kernel, modules };
}

async function prepare(choice: V86GuestChoice): Promise<V86GuestFiles> {
  const kernel = await findKernel(choice.kernel ?? namedKernel() ?? DEBIAN_KERNEL);
  const seabios = await debianPackage("seabios", "i386");
  return {
    release: kernel.release,
    bios: join(seabios, "usr/share/seabios/bios-256k.bin"),
    kernel: kernel.image,
    initrd: choice.initrd ?? (await makeInitrd(kernel.modules)),
    commandLine: COMMAND_LINE,
  };
}

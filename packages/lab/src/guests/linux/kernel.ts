/**
 * A kernel with its modules: from Debian's packages, from a package file, or as somebody has just built it.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { UsageError } from "../../usage-error.ts";
import { debianPackage, packageFile, type Pocket } from "./debian-packages.ts";

/** Where a kernel comes from. */
export type KernelSource =
  /** A package of the archive, e.g. "linux-image-cloud-amd64". */
  | { readonly kind: "debian"; readonly package: string; readonly pocket?: Pocket }
  /** A linux-image-….deb. */
  | { readonly kind: "deb"; readonly file: string }
  /** A bzImage, and the folder that holds its modules: lib/modules/RELEASE itself, or what INSTALL_MOD_PATH named. */
  | { readonly kind: "files"; readonly kernel: string; readonly modules: string };

/** A kernel, found. */
export interface Kernel {
  /** `uname -r`. */
  readonly release: string;
  readonly image: string;
  /** The folder lib/modules/RELEASE. */
  readonly modules: string;
}

/** Debian's own, by what they are good for. */
export const DEBIAN_KERNELS: {
  readonly [Name in "cloud" | "generic" | "backports-cloud" | "backports-generic"]: KernelSource;
} = {
  cloud: { kind: "debian", package: "linux-image-cloud-amd64" },
  generic: { kind: "debian", package: "linux-image-amd64" },
  "backports-cloud": { kind: "debian", package: "linux-image-cloud-amd64", pocket: "backports" },
  "backports-generic": { kind: "debian", package: "linux-image-amd64", pocket: "backports" },
};

/** Linux's boot protocol (Documentation/arch/x86/boot.rst): "HdrS" at 0x202, the version string's place at 0x20e. */
function releaseOf(image: string): string | null {
  const bytes = readFileSync(image);
  if (bytes.length < 0x400 || bytes.toString("latin1", 0x202, 0x206) !== "HdrS") return null;
  const start = bytes.readUInt16LE(0x20e) + 0x200;
  return /^[\w.+~-]+/.exec(bytes.toString("latin1", start, start + 128))?.[0] ?? null;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function modulesFolder(given: string, release: string): string {
  const candidates = [given, join(given, release), join(given, "lib/modules", release)];
  const found = candidates.find((folder) => isFolder(join(folder, "kernel")) && basename(resolve(folder)) === release);
  if (found !== undefined) return resolve(found);
  const only = isFolder(join(given, "kernel")) ? "" : `; it has no folder lib/modules/${release}`;
  throw new UsageError(`${given} does not hold the modules of the kernel ${release}${only}`);
}

function kernelIn(tree: string): Kernel {
  const boot = join(tree, "boot");
  const name = isFolder(boot) ? readdirSync(boot).find((entry) => entry.startsWith("vmlinuz-")) : undefined;
  if (name === undefined) throw new UsageError(`the package has no kernel: no boot/vmlinuz-RELEASE in ${tree}`);
  const release = name.slice("vmlinuz-".length);
  const modules = ["lib/modules", "usr/lib/modules"].map((folder) => join(tree, folder, release)).find(isFolder);
  if (modules === undefined) throw new UsageError(`the package has no modules of the kernel ${release}`);
  return { release, image: join(boot, name), modules };
}

/** Finds a kernel, fetching and unpacking it where it has to be. Throws UsageError for files that are not what they should be. */
export async function findKernel(source: KernelSource): Promise<Kernel> {
  if (source.kind === "debian") return kernelIn(await debianPackage(source.package, source.pocket));
  if (source.kind === "deb") return kernelIn(await packageFile(source.file));
  if (!existsSync(source.kernel)) throw new UsageError(`there is no kernel ${source.kernel}`);
  if (!isFolder(source.modules)) throw new UsageError(`there is no folder ${source.modules}`);
  const release = releaseOf(source.kernel);
  if (release === null) throw new UsageError(`${source.kernel} is no Linux kernel that can be booted (a bzImage)`);
  return { release, image: resolve(source.kernel), modules: modulesFolder(source.modules, release) };
}

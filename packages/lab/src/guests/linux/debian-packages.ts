/**
 * Debian packages, unpacked into the cache and never installed: found with the system's own apt sources, fetched with
 * apt-get, unpacked with dpkg-deb. Nothing of the system is changed; where its package lists are missing or old, lists of
 * our own are fetched into the cache.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { makeFolder } from "../../make-folder.ts";
import { UsageError } from "../../usage-error.ts";
import { backportsLine, codenameOf, systemSources } from "./apt-sources.ts";
import { cached, cacheFolder, keyOf } from "./cache.ts";
import { runProgram } from "./programs.ts";

/** Where a package comes from: the release itself, its backports, or the release as it is for 32-bit PCs. */
export type Pocket = "release" | "backports" | "i386";

/** Where apt keeps the packages that it has installed (apt.conf(5), Dir::Cache::Archives). */
const ARCHIVES = "/var/cache/apt/archives";

const OS_RELEASE = "/etc/os-release";
const PACKAGE_NAME = /^[a-z0-9][a-z0-9+.-]+$/;

/** Options for every apt call that make it see only what we mean. */
type AptView = readonly string[];

/** As root, apt would complain that its own user may not write where we want the files; and it would wait for ever for a network. */
const AS_WE_ARE = ["APT::Sandbox::User=root", "Acquire::Retries=1", "Acquire::http::Timeout=30"].flatMap((option) => [
  "-o",
  option,
]);

function privateView(pocket: Pocket): AptView {
  const folder = join(cacheFolder(), "apt", pocket);
  const lists = join(folder, "lists");
  makeFolder(join(lists, "partial"));
  makeFolder(join(folder, "cache/archives/partial"));
  const options = [...AS_WE_ARE, "-o", `Dir::State::lists=${lists}`, "-o", `Dir::Cache=${join(folder, "cache")}`];
  if (pocket === "release") return options;
  if (pocket === "i386") return [...options, ...foreignView("i386", folder)];
  const codename = existsSync(OS_RELEASE) ? codenameOf(readFileSync(OS_RELEASE, "utf8")) : null;
  const line = codename === null ? null : backportsLine(systemSources(), codename);
  if (codename === null || line === null) {
    throw new GpuError("ENODEV", "backports need a Debian system whose apt sources name its release");
  }
  const list = join(folder, "sources.list");
  writeFileSync(list, `${line}\n`);
  return [...options, "-o", `Dir::Etc::sourcelist=${list}`, "-o", "Dir::Etc::sourceparts=-"];
}

/** Another architecture than the system's, which stays as it is: with nothing installed, so that nothing stands in the way. */
function foreignView(architecture: string, folder: string): AptView {
  const status = join(folder, "status");
  writeFileSync(status, "");
  return [
    `APT::Architecture=${architecture}`,
    `APT::Architectures::=${architecture}`,
    `Dir::State::status=${status}`,
  ].flatMap((option) => ["-o", option]);
}

/** What went wrong, or null. A source of somebody else's that can't be reached need not concern us. */
async function update(view: AptView): Promise<unknown> {
  try {
    await runProgram("apt-get", [...view, "-o", "APT::Update::Error-Mode=any", "-qq", "update"]);
    return null;
  } catch (error) {
    return error;
  }
}

/** What can be done without a network, by what the package is for. */
const HINTS: Readonly<Record<Pocket, string>> = {
  release: "; a kernel can be given by --deb FILE, or --kernel FILE --modules FOLDER",
  backports: "; a kernel can be given by --deb FILE, or --kernel FILE --modules FOLDER",
  i386: "",
};

function networkError(error: unknown, what: string, pocket: Pocket): GpuError {
  if (error instanceof GpuError && error.code === "ENODEV") return error;
  const why = error instanceof Error ? error.message.replace(/ \([A-Z]+\)$/, "") : String(error);
  return new GpuError("EIO", `${what} could not be fetched (${why})${HINTS[pocket]}`, { cause: error });
}

/** The package that a meta package stands for, e.g. linux-image-6.1.0-56-cloud-amd64; the name itself where it is none. */
async function concreteName(view: AptView, name: string): Promise<string> {
  const text = (await runProgram("apt-cache", [...view, "depends", "--important", name])).toString("utf8");
  if (!text.startsWith(name)) throw new GpuError("ENOENT", `apt knows no package ${name}`);
  const stem = name.replace(/-((cloud-)?amd64|686(-pae)?)$/, "");
  const found = [...text.matchAll(/^\s*\|?Depends:\s+(\S+)/gm)].map((match) => match[1] ?? "");
  return found.find((one) => one.startsWith(`${stem}-`) && /\d/.test(one)) ?? name;
}

async function download(view: AptView, name: string, folder: string): Promise<string> {
  const concrete = await concreteName(view, name);
  await runProgram("apt-get", [...view, "-qq", "download", concrete], { cwd: folder });
  const file = readdirSync(folder).find((entry) => entry.endsWith(".deb"));
  if (file === undefined) throw new GpuError("EIO", `apt-get fetched no package ${concrete}`);
  return join(folder, file);
}

/** With the system's own package lists; null where they don't know the package, or the archive no longer has it. */
async function downloadBySystem(name: string, folder: string): Promise<string | null> {
  try {
    return await download(AS_WE_ARE, name, folder);
  } catch (error) {
    if (error instanceof GpuError && error.code === "ENODEV") throw error;
    return null;
  }
}

/** With the system's lists where they serve, else with fresh ones of our own, else what apt has kept of earlier days. */
async function fetchDeb(name: string, pocket: Pocket, folder: string): Promise<string> {
  const found = pocket === "release" ? await downloadBySystem(name, folder) : null;
  if (found !== null) return found;
  const fresh = privateView(pocket);
  const trouble = await update(fresh);
  try {
    return await download(fresh, name, folder);
  } catch (error) {
    const kept = pocket === "release" ? archivedDeb(name) : null;
    if (kept !== null) return kept;
    throw trouble === null
      ? networkError(error, `the Debian package ${name}`, pocket)
      : networkError(trouble, "Debian's package lists", pocket);
  }
}

/** The newest package file of a name, or of what a meta package of kernels stands for, that apt has kept, or null. */
function archivedDeb(name: string): string | null {
  const kernel = /^linux-image-((?:cloud-)?amd64)$/.exec(name);
  const isWanted = (file: string): boolean => {
    if (kernel === null) return file.startsWith(`${name}_`);
    return /^linux-image-\d[\d.]*-\d+-((?:cloud-)?amd64)_/.exec(file)?.[1] === kernel[1];
  };
  const files = existsSync(ARCHIVES) ? readdirSync(ARCHIVES) : [];
  const debs = files.filter((file) => file.endsWith(".deb") && isWanted(file)).map((file) => join(ARCHIVES, file));
  return debs.sort((one, other) => statSync(other).mtimeMs - statSync(one).mtimeMs)[0] ?? null;
}

async function unpackInto(deb: string, folder: string): Promise<string> {
  mkdirSync(folder);
  try {
    await runProgram("dpkg-deb", ["-x", deb, folder]);
  } catch (error) {
    if (error instanceof GpuError && error.code === "ENODEV") throw error;
    throw new UsageError(`${deb} is no Debian package that dpkg-deb can unpack`, { cause: error });
  }
  return folder;
}

/**
 * The folder with what a Debian package would install, e.g. of "linux-image-cloud-amd64". What is in the cache is taken,
 * however old: remove the folder `packages` there to get the newest. Throws GpuError ENODEV (no apt), EIO (no network).
 */
export async function debianPackage(name: string, pocket: Pocket = "release"): Promise<string> {
  if (!PACKAGE_NAME.test(name)) throw new UsageError(`${name} is no name of a Debian package`);
  return cached("packages", `${name}.${pocket}`, async (work) => {
    const deb = await fetchDeb(name, pocket, work);
    const tree = await unpackInto(deb, join(work, "tree"));
    writeFileSync(join(tree, "package"), `${basename(deb)}\n`);
    return tree;
  });
}

/** The folder with what a package file would install. */
export async function packageFile(path: string): Promise<string> {
  const file = resolve(path);
  const stat = existsSync(file) ? statSync(file) : null;
  if (stat === null || !stat.isFile()) throw new UsageError(`there is no package file ${path}`);
  const key = keyOf(file, String(stat.size), String(stat.mtimeMs), String(stat.ino));
  return cached("packages", key, async (work) => {
    const tree = await unpackInto(file, join(work, "tree"));
    const entry = join(work, "unpacked");
    renameSync(tree, entry);
    return entry;
  });
}

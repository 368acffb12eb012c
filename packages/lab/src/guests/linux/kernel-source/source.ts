/**
 * A kernel's source as its owner has it: a folder (a git tree, or an unpacked one), or a tarball. It is only read.
 */
import { createHash } from "node:crypto";
import { createReadStream, lstatSync, readFileSync, readdirSync, realpathSync, statSync } from "node:fs";
import { execFile } from "node:child_process";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { UsageError } from "../../../usage-error.ts";
import { plainEnvironment } from "./run-program.ts";

/** Files of a tree by their paths from its root; what tells a file from what it was before. */
export type Listing = ReadonlyMap<string, string>;

/** Where the source is. */
export interface SourcePlace {
  readonly kind: "folder" | "tarball";
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** Names the source among others: a tarball's contents, a folder's place. */
  readonly id: string;
}

/** A kernel has about 90,000 files; a folder with far more is not one. */
const FILES_MAX = 1_000_000;
const LISTING_BYTES_MAX = 256 * 1024 * 1024;
const MAKEFILE_BYTES_MAX = 4 * 1024 * 1024;
const run = promisify(execFile);

/** Looks at what was given as `--source`. Throws UsageError where there is neither a folder nor a file. */
export async function findSource(source: string): Promise<SourcePlace> {
  let path: string;
  try {
    path = realpathSync(resolve(source));
  } catch {
    throw new UsageError(`${source} is not there; --source takes a kernel's source tree, or its tarball`);
  }
  const stat = statSync(path);
  if (stat.isDirectory()) return { kind: "folder", path, id: `folder-${hash(path)}` };
  if (!stat.isFile()) throw new UsageError(`${source} is neither a folder nor a file`);
  if (!/\.(tar|tgz|txz|tar\.\w+)$/.test(path)) {
    throw new UsageError(`${source} is no source tree and no tarball (.tar, .tar.xz, .tar.gz)`);
  }
  return { kind: "tarball", path, id: `tarball-${await hashFile(path)}` };
}

/** Short, for names of folders. */
function hash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

async function hashFile(path: string): Promise<string> {
  const digest = createHash("sha256");
  for await (const chunk of createReadStream(path)) digest.update(chunk);
  return digest.digest("hex").slice(0, 32);
}

/** The version that a tree's Makefile names, e.g. "6.1.192" or "6.19.0-rc2". Throws UsageError where the folder is no kernel. */
export function sourceVersion(folder: string, shown: string): string {
  const fields = ["VERSION", "PATCHLEVEL", "SUBLEVEL", "EXTRAVERSION"].map((name) => makeVariable(folder, name));
  const [version, patchlevel, sublevel, extra] = fields;
  const isKernel = lstatSync(join(folder, "drivers/gpu/drm/virtio"), { throwIfNoEntry: false })?.isDirectory();
  if (isKernel !== true || version === undefined || version === "" || patchlevel === undefined) {
    throw new UsageError(
      `${shown} is no Linux source tree: it has no Makefile of a kernel, or no drivers/gpu/drm/virtio`,
    );
  }
  return [version, patchlevel, sublevel === "" ? "0" : (sublevel ?? "0")].join(".") + (extra ?? "");
}

function makeVariable(folder: string, name: string): string | undefined {
  const path = join(folder, "Makefile");
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? Infinity) > MAKEFILE_BYTES_MAX) return undefined;
  return new RegExp(`^${name} *= *([\\w.+~-]*) *$`, "m").exec(readFileSync(path, "utf8"))?.[1];
}

/**
 * The files of a folder. Of a git tree those that git knows or would not ignore, so that a tree with the products of a build
 * in it will do; another tree has to be without them, for make would take them for its own.
 */
export async function listSource(folder: string, shown: string, signal?: AbortSignal): Promise<Listing> {
  const isGit = lstatSync(join(folder, ".git"), { throwIfNoEntry: false }) !== undefined;
  const byGit = isGit ? await listByGit(folder, signal) : null;
  if (byGit !== null) return byGit;
  for (const product of [".config", "include/config", "arch/x86/include/generated"]) {
    if (lstatSync(join(folder, product), { throwIfNoEntry: false }) === undefined) continue;
    throw new UsageError(
      `${shown} holds the products of a build (${product}), and is no git tree that would tell them from the source; ` +
        "keep a copy of .config and run `make mrproper` in it, or unpack a fresh one",
    );
  }
  return listByWalking(folder, signal);
}

/** Null where git is not there, or refuses the folder (somebody else's). */
async function listByGit(folder: string, signal: AbortSignal | undefined): Promise<Listing | null> {
  const args = ["-C", folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  let output: string;
  try {
    const options = { env: plainEnvironment(), maxBuffer: LISTING_BYTES_MAX, signal };
    output = (await run("git", args, options)).stdout;
  } catch {
    signal?.throwIfAborted();
    return null;
  }
  const files = new Map<string, string>();
  for (const path of output.split("\0")) {
    const mark = path === "" ? null : signature(folder, path);
    if (mark !== null) files.set(path, mark);
  }
  return withoutHidden(files);
}

/** Without what git still lists below a folder that has become a symbolic link: nothing may be put behind one. */
function withoutHidden(files: ReadonlyMap<string, string>): Listing {
  const isHidden = (path: string): boolean => {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      if (files.has(path.slice(0, end))) return true;
    }
    return false;
  };
  return new Map([...files].filter(([path]) => !isHidden(path)));
}

async function listByWalking(folder: string, signal: AbortSignal | undefined): Promise<Listing> {
  const files = new Map<string, string>();
  const pending = [""];
  for (let under = pending.pop(); under !== undefined; under = pending.pop()) {
    await new Promise((resolveTurn) => setImmediate(resolveTurn));
    signal?.throwIfAborted();
    for (const entry of readdirSync(join(folder, under), { withFileTypes: true })) {
      const path = under === "" ? entry.name : `${under}/${entry.name}`;
      if (entry.isDirectory()) {
        if (path !== ".git") pending.push(path);
        continue;
      }
      const mark = signature(folder, path);
      if (mark !== null) files.set(path, mark);
    }
    if (files.size > FILES_MAX) throw new UsageError(`${folder} has more than ${FILES_MAX} files: no kernel's source`);
  }
  return files;
}

/** Null for what is neither a file nor a symbolic link, or no longer there. */
function signature(folder: string, path: string): string | null {
  const stat = lstatSync(join(folder, path), { bigint: true, throwIfNoEntry: false });
  if (stat === undefined || !(stat.isFile() || stat.isSymbolicLink())) return null;
  return `${stat.isFile() ? "f" : "l"}${stat.mode & 0o111n} ${stat.size} ${stat.mtimeNs}`;
}

/** One hash of a listing: another one as soon as a file is added, removed or written. */
export function hashListing(listing: Listing): string {
  const digest = createHash("sha256");
  for (const [path, mark] of [...listing].sort(([a], [b]) => (a < b ? -1 : 1))) digest.update(`${path}\0${mark}\n`);
  return digest.digest("hex");
}

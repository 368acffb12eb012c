/**
 * The machine's two read-only disks, ext4 each: the root disk with Node (the program that runs us) and its libraries, which
 * is large and hardly changes, and the agent's disk, which is small and changes with each build.
 */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { GpuError } from "@virtgpu/core/base";
import { makeFolder } from "../../make-folder.ts";
import { type AgentBundler, findBundler } from "./agent-bundle.ts";
import { cached, keyOf } from "./cache.ts";
import { runProgram } from "./programs.ts";

/** Another program as the agent: a folder and the module in it that is started, e.g. for tests. */
export interface OtherAgent {
  readonly folder: string;
  readonly main: string;
}

const AGENT_PACKAGE = "@virtgpu/linux";
const AGENT_FOLDER = "dist/agent";
const AGENT_MAIN = `${AGENT_FOLDER}/main.js`;
/** Modules that are started by themselves, and look for each other in one folder. */
const AGENT_STARTS = [AGENT_MAIN, `${AGENT_FOLDER}/sleep/snapshot-main.js`];

/** Room for what ext4 itself needs, in bytes. */
const OVERHEAD = 4 << 20;
const INODE_BYTES = 4096;

/** The libraries that a program is linked with, and its loader. Throws GpuError ENOENT for one that is not there. */
async function librariesOf(program: string, own: readonly string[] = []): Promise<string[]> {
  const env = own.length === 0 ? {} : { env: { LD_LIBRARY_PATH: own.join(":") } };
  const text = (await runProgram("ldd", [program], env)).toString("utf8");
  const missing = /(\S+) => not found/.exec(text)?.[1];
  if (missing !== undefined)
    throw new GpuError("ENOENT", `${program} needs the library ${missing}, which is not there`);
  return [...text.matchAll(/(?:=>\s+|^\s+)(\/[^\s]+)\s+\(0x/gm)].flatMap((match) => match[1] ?? []);
}

/** A hard link where that is possible, since the disk's maker only reads it. */
function place(source: string, target: string): void {
  makeFolder(dirname(target));
  if (existsSync(target)) return;
  try {
    linkSync(realpathSync(source), target);
  } catch {
    copyFileSync(source, target);
  }
}

function sizeOf(folder: string): { bytes: number; entries: number } {
  let bytes = 0;
  let entries = 0;
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const stat = statSync(join(folder, entry), { throwIfNoEntry: false });
    entries += 1;
    if (stat?.isFile() === true) bytes += Math.ceil(stat.size / 4096) * 4096;
  }
  return { bytes, entries };
}

/** An ext4 disk with what is in the folder. */
async function makeDisk(folder: string, disk: string): Promise<string> {
  const { bytes, entries } = sizeOf(folder);
  const kibibytes = Math.ceil((bytes * 1.03 + entries * INODE_BYTES + OVERHEAD) / 1024);
  const features = ["-t", "ext4", "-O", "^has_journal", "-b", "4096", "-m", "0", "-N", String(entries + 64)];
  await runProgram("mke2fs", ["-q", "-F", ...features, "-E", "root_owner=0:0", "-d", folder, disk, `${kibibytes}k`]);
  return disk;
}

/** What is the same file as far as anybody can tell without reading its 100 MB. */
function identity(path: string): string {
  const { size, mtimeMs, ino } = statSync(path);
  return `${path} ${size} ${mtimeMs} ${ino}`;
}

/** What a root disk has besides. */
export interface RootAddition {
  /** What it is made from. */
  readonly key: string;
  /** Programs whose libraries it needs. */
  readonly programs: readonly string[];
  /** Where libraries of its own lie, which the disk has already. */
  readonly libraryFolders: readonly string[];
  /** Puts it into the disk's tree. */
  addTo(tree: string): void;
}

/** The root disk: Node with its libraries, busybox as its shell, and the folders that others are mounted on. */
export async function makeRootDisk(busybox: string, addition: RootAddition | null = null): Promise<string> {
  const node = realpathSync(process.execPath);
  const libraries = new Set<string>();
  for (const program of [node, ...(addition?.programs ?? [])]) {
    for (const library of await librariesOf(program, addition?.libraryFolders)) {
      if (addition?.libraryFolders.includes(dirname(library)) !== true) libraries.add(library);
    }
  }
  const key = keyOf(...[node, busybox, ...libraries].map(identity), addition?.key ?? "", "3");
  return cached("root", `${key}.ext4`, async (work) => {
    const tree = join(work, "tree");
    addition?.addTo(tree);
    place(node, join(tree, "usr/bin/node"));
    for (const library of libraries) place(library, join(tree, library));
    place(busybox, join(tree, "bin/busybox"));
    place(busybox, join(tree, "bin/sh"));
    for (const folder of ["app", "dev", "proc", "run", "sys", "tmp"]) makeFolder(join(tree, folder));
    return makeDisk(tree, join(work, "disk"));
  });
}

/** The folder of an installed package, as Node finds it from a place. */
function packageFolder(name: string, from: string): string | null {
  for (let folder = from; ; folder = dirname(folder)) {
    const candidate = join(folder, "node_modules", name);
    if (existsSync(join(candidate, "package.json"))) return realpathSync(candidate);
    if (dirname(folder) === folder) return null;
  }
}

function needsOf(folder: string): { required: string[]; optional: string[] } {
  const text: unknown = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const names = (field: string): string[] => {
    if (typeof text !== "object" || text === null) return [];
    const value = Object.entries(text).find(([key]) => key === field)?.[1] as unknown;
    return typeof value === "object" && value !== null ? Object.keys(value) : [];
  };
  const optional = names("optionalDependencies");
  return { required: names("dependencies").filter((name) => !optional.includes(name)), optional };
}

/** The agent's package and all that it needs to run: names to folders. */
function agentPackages(): Map<string, string> {
  const packages = new Map<string, string>();
  const add = (name: string, from: string, isOptional: boolean): void => {
    const folder = packageFolder(name, from);
    if (folder === null) {
      if (isOptional) return;
      throw new GpuError("ENOENT", `the package ${name} is not installed; install it with: npm install ${name}`);
    }
    if (packages.has(name)) return;
    packages.set(name, folder);
    const { required, optional } = needsOf(folder);
    for (const need of required) add(need, folder, false);
    for (const need of optional) add(need, folder, true);
  };
  add(AGENT_PACKAGE, dirname(fileURLToPath(import.meta.url)), false);
  return packages;
}

/** What a package has that no run needs: types, maps, documentation, sources of add-ons that come built. */
function isNeeded(path: string): boolean {
  return !/(^|\/)(node_modules|vendor|doc|\.tsbuildinfo)(\/|$)|\.d\.ts$|\.map$|\.tsbuildinfo$|\.md$|\.cc$|\.hh$/.test(
    path,
  );
}

/** Our own packages run from dist; their sources and tests stay out. */
function parts(name: string): readonly string[] {
  return name.startsWith("@virtgpu/") ? ["package.json", "dist"] : ["."];
}

interface AppFile {
  readonly path: string;
  readonly source: string;
}

function filesBelow(source: string, target: string): AppFile[] {
  if (statSync(source).isFile()) return [{ path: target, source }];
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => isNeeded(relative(source, path)))
    .map((path) => ({ path: join(target, relative(source, path)), source: path }));
}

function ownAgentFiles(): { files: AppFile[]; main: string } {
  const files: AppFile[] = [];
  for (const [name, folder] of agentPackages()) {
    for (const part of parts(name)) {
      const source = resolve(folder, part);
      if (!existsSync(source)) throw new GpuError("ENOENT", `${name} is not built; build it with: npm run build`);
      files.push(...filesBelow(source, join("node_modules", name, part)));
    }
  }
  const main = join("node_modules", AGENT_PACKAGE, AGENT_MAIN);
  if (!files.some(({ path }) => path === main)) {
    throw new GpuError("ENOENT", `${AGENT_PACKAGE} has no ${AGENT_MAIN}; build it with: npm run build`);
  }
  return { files, main };
}

/** Our own modules are in the bundle; the others find their files by their places. */
function isNotBundled({ path }: AppFile): boolean {
  return !/^node_modules\/@virtgpu\/[^/]+\/dist\//.test(path);
}

async function addBundle(bundler: AgentBundler, files: readonly AppFile[], tree: string): Promise<void> {
  const starts = AGENT_STARTS.map((name) => join("node_modules", AGENT_PACKAGE, name));
  const sources = files.filter(({ path }) => starts.includes(path)).map(({ source }) => source);
  const folder = join(tree, "node_modules", AGENT_PACKAGE, AGENT_FOLDER);
  makeFolder(folder);
  for (const [name, bytes] of await bundler.bundle(sources)) writeFileSync(join(folder, name), bytes);
}

/** The agent's disk: @virtgpu/linux with what it needs, or another program. */
export async function makeAgentDisk(
  other: OtherAgent | null,
  findsBundler: () => Promise<AgentBundler | null> = findBundler,
): Promise<string> {
  const { files, main } = other === null ? ownAgentFiles() : { files: filesBelow(other.folder, "."), main: other.main };
  files.sort((one, another) => (one.path < another.path ? -1 : 1));
  const bundler = other === null ? await findsBundler() : null;
  const inputs = files.flatMap(({ path, source }) => [path, readFileSync(source)]);
  return cached("app", `${keyOf(main, bundler?.version ?? "", ...inputs)}.ext4`, async (work) => {
    const tree = join(work, "tree");
    makeFolder(tree);
    if (bundler !== null) await addBundle(bundler, files, tree);
    for (const { path, source } of bundler === null ? files : files.filter(isNotBundled)) {
      makeFolder(dirname(join(tree, path)));
      cpSync(source, join(tree, path), { dereference: true });
      chmodSync(join(tree, path), 0o644);
    }
    writeFileSync(join(tree, "entry"), join("/app", main));
    return makeDisk(tree, join(work, "disk"));
  });
}

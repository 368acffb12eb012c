/**
 * Kernel modules of a folder `/lib/modules/RELEASE`: where a module is, what it needs, and in which order to load it. What a
 * module needs stands in itself (section .modinfo, `depends=`), so that no depmod has to have run.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { runProgram } from "./programs.ts";

/** A module with its contents, unpacked. */
export interface KernelModule {
  /** With underscores, as the kernel says it. */
  readonly name: string;
  readonly bytes: Buffer;
}

/** What was asked for, in an order that can be loaded, and what is not to be had. */
export interface ModuleSet {
  readonly modules: readonly KernelModule[];
  readonly missing: readonly string[];
}

const FILE = /^(.+)\.ko(\.xz|\.zst)?$/;
const BYTES_MAX = 64 << 20;

/** `-` and `_` are one and the same in a module's name. */
function canonical(name: string): string {
  return name.replaceAll("-", "_");
}

/** Names to paths. */
function filesByName(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const match = FILE.exec(basename(entry));
    if (match?.[1] !== undefined) files.set(canonical(match[1]), join(folder, entry));
  }
  return files;
}

function builtIn(folder: string): Set<string> {
  try {
    const lines = readFileSync(join(folder, "modules.builtin"), "utf8").split("\n");
    return new Set(lines.map((line) => canonical(basename(line, ".ko"))));
  } catch {
    return new Set();
  }
}

async function unpack(path: string): Promise<Buffer> {
  const bytes = readFileSync(path);
  if (bytes.length > BYTES_MAX) throw new GpuError("EINVAL", `the module ${path} has more than ${BYTES_MAX} bytes`);
  if (path.endsWith(".xz")) return runProgram("xz", ["-dc"], { input: bytes });
  if (path.endsWith(".zst")) return runProgram("zstd", ["-dc"], { input: bytes });
  return bytes;
}

/** The modules that one needs, by its own word. */
export function moduleNeeds(bytes: Buffer): string[] {
  const start = bytes.indexOf("\0depends=");
  if (start < 0) return [];
  const end = bytes.indexOf(0, start + 1);
  const list = bytes.toString("latin1", start + "\0depends=".length, end < 0 ? bytes.length : end);
  return list
    .split(",")
    .filter((name) => name !== "")
    .map(canonical);
}

/** Reads the modules `wanted` and all that they need. What is built into the kernel is left out; what is neither is `missing`. */
export async function collectModules(folder: string, wanted: readonly string[]): Promise<ModuleSet> {
  const files = filesByName(folder);
  const inKernel = builtIn(folder);
  const loaded = new Map<string, KernelModule>();
  const missing: string[] = [];
  const visiting = new Set<string>();
  const visit = async (name: string): Promise<boolean> => {
    if (loaded.has(name) || inKernel.has(name) || visiting.has(name)) return true;
    const path = files.get(name);
    if (path === undefined) return false;
    visiting.add(name);
    const bytes = await unpack(path);
    for (const need of moduleNeeds(bytes)) {
      if (!(await visit(need)))
        throw new GpuError("ENOENT", `the kernel's module ${name} needs ${need}, which is not there`);
    }
    loaded.set(name, { name, bytes });
    return true;
  };
  for (const name of wanted.map(canonical)) if (!(await visit(name))) missing.push(name);
  return { modules: [...loaded.values()], missing };
}

/**
 * Where unpacked packages, initramfs and disks are kept: files and folders that are made once for a key of what they are made
 * from. An entry appears whole, by a rename, or not at all, so that several processes may use the cache at a time.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeFolder } from "../../make-folder.ts";

/** Entries of a kind that stay whatever their age. */
const ENTRIES_KEPT = 8;
const ENTRY_LIFE_MS = 24 * 3600 * 1000;
const BUILDING = ".building-";

/** The folder of npm's workspace that this source lies in, or null (an installed package). */
function workspaceRoot(): string | null {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    if (isWorkspace(join(folder, "package.json"))) return folder;
    const above = dirname(folder);
    if (above === folder) return null;
    folder = above;
  }
}

function isWorkspace(path: string): boolean {
  try {
    const text: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof text === "object" && text !== null && "name" in text && text.name === "virtgpu-workspace";
  } catch {
    return false;
  }
}

/** The cache: `.cache/linux` in a clone, else `$XDG_CACHE_HOME/virtgpu/linux`. */
export function cacheFolder(): string {
  const root = workspaceRoot();
  if (root !== null) return join(root, ".cache", "linux");
  const home = process.env["XDG_CACHE_HOME"];
  return join(home === undefined || home === "" ? join(homedir(), ".cache") : home, "virtgpu", "linux");
}

/** A key of what something is made from. */
export function keyOf(...inputs: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const bytes = typeof input === "string" ? Buffer.from(input) : input;
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex").slice(0, 24);
}

/**
 * The entry `kind/key`; made by `build` (which gets an empty folder on the same file system, and gives the path in it that
 * becomes the entry) where it is not there yet.
 */
export async function cached(kind: string, key: string, build: (work: string) => Promise<string>): Promise<string> {
  const shelf = join(cacheFolder(), kind);
  const entry = join(shelf, key);
  if (existsSync(entry)) {
    touch(entry);
    return entry;
  }
  makeFolder(shelf);
  const work = mkdtempSync(join(shelf, BUILDING));
  try {
    const made = await build(work);
    try {
      renameSync(made, entry);
    } catch (error) {
      // Somebody else's folder of the same key came first.
      if (!existsSync(entry)) throw error;
    }
    touch(entry);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  prune(shelf);
  return entry;
}

function touch(entry: string): void {
  try {
    const now = new Date();
    utimesSync(entry, now, now);
  } catch {
    // A cache that only root may write serves others just as well; it merely isn't pruned by use.
  }
}

/** Removes what nobody has used for a day, except the newest few. */
function prune(shelf: string): void {
  const entries = readdirSync(shelf)
    .map((name) => ({
      path: join(shelf, name),
      usedMs: statSync(join(shelf, name), { throwIfNoEntry: false })?.mtimeMs,
    }))
    .flatMap(({ path, usedMs }) => (usedMs === undefined ? [] : [{ path, usedMs }]))
    .sort((one, other) => other.usedMs - one.usedMs);
  for (const { path, usedMs } of entries.slice(ENTRIES_KEPT)) {
    if (Date.now() - usedMs > ENTRY_LIFE_MS) rmSync(path, { recursive: true, force: true });
  }
}

/**
 * The tree that is built: the user's files, hard links where the file system allows it, and the patched ones in their
 * place. The user's files are never written to: a name is unlinked before anything is put there, so what is written
 * is always a new file.
 *
 * make decides by times what it compiles anew. A file that changes here (the user edited it, a patch came or went) is
 * therefore put there as a copy of now, whatever its age; all others are not touched.
 */
import {
  constants,
  copyFileSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../../../usage-error.ts";
import type { Listing } from "./source.ts";

/** Files between two turns of the event loop. */
const FILES_A_TURN = 2000;
const MANIFEST = "manifest.json";
const OVERLAY = "overlay.json";

/** The tree of a work folder. */
export class Mirror {
  /** What is built. */
  readonly tree: string;
  readonly #folder: string;

  /** `folder` is the work folder; it is made where it is not there. */
  constructor(folder: string) {
    this.#folder = folder;
    this.tree = join(folder, "tree");
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /**
   * Makes the tree the source with `patched` in place of its files: paths from the root, to be taken from the folder
   * `from`, where a path that is not there means that the file is to go. Gives the number of files that were put there
   * or removed.
   */
  async update(source: string, listing: Listing, patched: Patched, signal?: AbortSignal): Promise<number> {
    const before = readPairs(join(this.#folder, MANIFEST));
    if (before === null) rmSync(this.tree, { recursive: true, force: true });
    const changed = await this.#updateSource(source, listing, before, signal);
    return changed + this.#updatePatched(source, listing, patched);
  }

  async #updateSource(
    source: string,
    listing: Listing,
    before: Listing | null,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const patchedBefore = before === null ? [] : this.#overlay();
    const known = new Map(before ?? []);
    // What a patch has changed is brought up to date with the patches, for it may be as they want it already.
    for (const path of patchedBefore) known.delete(path);
    const owed = new Set(patchedBefore);
    let changed = 0;
    let turn = 0;
    for (const path of known.keys()) {
      if (listing.has(path)) continue;
      rmSync(join(this.tree, path), { force: true });
      changed += 1;
    }
    for (const [path, mark] of listing) {
      turn += 1;
      if (turn % FILES_A_TURN === 0) await breathe(signal);
      if (known.get(path) === mark || owed.has(path)) continue;
      if (before === null) this.#link(join(source, path), path);
      else this.#copy(join(source, path), path);
      changed += 1;
    }
    writePairs(join(this.#folder, MANIFEST), listing);
    return changed;
  }

  /** Only what differs is written, so that the same patch on a file never has it compiled again. */
  #updatePatched(source: string, listing: Listing, patched: Patched): number {
    const wanted = new Set(patched.paths);
    const concerned = new Set([...this.#overlay(), ...wanted]);
    // Told before it is done: an interrupted update is made good by the next.
    writeFileSync(join(this.#folder, OVERLAY), JSON.stringify([...concerned]));
    let changed = 0;
    for (const path of concerned) {
      const from = wanted.has(path) ? join(patched.from, path) : listing.has(path) ? join(source, path) : null;
      if (this.#put(from, path)) changed += 1;
    }
    writeFileSync(join(this.#folder, OVERLAY), JSON.stringify([...wanted]));
    return changed;
  }

  #put(from: string | null, path: string): boolean {
    const target = join(this.tree, path);
    const wanted = from === null ? null : contents(from);
    const present = contents(target);
    if (from === null || wanted === null) {
      rmSync(target, { force: true });
      return present !== null;
    }
    if (present?.equals(wanted) === true) return false;
    this.#copy(from, path);
    return true;
  }

  #link(from: string, path: string): void {
    const target = join(this.tree, path);
    mkdirSync(dirname(target), { recursive: true });
    try {
      if (lstatSync(from).isFile()) {
        linkSync(from, target);
        return;
      }
    } catch {
      // Another file system, or a file that is not ours to link to: a copy does as well.
    }
    this.#copy(from, path);
  }

  #copy(from: string, path: string): void {
    const target = join(this.tree, path);
    mkdirSync(dirname(target), { recursive: true });
    rmSync(target, { force: true, recursive: true });
    if (lstatSync(from).isSymbolicLink()) symlinkSync(readlinkSync(from), target);
    else copyFileSync(from, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  }

  #overlay(): readonly string[] {
    const value = readJson(join(this.#folder, OVERLAY));
    return Array.isArray(value) ? value.filter((path) => typeof path === "string") : [];
  }
}

/** Files that patches put in place of the source's. */
export interface Patched {
  readonly from: string;
  readonly paths: readonly string[];
}

async function breathe(signal: AbortSignal | undefined): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}

/** A file's mode and bytes, or a symbolic link's words; null where there is neither. */
function contents(path: string): Buffer | null {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return null;
  if (stat.isSymbolicLink()) return Buffer.from(`link ${readlinkSync(path)}`);
  if (!stat.isFile()) return null;
  return Buffer.concat([Buffer.from(`file ${stat.mode & 0o111} `), readFileSync(path)]);
}

/**
 * Refuses a path behind a symbolic link, through which a write would leave the tree. `root` is looked at; the path itself
 * need not be there.
 */
export function refuseBehindLink(root: string, path: string, who: string): void {
  const names = path.split("/");
  if (path.startsWith("/") || names.includes("..") || names.includes(".") || names.includes("")) {
    throw new UsageError(`${who} names ${JSON.stringify(path)}, which is no path of the source tree`);
  }
  for (let depth = 1; depth < names.length; depth += 1) {
    const parent = names.slice(0, depth).join("/");
    const stat = lstatSync(join(root, parent), { throwIfNoEntry: false });
    if (stat === undefined) return;
    if (stat.isDirectory()) continue;
    throw new UsageError(`${who} names ${JSON.stringify(path)}, but ${JSON.stringify(parent)} is no folder there`);
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return null;
  }
}

function readPairs(path: string): Listing | null {
  const value = readJson(path);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return new Map(Object.entries(value).map(([name, mark]) => [name, String(mark)]));
}

function writePairs(path: string, pairs: Listing): void {
  writeFileSync(`${path}.new`, JSON.stringify(Object.fromEntries(pairs)));
  renameSync(`${path}.new`, path);
}

/**
 * The disk of a simulated machine: files in memory that can be full, fail, forget what was synced, and lose power. What was
 * written and not synced is then there, lost or torn, whatever became of the rest; a name that was changed since its
 * folder's last sync stands for any of the files that it stood for meanwhile.
 */
import { basename } from "node:path";
import type { SeededRandom } from "@virtgpu/core/sim";
import type { ImageFile, ImageFiles } from "../image/index.ts";

interface Write {
  readonly position: number;
  readonly bytes: Uint8Array;
}

interface FileNode {
  readonly identity: string;
  /** What survives a loss of power for certain. */
  durable: Uint8Array;
  /** What was written since. */
  pending: Write[];
  /** What whoever reads it sees: the first `size` bytes, with room for more behind them. */
  current: Uint8Array;
  size: number;
}

/** See the file's head. */
export class SimDisk {
  /** Bytes that a file may have; null: as many as it likes. */
  fullAt: number | null = null;
  /** A call that fails: its name, and the how manieth from now. */
  failing: { readonly call: string; in: number } | null = null;
  /** Syncs are not carried out, and nobody is told. */
  isForgetful: boolean = false;
  /** It went wrong in a way that no writer of files can make good. */
  hasLied: boolean = false;
  /** Calls that failed so far. */
  failures: number = 0;
  readonly #random: SeededRandom;
  readonly #names: Map<string, FileNode> = new Map();
  /** For each name, what it may stand for after a loss of power. */
  readonly #histories: Map<string, Set<FileNode | null>> = new Map();
  #made = 0;
  #mount: object = {};

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  /** Forgets all faults. */
  heal(): void {
    this.fullAt = null;
    this.failing = null;
    this.isForgetful = false;
  }

  /** The file system as the running kernel has it; of no more use once the power was lost. */
  mount(): ImageFiles {
    const mount = {};
    this.#mount = mount;
    const call = async <T>(name: string, work: () => T): Promise<T> => {
      // The kernel that called is no more: nobody hears of the call.
      if (this.#mount !== mount) return new Promise(() => {});
      this.#fail(name);
      return work();
    };
    return {
      create: (path) =>
        call("create", () => {
          const name = basename(path);
          if (this.#names.has(name)) throw systemError("EEXIST");
          this.#made += 1;
          const empty = new Uint8Array(0);
          const identity = `file ${this.#made}`;
          const node: FileNode = { identity, durable: empty, pending: [], current: empty, size: 0 };
          this.#give(name, node);
          return this.#open(node, call);
        }),
      open: (path) =>
        call("open", () => {
          const node = this.#names.get(basename(path));
          if (node === undefined) throw systemError("ENOENT");
          return this.#open(node, call);
        }),
      kind: (path) => call("kind", () => (this.#names.has(basename(path)) ? "file" : null)),
      rename: (from, to) =>
        call("rename", () => {
          const node = this.#names.get(basename(from));
          if (node === undefined) throw systemError("ENOENT");
          this.#give(basename(to), node);
          this.#give(basename(from), null);
        }),
      remove: (path) =>
        call("remove", () => {
          if (this.#names.has(basename(path))) this.#give(basename(path), null);
        }),
      list: () => call("list", () => [...this.#names.keys()]),
      syncFolder: () =>
        call("syncFolder", () => {
          if (this.isForgetful) this.hasLied = true;
          else this.#histories.clear();
        }),
      claim: () => call("claim", () => async () => {}),
    };
  }

  /** The power goes: what was not synced may be lost. Mounts made before are dead. */
  cutPower(): void {
    this.#mount = {};
    for (const [name, history] of this.#histories) {
      const left = this.#random.pick([...history]);
      if (left === null) this.#names.delete(name);
      else this.#names.set(name, left);
    }
    this.#histories.clear();
    for (const node of new Set(this.#names.values())) this.#settle(node);
  }

  #settle(node: FileNode): void {
    const isWhole = this.#random.chance(0.3);
    for (const { position, bytes } of node.pending) {
      const kept = isWhole ? bytes.length : this.#kept(bytes.length);
      if (kept > 0) node.durable = applied(node.durable, { position, bytes: bytes.subarray(0, kept) });
    }
    node.pending = [];
    node.current = node.durable.slice();
    node.size = node.durable.length;
  }

  #kept(byteLength: number): number {
    if (this.#random.chance(0.3)) return this.#random.below(byteLength + 1);
    return this.#random.chance(0.5) ? byteLength : 0;
  }

  #open(node: FileNode, call: <T>(name: string, work: () => T) => Promise<T>): ImageFile {
    return {
      identity: node.identity,
      size: () => call("size", () => node.size),
      read: (target, position) =>
        call("read", () => {
          const bytes = node.current.subarray(position, Math.min(node.size, position + target.length));
          target.set(bytes);
          return bytes.length;
        }),
      write: (source, position) =>
        call("write", () => {
          if (this.fullAt !== null && position + source.length > this.fullAt) {
            this.failures += 1;
            throw systemError("ENOSPC");
          }
          const write = { position, bytes: source.slice() };
          node.pending.push(write);
          writeCurrent(node, write);
        }),
      sync: () =>
        call("sync", () => {
          if (this.isForgetful) {
            this.hasLied = true;
            return;
          }
          node.durable = node.current.slice(0, node.size);
          node.pending = [];
        }),
      close: () => call("close", () => undefined),
    };
  }

  #give(name: string, node: FileNode | null): void {
    const history = this.#histories.get(name) ?? new Set([this.#names.get(name) ?? null]);
    this.#histories.set(name, history.add(node));
    if (node === null) this.#names.delete(name);
    else this.#names.set(name, node);
  }

  #fail(call: string): void {
    const { failing } = this;
    if (failing === null || failing.call !== call) return;
    failing.in -= 1;
    if (failing.in > 0) return;
    this.failing = null;
    this.failures += 1;
    throw systemError("EIO");
  }
}

function writeCurrent(node: FileNode, { position, bytes }: Write): void {
  const end = position + bytes.length;
  if (end > node.current.length) {
    const grown = new Uint8Array(Math.max(end, 2 * node.current.length));
    grown.set(node.current.subarray(0, node.size));
    node.current = grown;
  }
  node.current.set(bytes, position);
  node.size = Math.max(node.size, end);
}

/** A copy, so that what was durable stays as it was. */
function applied(content: Uint8Array, { position, bytes }: Write): Uint8Array {
  const grown = new Uint8Array(Math.max(content.length, position + bytes.length));
  grown.set(content);
  grown.set(bytes, position);
  return grown;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

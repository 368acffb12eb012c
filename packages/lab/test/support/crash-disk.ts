/**
 * A folder in memory that can lose power: it records what is done to it, and tells what may be left of it after any
 * prefix of that. Writes since a file's last sync may each be there, be lost or be torn, whatever became of the others;
 * of each name, any of the files that it stood for since the folder's last sync may be what is left.
 */
import { basename } from "node:path";
import type { ImageFile, ImageFiles } from "../../src/image/index.ts";

/** What was done. */
type Step =
  | { readonly step: "create"; readonly name: string; readonly file: number }
  | { readonly step: "write"; readonly file: number; readonly position: number; readonly bytes: Uint8Array }
  | { readonly step: "sync"; readonly file: number }
  | { readonly step: "rename"; readonly from: string; readonly to: string }
  | { readonly step: "remove"; readonly name: string }
  | { readonly step: "sync-folder" };

/** Names and contents. */
export type Folder = ReadonlyMap<string, Uint8Array>;

interface Write {
  readonly position: number;
  readonly bytes: Uint8Array;
}

function systemError(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function apply(content: Uint8Array, { position, bytes }: Write): Uint8Array {
  const grown = new Uint8Array(Math.max(content.length, position + bytes.length));
  grown.set(content);
  grown.set(bytes, position);
  return grown;
}

/** See the file's head. */
export class CrashDisk implements ImageFiles {
  readonly steps: Step[] = [];
  /** Called before each call to the file system; what it throws is what the call comes to. */
  fault: (call: string) => void = () => {};
  readonly #start: Folder;
  readonly #names = new Map<string, number>();
  readonly #contents = new Map<number, Uint8Array>();
  readonly #claims = new Set<string>();

  constructor(start: Folder = new Map()) {
    this.#start = start;
    for (const [name, content] of start) this.#names.set(name, this.#add(content));
  }

  get folder(): Folder {
    return new Map([...this.#names].map(([name, file]) => [name, this.#content(file)]));
  }

  #add(content: Uint8Array): number {
    this.#contents.set(this.#contents.size, content);
    return this.#contents.size - 1;
  }

  #content(file: number): Uint8Array {
    return this.#contents.get(file) ?? new Uint8Array(0);
  }

  async create(path: string): Promise<ImageFile> {
    this.fault("create");
    const name = basename(path);
    if (this.#names.has(name)) throw systemError("EEXIST");
    const file = this.#add(new Uint8Array(0));
    this.#names.set(name, file);
    this.steps.push({ step: "create", name, file });
    return this.#open(file);
  }

  async open(path: string): Promise<ImageFile> {
    this.fault("open");
    const file = this.#names.get(basename(path));
    if (file === undefined) throw systemError("ENOENT");
    return this.#open(file);
  }

  #open(file: number): ImageFile {
    return {
      identity: String(file),
      size: async () => this.#content(file).length,
      read: async (target, position) => {
        this.fault("read");
        const bytes = this.#content(file).subarray(position, position + target.length);
        target.set(bytes);
        return bytes.length;
      },
      write: async (source, position) => {
        this.fault("write");
        const bytes = source.slice();
        this.#contents.set(file, apply(this.#content(file), { position, bytes }));
        this.steps.push({ step: "write", file, position, bytes });
      },
      sync: async () => {
        this.fault("sync");
        this.steps.push({ step: "sync", file });
      },
      close: async () => this.fault("close"),
    };
  }

  async kind(path: string): Promise<"file" | null> {
    this.fault("kind");
    return this.#names.has(basename(path)) ? "file" : null;
  }

  async rename(from: string, to: string): Promise<void> {
    this.fault("rename");
    const file = this.#names.get(basename(from));
    if (file === undefined) throw systemError("ENOENT");
    this.#names.delete(basename(from));
    this.#names.set(basename(to), file);
    this.steps.push({ step: "rename", from: basename(from), to: basename(to) });
  }

  async remove(path: string): Promise<void> {
    this.fault("remove");
    if (this.#names.delete(basename(path))) this.steps.push({ step: "remove", name: basename(path) });
  }

  async list(): Promise<readonly string[]> {
    this.fault("list");
    return [...this.#names.keys()];
  }

  async syncFolder(): Promise<void> {
    this.fault("sync-folder");
    this.steps.push({ step: "sync-folder" });
  }

  async claim(key: string): Promise<(() => Promise<void>) | null> {
    if (this.#claims.has(key)) return null;
    this.#claims.add(key);
    return async () => void this.#claims.delete(key);
  }

  /** All that may be left when power is lost after the first `count` steps; with many unsynced writes, the telling ones of it. */
  *afterCrash(count: number): Generator<Folder> {
    const state = this.#replay(this.steps.slice(0, count));
    const names = [...state.names];
    for (const contents of outcomes(state.files)) {
      for (const choice of product(names.map(([, history]) => [...history]))) {
        const left = names.flatMap(([name], index): [string, Uint8Array][] => {
          const file = choice[index] ?? null;
          return file === null ? [] : [[name, contents.get(file) ?? new Uint8Array(0)]];
        });
        yield new Map(left);
      }
    }
  }

  #replay(steps: readonly Step[]): {
    readonly files: ReadonlyMap<number, { durable: Uint8Array; pending: Write[] }>;
    readonly names: ReadonlyMap<string, ReadonlySet<number | null>>;
  } {
    const files = new Map<number, { durable: Uint8Array; pending: Write[] }>();
    const names = new Map<string, Set<number | null>>();
    const now = new Map<string, number | null>();
    for (const [index, [name, content]] of [...this.#start].entries()) {
      files.set(index, { durable: content, pending: [] });
      now.set(name, index);
      names.set(name, new Set([index]));
    }
    const give = (name: string, file: number | null): void => {
      const history = names.get(name) ?? new Set([null]);
      names.set(name, history.add(file));
      now.set(name, file);
    };
    for (const step of steps) {
      switch (step.step) {
        case "create":
          files.set(step.file, { durable: new Uint8Array(0), pending: [] });
          give(step.name, step.file);
          break;
        case "write":
          files.get(step.file)?.pending.push(step);
          break;
        case "sync": {
          const { durable, pending } = files.get(step.file) ?? { durable: new Uint8Array(0), pending: [] };
          files.set(step.file, { durable: pending.reduce(apply, durable), pending: [] });
          break;
        }
        case "rename":
          give(step.to, now.get(step.from) ?? null);
          give(step.from, null);
          break;
        case "remove":
          give(step.name, null);
          break;
        case "sync-folder":
          names.clear();
          for (const [name, file] of now) names.set(name, new Set([file]));
      }
    }
    return { files, names };
  }
}

/** Up to so many unsynced writes, all subsets of them are tried. */
const ALL_SUBSETS_OF = 6;

/** What may have become of the files' contents. */
function* outcomes(
  files: ReadonlyMap<number, { readonly durable: Uint8Array; readonly pending: readonly Write[] }>,
): Generator<ReadonlyMap<number, Uint8Array>> {
  const writes = [...files].flatMap(([file, { pending }]) => pending.map((write) => ({ file, write })));
  for (const fates of fatesOf(writes.map(({ write }) => write.bytes.length))) {
    const contents = new Map([...files].map(([file, { durable }]) => [file, durable]));
    for (const [index, { file, write }] of writes.entries()) {
      const kept = fates[index] ?? 0;
      if (kept === 0) continue;
      const part = { position: write.position, bytes: write.bytes.subarray(0, kept) };
      contents.set(file, apply(contents.get(file) ?? new Uint8Array(0), part));
    }
    yield contents;
  }
}

/** For each write, how many of its bytes are there. */
function* fatesOf(lengths: readonly number[]): Generator<readonly number[]> {
  if (lengths.length <= ALL_SUBSETS_OF) yield* product(lengths.map((length) => [0, length]));
  else {
    yield lengths;
    yield lengths.map(() => 0);
    for (let end = 1; end < lengths.length; end += 1) {
      yield lengths.map((length, index) => (index < end ? length : 0));
      yield lengths.map((length, index) => (index < end ? 0 : length));
      yield lengths.map((length, index) => (index % (end + 1) === 0 ? 0 : length));
    }
    for (const lost of lengths.keys()) yield lengths.map((length, index) => (index === lost ? 0 : length));
  }
  for (const [torn, whole] of lengths.entries()) {
    for (const cut of new Set([1, 3, 8, 16, 24, whole >> 1, whole - 1])) {
      if (cut > 0 && cut < whole) yield lengths.map((length, index) => (index === torn ? cut : length));
    }
  }
}

function* product<T>(choices: readonly (readonly T[])[]): Generator<readonly T[]> {
  const [first, ...rest] = choices;
  if (first === undefined) {
    yield [];
    return;
  }
  for (const one of first) for (const others of product(rest)) yield [one, ...others];
}

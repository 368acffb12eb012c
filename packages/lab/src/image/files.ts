/**
 * What images need of a file system: few calls, so that a test can stand in for it and lose power after each.
 */
import { constants } from "node:fs";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { basename } from "node:path";

/** An open file. */
export interface ImageFile {
  /** Names the file itself, whatever its name is now. */
  readonly identity: string;
  /** Bytes it has now. */
  size(): Promise<number>;
  /** Reads from byte `position`; resolves to how many bytes it got, fewer than asked for only at the file's end. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Writes all of `source` at byte `position`. */
  write(source: Uint8Array, position: number): Promise<void>;
  /** Resolves when all that was written survives a loss of power. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** See the file's head. Failures are the system's own errors, with its `code`. */
export interface ImageFiles {
  /** A new file, that only its owner may read: it holds what was on the screen. Fails where the name is taken. */
  create(path: string): Promise<ImageFile>;
  /** An existing file, to be read, or to be written too. */
  open(path: string, access: "read" | "update"): Promise<ImageFile>;
  /** What has this name; null: nothing. */
  kind(path: string): Promise<"file" | "folder" | "other" | null>;
  /** Gives a file another name, in one step; what had that name before is gone. */
  rename(from: string, to: string): Promise<void>;
  /** Takes a name away; does nothing where it is not taken. */
  remove(path: string): Promise<void>;
  /** Names in a folder. */
  list(folder: string): Promise<readonly string[]>;
  /** Resolves when all changes of names in a folder survive a loss of power. */
  syncFolder(folder: string): Promise<void>;
  /** Has one process at a time hold `key`, until it releases it or ends; null where another one holds it. */
  claim(key: string): Promise<(() => Promise<void>) | null>;
}

const OWNER_ONLY = 0o600;

class NodeImageFile implements ImageFile {
  readonly identity: string;
  readonly #handle: FileHandle;

  constructor(handle: FileHandle, identity: string) {
    this.#handle = handle;
    this.identity = identity;
  }

  static async of(handle: FileHandle): Promise<NodeImageFile> {
    try {
      const { dev, ino } = await handle.stat();
      return new NodeImageFile(handle, `${dev}:${ino}`);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#handle.read(target, done, target.length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async write(source: Uint8Array, position: number): Promise<void> {
    let done = 0;
    while (done < source.length) {
      const { bytesWritten } = await this.#handle.write(source, done, source.length - done, position + done);
      done += bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await this.#handle.datasync();
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** The real one. */
export const nodeImageFiles: ImageFiles = {
  async create(path) {
    return NodeImageFile.of(await open(path, "wx+", OWNER_ONLY));
  },

  async open(path, access) {
    // Without O_NONBLOCK a FIFO of this name would hold us for ever.
    const flags = access === "read" ? constants.O_RDONLY : constants.O_RDWR;
    return NodeImageFile.of(await open(path, flags | constants.O_NONBLOCK));
  },

  async kind(path) {
    try {
      const found = await stat(path);
      if (found.isFile()) return "file";
      return found.isDirectory() ? "folder" : "other";
    } catch (error) {
      if (codeOf(error) === "ENOENT") return null;
      throw error;
    }
  },

  rename,

  async remove(path) {
    await rm(path, { force: true });
  },

  async list(folder) {
    return (await readdir(folder)).map((name) => basename(name));
  },

  async syncFolder(folder) {
    const handle = await open(folder, constants.O_RDONLY);
    try {
      await handle.sync();
    } catch (error) {
      // Some file systems have nothing to write for a folder, and say so.
      if (codeOf(error) !== "EINVAL" && codeOf(error) !== "ENOTSUP") throw error;
    } finally {
      await handle.close();
    }
  },

  claim,
};

/** Keys that this process holds, where the system offers nothing better. */
const held = new Set<string>();

/** A name in Linux's abstract socket space: the kernel takes it back when its holder ends, so none is ever left over. */
async function claim(key: string): Promise<(() => Promise<void>) | null> {
  if (process.platform !== "linux") return claimHere(key);
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once("error", (error) => {
      if (codeOf(error) === "EADDRINUSE") resolve(null);
      else reject(error);
    });
    server.listen({ path: `\0virtgpu-image-${key}` }, () => {
      server.unref();
      resolve(() => new Promise<void>((released) => server.close(() => released())));
    });
  });
}

function claimHere(key: string): (() => Promise<void>) | null {
  if (held.has(key)) return null;
  held.add(key);
  return async () => void held.delete(key);
}

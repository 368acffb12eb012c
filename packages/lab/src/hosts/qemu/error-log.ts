/**
 * QEMU's error stream as a file without a name: nothing blocks when nobody reads, and whoever has seen a reply finds
 * all that QEMU said before it.
 */
import { closeSync, fstatSync, openSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Most bytes that are looked at, from the end of the stream. */
const BYTES_KEPT = 1 << 20;

/** One process's error stream. */
export class ErrorLog {
  #fd: number;
  #final: readonly string[] = [];

  /** `folder` is where the file has a name for a moment. */
  constructor(folder: string) {
    const path = join(folder, "errors");
    this.#fd = openSync(path, "wx+", 0o600);
    rmSync(path);
  }

  /** The descriptor for the process to inherit. */
  get fd(): number {
    return this.#fd;
  }

  /** All lines so far, oldest first (of the last MiB). */
  get lines(): readonly string[] {
    return this.#fd < 0 ? this.#final : this.#read();
  }

  /** Keeps what was said and gives the file back. */
  close(): void {
    if (this.#fd < 0) return;
    this.#final = this.#read();
    closeSync(this.#fd);
    this.#fd = -1;
  }

  #read(): readonly string[] {
    const { size } = fstatSync(this.#fd);
    const start = Math.max(0, size - BYTES_KEPT);
    const bytes = Buffer.alloc(size - start);
    const count = readSync(this.#fd, bytes, 0, bytes.length, start);
    return bytes
      .toString("utf8", 0, count)
      .split("\n")
      .filter((line) => line !== "");
  }
}

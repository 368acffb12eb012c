/**
 * The swap disk of a machine: a sparse file without a name, so that nothing is left of it however we end. Its header (Linux,
 * include/linux/swap.h, union swap_header) is written here, because mkswap in the guest waits for the random pool.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";

const PAGE = 4096;
const SIGNATURE = "SWAPSPACE2";

/** The first page of an empty swap space of so many pages. */
export function swapHeader(pages: number): Buffer {
  const page = Buffer.alloc(PAGE);
  page.writeUInt32LE(1, 1024);
  page.writeUInt32LE(pages - 1, 1028);
  page.write(SIGNATURE, PAGE - SIGNATURE.length, "latin1");
  return page;
}

/** An open swap disk. */
export class SwapDisk {
  readonly fd: number;
  /** The same file for reading only: QEMU takes from a set the descriptor whose mode it wants. */
  readonly readFd: number;
  #open = true;

  /** Throws GpuError ENOSPC, EACCES. */
  constructor(mebibytes: number) {
    const folder = mkdtempSync(join(tmpdir(), "virtgpu-swap-"));
    try {
      const path = join(folder, "swap");
      this.fd = openSync(path, "wx+", 0o600);
      this.readFd = openSync(path, "r");
    } catch (error) {
      throw new GpuError("EACCES", `no swap disk can be made in ${tmpdir()}`, { cause: error });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    const bytes = mebibytes * 2 ** 20;
    ftruncateSync(this.fd, bytes);
    writeSync(this.fd, swapHeader(bytes / PAGE), 0, PAGE, 0);
  }

  /** Gives its space back, once no QEMU has it open either. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.fd);
    closeSync(this.readFd);
  }
}

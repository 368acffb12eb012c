/**
 * Guest RAM as a file without a name, in memory: shared with QEMU by inheritance of its descriptor, and kept by us
 * while one QEMU ends and the next one starts on it. When the last holder is gone the system takes it back.
 */
import { closeSync, ftruncateSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { FileGuestMemory, type FileRegion, type PositionedFile } from "@virtgpu/core/memory";
import { createPrivateFolder } from "./private-folder.ts";

const MIB = 1 << 20;
const PAGE_BYTES = 4096;
const GIB = 1 << 30;
/** Video memory and firmware of a PC hide RAM here. */
const HOLE_START = 0xa0000;
const HOLE_END = 0x100000;
/** From this size on QEMU's q35 moves what exceeds 2 GiB to above 4 GiB. */
const SPLIT_FROM = 0xb0000000;

/** Where a PC's guest-physical RAM lies in its RAM file: everything but the hole below 1 MiB, split at 2 GiB. */
export function ramRegions(byteLength: number): readonly FileRegion[] {
  const low = byteLength >= SPLIT_FROM ? 2 * GIB : byteLength;
  const regions = [
    { address: 0, byteLength: HOLE_START, fileOffset: 0 },
    { address: HOLE_END, byteLength: low - HOLE_END, fileOffset: HOLE_END },
  ];
  if (byteLength > low) regions.push({ address: 4 * GIB, byteLength: byteLength - low, fileOffset: low });
  return regions;
}

/** An unlinked file of guest RAM. */
export class RamFile implements PositionedFile {
  readonly byteLength: number;
  /** The same bytes by guest-physical address. */
  readonly memory: FileGuestMemory;
  #fd: number;

  private constructor(fd: number, byteLength: number) {
    this.#fd = fd;
    this.byteLength = byteLength;
    this.memory = new FileGuestMemory(this, ramRegions(byteLength));
  }

  /** Zeroed RAM of `byteLength` bytes: a multiple of 1 MiB, at least 2 MiB. Pages cost memory only once written. */
  static create(byteLength: number): RamFile {
    if (!Number.isSafeInteger(byteLength) || byteLength % MIB !== 0 || byteLength < 2 * MIB) {
      throw new GpuError("EINVAL", `RAM of ${byteLength} bytes is not whole MiB, at least 2`);
    }
    const folder = createPrivateFolder();
    try {
      const fd = openSync(join(folder, "ram"), "wx+", 0o600);
      ftruncateSync(fd, byteLength);
      return new RamFile(fd, byteLength);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** The open descriptor, for a child process to inherit. Throws GpuError ENODEV after {@link close}. */
  get fd(): number {
    if (this.#fd < 0) throw new GpuError("ENODEV", "this guest RAM was given back");
    return this.#fd;
  }

  /** Fills `target` from byte `position`. */
  readAt(position: number, target: Uint8Array): void {
    let done = 0;
    while (done < target.length) {
      const count = readSync(this.fd, target, done, target.length - done, position + done);
      if (count === 0) throw new GpuError("EINVAL", `guest RAM ends before byte ${position + target.length}`);
      done += count;
    }
  }

  /** Writes `source` at byte `position`; never makes the file longer. */
  writeAt(position: number, source: Uint8Array): void {
    if (position + source.length > this.byteLength) {
      throw new GpuError("EINVAL", `guest RAM ends before byte ${position + source.length}`);
    }
    let done = 0;
    while (done < source.length) done += writeSync(this.fd, source, done, source.length - done, position + done);
  }

  /**
   * All pages that are not zero, in order, each in its own array: what an image of this memory must hold. Holes of the
   * file are read, for Node can't ask where they are.
   */
  *nonZeroPages(): Generator<{ readonly position: number; readonly bytes: Uint8Array }> {
    const chunk = Buffer.alloc(MIB);
    const zeros = Buffer.alloc(PAGE_BYTES);
    for (let base = 0; base < this.byteLength; base += MIB) {
      this.readAt(base, chunk);
      for (let offset = 0; offset < MIB; offset += PAGE_BYTES) {
        const page = chunk.subarray(offset, offset + PAGE_BYTES);
        if (!page.equals(zeros)) yield { position: base + offset, bytes: new Uint8Array(page) };
      }
    }
  }

  /** Gives the memory back, as far as this process is concerned. */
  close(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/**
 * Guest memory that lies behind a file: no views, every access a positioned read or write.
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "./guest-memory.ts";
import { RegionTable } from "./region-table.ts";
import { FileRingMemory, type PositionedFile } from "./ring-memory.ts";

/** Where a range of guest addresses lies in the file. */
export interface FileRegion extends MemoryRegion {
  /** Byte of the file that holds `address`. */
  readonly fileOffset: number;
}

/** See the file's head. */
export class FileGuestMemory implements GuestMemory {
  readonly #file: PositionedFile;
  readonly #table: RegionTable<FileRegion>;

  /** Throws GpuError EINVAL when regions overlap, are no address ranges, or lie at no place in a file. */
  constructor(file: PositionedFile, regions: readonly FileRegion[]) {
    this.#file = file;
    this.#table = new RegionTable(regions);
    for (const { address, byteLength, fileOffset } of regions) {
      if (!Number.isSafeInteger(fileOffset) || fileOffset < 0 || !Number.isSafeInteger(fileOffset + byteLength)) {
        throw new GpuError("EINVAL", `memory region at 0x${address.toString(16)} lies at no place in a file`);
      }
    }
  }

  /** The ranges of guest-physical addresses that there are, as given. */
  get regions(): readonly MemoryRegion[] {
    return this.#table.regions;
  }

  contains(address: number, byteLength: number): boolean {
    return this.#table.find(address, byteLength) !== undefined;
  }

  read(address: number, target: Uint8Array): void {
    const position = this.#position(address, target.byteLength);
    if (target.byteLength > 0) this.#file.readAt(position, target);
  }

  write(address: number, source: Uint8Array): void {
    const position = this.#position(address, source.byteLength);
    if (source.byteLength > 0) this.#file.writeAt(position, source);
  }

  /** Null within memory, for nothing is mapped; throws outside it. */
  view(address: number, byteLength: number): null {
    this.#position(address, byteLength);
    return null;
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    assert(address % 4 === 0, `a ring's memory starts on 4 bytes, not at 0x${address.toString(16)}`);
    return new FileRingMemory(this.#file, this.#position(address, byteLength), byteLength);
  }

  #position(address: number, byteLength: number): number {
    const region = this.#table.find(address, byteLength);
    if (region === undefined) throw new MemoryRangeError(address, byteLength);
    return region.fileOffset + address - region.address;
  }
}

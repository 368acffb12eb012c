/**
 * Guest memory that is mapped into this process: array buffers at guest-physical addresses.
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "./guest-memory.ts";
import { RegionTable } from "./region-table.ts";
import { MappedRingMemory } from "./ring-memory.ts";

/** Below this many bytes a loop beats `TypedArray.set`, which needs a view made first. */
const LOOP_BYTES_MAX = 64;

/** A region of {@link GuestRam}: over bytes that exist, or zeroed new ones. */
export type RamRegionOptions =
  | {
      /** Guest-physical address of the first byte. */
      readonly address: number;
      /** The bytes; a Uint8Array must start on a multiple of 4 in its buffer. */
      readonly buffer: ArrayBufferLike | Uint8Array;
    }
  | { readonly address: number; readonly byteLength: number };

interface RamRegion extends MemoryRegion {
  readonly bytes: Uint8Array;
}

/** See the file's head. */
export class GuestRam implements GuestMemory {
  readonly #table: RegionTable<RamRegion>;

  /** Throws GpuError EINVAL when regions overlap or are no address ranges. */
  constructor(regions: readonly RamRegionOptions[]) {
    this.#table = new RegionTable(regions.map(toRegion));
  }

  /** One zeroed region of `byteLength` bytes at address 0. */
  static of(byteLength: number): GuestRam {
    return new GuestRam([{ address: 0, byteLength }]);
  }

  /** The ranges of guest-physical addresses that there are, as given. */
  get regions(): readonly MemoryRegion[] {
    return this.#table.regions;
  }

  contains(address: number, byteLength: number): boolean {
    return this.#table.find(address, byteLength) !== undefined;
  }

  read(address: number, target: Uint8Array): void {
    const byteLength = target.byteLength;
    const { bytes, address: start } = this.#find(address, byteLength);
    const from = address - start;
    if (byteLength > LOOP_BYTES_MAX) target.set(bytes.subarray(from, from + byteLength));
    else for (let index = 0; index < byteLength; index += 1) target[index] = bytes[from + index] ?? 0;
  }

  write(address: number, source: Uint8Array): void {
    const byteLength = source.byteLength;
    const { bytes, address: start } = this.#find(address, byteLength);
    const to = address - start;
    if (byteLength > LOOP_BYTES_MAX) bytes.set(source, to);
    else for (let index = 0; index < byteLength; index += 1) bytes[to + index] = source[index] ?? 0;
  }

  view(address: number, byteLength: number): Uint8Array {
    const { bytes, address: start } = this.#find(address, byteLength);
    return bytes.subarray(address - start, address - start + byteLength);
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    const { bytes, address: start } = this.#find(address, byteLength);
    return new MappedRingMemory(bytes.buffer, bytes.byteOffset + address - start, byteLength);
  }

  #find(address: number, byteLength: number): RamRegion {
    const region = this.#table.find(address, byteLength);
    if (region === undefined) throw new MemoryRangeError(address, byteLength);
    return region;
  }
}

function toRegion(options: RamRegionOptions): RamRegion {
  const { address } = options;
  const bytes = "buffer" in options ? toBytes(options.buffer) : zeroed(options.byteLength);
  assert(bytes.byteOffset % 4 === 0, "guest memory starts on a multiple of 4 in its buffer");
  return { address, byteLength: bytes.byteLength, bytes };
}

function toBytes(buffer: ArrayBufferLike | Uint8Array): Uint8Array {
  return buffer instanceof Uint8Array ? buffer : new Uint8Array(buffer);
}

function zeroed(byteLength: number): Uint8Array {
  if (!Number.isSafeInteger(byteLength) || byteLength < 0) {
    throw new GpuError("EINVAL", `${byteLength} is not a size in bytes`);
  }
  return new Uint8Array(byteLength);
}

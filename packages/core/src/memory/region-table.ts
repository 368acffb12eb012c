/**
 * Finds the region that an address range lies in: the one check that all guest memory shares.
 */
import { GpuError } from "../base/errors.ts";
import type { MemoryRegion } from "./guest-memory.ts";

/** The end of the address space that JavaScript numbers name exactly. */
const ADDRESS_END = Number.MAX_SAFE_INTEGER;

/** Regions sorted by address, checked not to overlap. */
export class RegionTable<Region extends MemoryRegion> {
  readonly regions: readonly Region[];
  #recent: Region | undefined;

  /** Throws GpuError EINVAL if a region is not a range of exact addresses, or two overlap. */
  constructor(regions: readonly Region[]) {
    const sorted = regions.toSorted((a, b) => a.address - b.address);
    let end = 0;
    for (const { address, byteLength } of sorted) {
      const exact = Number.isSafeInteger(address) && Number.isSafeInteger(byteLength);
      if (!exact || address < 0 || byteLength <= 0 || address + byteLength > ADDRESS_END) {
        throw new GpuError("EINVAL", `memory region at ${address} of ${byteLength} bytes is not a range of addresses`);
      }
      if (address < end) throw new GpuError("EINVAL", `memory region at 0x${address.toString(16)} overlaps another`);
      end = address + byteLength;
    }
    this.regions = sorted;
    this.#recent = sorted[0];
  }

  /**
   * The region that holds all of `[address, address + byteLength)`, or undefined. Any numbers may be asked for: NaN,
   * fractions, negative and huge ones are in no region. (A sum beyond 2^53 rounds, but never to below a region's end.)
   */
  find(address: number, byteLength: number): Region | undefined {
    const recent = this.#recent;
    if (recent !== undefined && holds(recent, address, byteLength)) return recent;
    return this.#search(address, byteLength);
  }

  #search(address: number, byteLength: number): Region | undefined {
    for (const region of this.regions) {
      if (holds(region, address, byteLength)) {
        this.#recent = region;
        return region;
      }
    }
    return undefined;
  }
}

function holds(region: MemoryRegion, address: number, byteLength: number): boolean {
  return (
    address >= region.address &&
    byteLength >= 0 &&
    address + byteLength <= region.address + region.byteLength &&
    Math.floor(address) === address &&
    Math.floor(byteLength) === byteLength
  );
}

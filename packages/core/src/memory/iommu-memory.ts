/**
 * Guest memory as a device behind an IOMMU sees it. A bus address that is not mapped is not memory, which proves that a
 * driver maps all it names and unmaps nothing too early (VIRTIO_F_ACCESS_PLATFORM).
 */
import type { IommuDmaMap } from "./dma-map.ts";
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "./guest-memory.ts";
import { PAGE_BYTES } from "./pages.ts";

/** See the file's head. */
export class IommuGuestMemory implements GuestMemory {
  readonly #physical: GuestMemory;
  readonly #map: IommuDmaMap;

  constructor(physical: GuestMemory, map: IommuDmaMap) {
    this.#physical = physical;
    this.#map = map;
  }

  /** None is named: what is memory changes with every mapping. Ask {@link contains}. */
  get regions(): readonly MemoryRegion[] {
    return [];
  }

  contains(address: number, byteLength: number): boolean {
    if (!Number.isSafeInteger(address) || !Number.isSafeInteger(byteLength) || byteLength < 0) return false;
    const last = address + Math.max(byteLength, 1) - 1;
    for (let at = address; at <= last; at += PAGE_BYTES - (at % PAGE_BYTES)) {
      if (this.#map.translate(at) < 0) return false;
    }
    return true;
  }

  read(address: number, target: Uint8Array): void {
    this.#check(address, target.byteLength);
    this.#forEachPiece(address, target.byteLength, (physical, at, byteLength) => {
      this.#physical.read(physical, target.subarray(at, at + byteLength));
    });
  }

  write(address: number, source: Uint8Array): void {
    this.#check(address, source.byteLength);
    this.#forEachPiece(address, source.byteLength, (physical, at, byteLength) => {
      this.#physical.write(physical, source.subarray(at, at + byteLength));
    });
  }

  /** Null where the range's frames do not follow each other. */
  view(address: number, byteLength: number): Uint8Array | null {
    this.#check(address, byteLength);
    const physical = this.#run(address, byteLength);
    return physical < 0 ? null : this.#physical.view(physical, byteLength);
  }

  /** Only over frames that follow each other; throws MemoryRangeError otherwise. */
  ringMemory(address: number, byteLength: number): RingMemory {
    this.#check(address, byteLength);
    const physical = this.#run(address, byteLength);
    if (physical < 0) throw new MemoryRangeError(address, byteLength);
    return this.#physical.ringMemory(physical, byteLength);
  }

  #check(address: number, byteLength: number): void {
    if (!this.contains(address, byteLength)) throw new MemoryRangeError(address, byteLength);
  }

  /** The guest-physical address of a range whose frames follow each other, or -1. */
  #run(address: number, byteLength: number): number {
    const start = this.#map.translate(address);
    let adjacent = true;
    this.#forEachPiece(address, byteLength, (physical, at) => {
      adjacent &&= physical === start + at;
    });
    return adjacent ? start : -1;
  }

  #forEachPiece(
    address: number,
    byteLength: number,
    visit: (physical: number, at: number, byteLength: number) => void,
  ): void {
    let done = 0;
    while (done < byteLength) {
      const at = address + done;
      const bytes = Math.min(PAGE_BYTES - (at % PAGE_BYTES), byteLength - done);
      visit(this.#map.translate(at), done, bytes);
      done += bytes;
    }
  }
}

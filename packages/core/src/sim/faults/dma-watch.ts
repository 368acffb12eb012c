/**
 * Guest memory as the device sees it, with every access checked against what the driver has mapped for it at that moment.
 * Finds a device that uses memory it was not given, and, more to the point, a driver that took memory away while the device
 * could still use it.
 *
 * Gives no live views, and rings as if behind a file: so that no access goes unseen.
 */
import { type GuestMemory, MemoryRangeError, type MemoryRegion, type RingMemory } from "../../memory/guest-memory.ts";
import type { Pages } from "../../memory/pages.ts";
import { FileRingMemory } from "../../memory/ring-memory.ts";
import type { FaultyAllocator } from "./faulty-allocator.ts";
import type { FaultyDmaMap } from "./faulty-dma-map.ts";

/** An access, or a deed of the driver's, that must not be. */
export interface DmaViolation {
  readonly what: "read" | "write" | "freed while mapped";
  /** The first byte; 0 where pages were freed. */
  readonly address: number;
  readonly byteLength: number;
  /** The key of the pages that were freed. */
  readonly key: number | null;
}

/** What a {@link DmaWatch} is made of. */
export interface DmaWatchOptions {
  /** Memory by bus addresses. */
  readonly memory: GuestMemory;
  /** The map that the driver uses. */
  readonly dma: FaultyDmaMap;
  /** The allocator that the driver uses: pages must be unmapped before they are given back. */
  readonly allocator?: FaultyAllocator | undefined;
  /** Refuse the accesses too, as an IOMMU would. Default: only take note. */
  readonly refuse?: boolean | undefined;
}

/** See the file's head. */
export class DmaWatch implements GuestMemory {
  readonly #memory: GuestMemory;
  readonly #dma: FaultyDmaMap;
  readonly #refuse: boolean;
  readonly #allowed: MemoryRegion[] = [];
  #violations: DmaViolation[] = [];

  constructor(options: DmaWatchOptions) {
    this.#memory = options.memory;
    this.#dma = options.dma;
    this.#refuse = options.refuse ?? false;
    if (options.allocator !== undefined) options.allocator.onFree = (pages) => this.#freed(pages);
  }

  /** What happened that must not, oldest first. */
  get violations(): readonly DmaViolation[] {
    return this.#violations;
  }

  /** Memory that the device may use whatever the driver maps: another driver's. */
  allow(region: MemoryRegion): void {
    this.#allowed.push(region);
  }

  /** Forgets what happened so far. */
  clear(): void {
    this.#violations = [];
  }

  /** Those of the memory that is watched. */
  get regions(): readonly MemoryRegion[] {
    return this.#memory.regions;
  }

  contains(address: number, byteLength: number): boolean {
    return this.#memory.contains(address, byteLength);
  }

  read(address: number, target: Uint8Array): void {
    this.#check("read", address, target.byteLength);
    this.#memory.read(address, target);
  }

  write(address: number, source: Uint8Array): void {
    this.#check("write", address, source.byteLength);
    this.#memory.write(address, source);
  }

  view(): null {
    return null;
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    if (!this.contains(address, byteLength)) throw new MemoryRangeError(address, byteLength);
    const file = {
      readAt: (position: number, target: Uint8Array) => this.read(position, target),
      writeAt: (position: number, source: Uint8Array) => this.write(position, source),
    };
    return new FileRingMemory(file, address, byteLength);
  }

  #check(what: "read" | "write", address: number, byteLength: number): void {
    if (this.#dma.covers(address, byteLength) || this.#isAllowed(address, byteLength)) return;
    this.#violations.push({ what, address, byteLength, key: null });
    if (this.#refuse) throw new MemoryRangeError(address, byteLength);
  }

  #isAllowed(address: number, byteLength: number): boolean {
    return this.#allowed.some(
      (region) => address >= region.address && address + byteLength <= region.address + region.byteLength,
    );
  }

  #freed(pages: Pages): void {
    if (!this.#dma.mapped.includes(pages)) return;
    this.#violations.push({ what: "freed while mapped", address: 0, byteLength: pages.byteLength, key: pages.key });
  }
}

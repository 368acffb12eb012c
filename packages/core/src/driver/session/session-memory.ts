/**
 * The memory that a session shares with the device besides objects: rings, command slots, and the arena for large
 * requests and replies. And the quarantine: what a device may still write to because its reset was never confirmed.
 *
 * Kept from one session to the next, so that a thaw allocates nothing (contract 10, R-40). Replaced only when a reset
 * could not be confirmed (contract 1, R-44).
 */
import { GpuError } from "../../base/errors.ts";
import type { DmaMap, PageAllocator, Pages } from "../../memory/pages.ts";
import { ENTRIES_MAX, MEMORY_ENTRY_BYTES } from "../../wire/index.ts";

/** Room for the largest scatter list that a device takes, with a little for replies beside it. */
const ARENA_BYTES: number = ENTRIES_MAX * MEMORY_ENTRY_BYTES + 16 * 1024;
/** What will do where memory is too fragmented for that: an EDID's reply, and 4,000 entries. */
const ARENA_BYTES_SMALL: number = 64 * 1024;

/** See the file's head. */
export class SessionMemory {
  readonly #allocator: PageAllocator;
  readonly #dma: DmaMap;
  #rings: Pages | null = null;
  #arena: Pages | null = null;
  #isMapped = false;
  #isConfirmed = true;
  #quarantine: (() => void)[] = [];

  constructor(allocator: PageAllocator, dma: DmaMap) {
    this.#allocator = allocator;
    this.#dma = dma;
  }

  /** Things in quarantine. */
  get quarantined(): number {
    return this.#quarantine.length;
  }

  /** Rings and arena for a session, mapped. Throws ENOMEM; then nothing is mapped. */
  map(ringBytes: number): SessionPages {
    const rings = this.#ringPages(ringBytes);
    const arena = this.#arenaPages();
    const ringAddress = this.#address(rings);
    try {
      const arenaAddress = this.#address(arena);
      this.#isMapped = true;
      this.#isConfirmed = false;
      return { rings, ringAddress, arena, arenaAddress };
    } catch (error) {
      this.#dma.unmap(rings);
      throw error;
    }
  }

  /** The largest command that can be carried, in bytes; reserves the memory for it. Throws ENOMEM. */
  reserve(): void {
    this.#arenaPages();
  }

  /** A session is over. If the device's reset was not confirmed, rings and arena are set aside untouched. */
  release(isResetConfirmed: boolean): void {
    const pages = [this.#rings, this.#arena].filter((each) => each !== null);
    if (this.#isMapped && isResetConfirmed) for (const each of pages) this.#dma.unmap(each);
    if (!isResetConfirmed) {
      const isMapped = this.#isMapped;
      for (const each of pages) {
        this.#quarantine.push(() => {
          if (isMapped) this.#dma.unmap(each);
          this.#allocator.free(each);
        });
      }
      this.#rings = null;
      this.#arena = null;
    }
    this.#isMapped = false;
    if (isResetConfirmed) this.resetConfirmed();
  }

  /** Does `release` now, or once no device can write to it any more. */
  afterReset(release: () => void): void {
    if (this.#isConfirmed) release();
    else this.#quarantine.push(release);
  }

  /** A reset was confirmed: nothing can be written to any more. */
  resetConfirmed(): void {
    this.#isConfirmed = true;
    const released = this.#quarantine;
    this.#quarantine = [];
    for (const release of released) release();
  }

  /** Gives everything back, now or once no device can write to it any more. */
  dispose(): void {
    this.afterReset(() => {
      for (const pages of [this.#rings, this.#arena]) if (pages !== null) this.#allocator.free(pages);
      this.#rings = null;
      this.#arena = null;
    });
  }

  #ringPages(byteLength: number): Pages {
    const old = this.#rings;
    if (old !== null && old.byteLength >= byteLength) return old;
    const rings = this.#allocator.allocate(byteLength, { contiguous: true });
    if (old !== null) this.#allocator.free(old);
    this.#rings = rings;
    return rings;
  }

  #arenaPages(): Pages {
    this.#arena ??= this.#allocateArena();
    return this.#arena;
  }

  #allocateArena(): Pages {
    try {
      return this.#allocator.allocate(ARENA_BYTES, { contiguous: true });
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "ENOMEM") throw error;
      return this.#allocator.allocate(ARENA_BYTES_SMALL, { contiguous: true });
    }
  }

  #address(pages: Pages): number {
    const list = this.#dma.map(pages);
    if (list.count !== 1) {
      this.#dma.unmap(pages);
      throw new GpuError("ENOMEM", "the device does not see contiguous pages as one range");
    }
    return list.addresses[0] ?? 0;
  }
}

/** What a session lies in, with bus addresses. */
export interface SessionPages {
  readonly rings: Pages;
  readonly ringAddress: number;
  readonly arena: Pages;
  readonly arenaAddress: number;
}

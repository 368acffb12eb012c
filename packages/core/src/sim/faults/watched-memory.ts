/**
 * Guest memory as the driver sees it, with every access to its rings recorded from the moment the watch is armed. Proves
 * that after a freeze nothing touches ring memory any more, whatever interrupts and late workers do.
 *
 * Rings are typed arrays that the driver indexes directly, so the arrays themselves are watched: much slower than memory.
 * For tests that ask just this.
 */
import type { GuestMemory, MemoryRegion, RingMemory } from "../../memory/guest-memory.ts";

/** An access by the driver. */
export interface WatchedAccess {
  readonly what: "read" | "write";
  /** Guest-physical address of the first byte. */
  readonly address: number;
  readonly byteLength: number;
  /** How: an array's element, `load16`, `publish`, ... */
  readonly by: string;
}

type Note = (what: "read" | "write", byteOffset: number, byteLength: number, by: string) => void;
type Words = Uint8Array | Uint16Array | Uint32Array;

/** See the file's head. Plain reads and writes of memory are recorded as well; live views are not. */
export class WatchedMemory implements GuestMemory {
  readonly #memory: GuestMemory;
  #armed: MemoryRegion | null = null;
  #accesses: WatchedAccess[] = [];

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  /** What was recorded, oldest first. */
  get accesses(): readonly WatchedAccess[] {
    return this.#accesses;
  }

  /** Records accesses to `range` (all memory, by default) from now on; what was recorded before is forgotten. */
  arm(range: MemoryRegion = { address: 0, byteLength: Infinity }): void {
    this.#armed = range;
    this.#accesses = [];
  }

  /** Records nothing from now on. */
  disarm(): void {
    this.#armed = null;
  }

  /** Those of the memory that is watched. */
  get regions(): readonly MemoryRegion[] {
    return this.#memory.regions;
  }

  contains(address: number, byteLength: number): boolean {
    return this.#memory.contains(address, byteLength);
  }

  read(address: number, target: Uint8Array): void {
    this.#note("read", address, target.byteLength, "copy");
    this.#memory.read(address, target);
  }

  write(address: number, source: Uint8Array): void {
    this.#note("write", address, source.byteLength, "copy");
    this.#memory.write(address, source);
  }

  view(address: number, byteLength: number): Uint8Array | null {
    return this.#memory.view(address, byteLength);
  }

  ringMemory(address: number, byteLength: number): RingMemory {
    return new WatchedRingMemory(this.#memory.ringMemory(address, byteLength), (what, offset, bytes, by) =>
      this.#note(what, address + offset, bytes, by),
    );
  }

  #note(what: "read" | "write", address: number, byteLength: number, by: string): void {
    const range = this.#armed;
    if (range === null || address >= range.address + range.byteLength || address + byteLength <= range.address) return;
    this.#accesses.push({ what, address, byteLength, by });
  }
}

class WatchedRingMemory implements RingMemory {
  readonly byteLength: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly #inner: RingMemory;
  readonly #note: Note;

  constructor(inner: RingMemory, note: Note) {
    this.#inner = inner;
    this.#note = note;
    this.byteLength = inner.byteLength;
    this.u8 = watched(inner.u8, note);
    this.u16 = watched(inner.u16, note);
    this.u32 = watched(inner.u32, note);
  }

  load16(index: number): number {
    this.#note("read", index * 2, 2, "load16");
    return this.#inner.load16(index);
  }

  store16(index: number, value: number): void {
    this.#note("write", index * 2, 2, "store16");
    this.#inner.store16(index, value);
  }

  publish(byteOffset: number, byteLength: number): void {
    this.#note("write", byteOffset, byteLength, "publish");
    this.#inner.publish(byteOffset, byteLength);
  }

  refresh(byteOffset: number, byteLength: number): void {
    this.#note("read", byteOffset, byteLength, "refresh");
    this.#inner.refresh(byteOffset, byteLength);
  }
}

/** The same array, each access to an element noted first; a method counts as an access to all of it. */
function watched<Kind extends Words>(array: Kind, note: Note): Kind {
  const width = array.BYTES_PER_ELEMENT;
  const element = (key: string | symbol): number => (typeof key === "string" ? Number(key) : NaN);
  return new Proxy(array, {
    get: (target, key) => {
      const index = element(key);
      if (Number.isInteger(index)) note("read", index * width, width, "array");
      // The array's own getters and methods want the array, not its stand-in.
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...given: unknown[]): unknown => {
        note("write", 0, target.byteLength, String(key));
        return Reflect.apply(value, target, given);
      };
    },
    set: (target, key, value) => {
      const index = element(key);
      if (Number.isInteger(index)) note("write", index * width, width, "array");
      return Reflect.set(target, key, value, target);
    },
  });
}

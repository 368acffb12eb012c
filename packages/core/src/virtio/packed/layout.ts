/**
 * Where the parts of a packed virtqueue lie in one piece of memory (VIRTIO 1.2 sections 2.8 to 2.8.14), and how places in
 * its ring are told apart.
 *
 * | part | bytes | alignment |
 * | --- | --- | --- |
 * | descriptor ring | 16 n | 16 |
 * | driver event suppression | 4 | 4 |
 * | device event suppression | 4 | 4 |
 * | indirect tables, one a buffer id (the driver's own) | 16 n e | 16 |
 */
import { assert } from "../../base/assert.ts";
import type { RingMemory } from "../../memory/guest-memory.ts";
import {
  DESCRIPTOR_ALIGNMENT,
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  EVENT_FLAG_MASK,
  EVENT_WRAP_BIT,
  EventFlag,
  EventSuppression,
  QUEUE_SIZE_MAX,
} from "../../wire/ring.ts";

const { AVAIL, USED } = DescriptorFlag;
const WRAP_MASK = 1 << EVENT_WRAP_BIT;

/** Byte offsets of the parts from the start, and bytes in all. */
export interface PackedLayout {
  readonly byteLength: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  readonly indirect: number;
}

/** Whether a packed queue may have `size` entries: no power of two is asked for. Any number may be asked about. */
export function isPackedSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= QUEUE_SIZE_MAX;
}

/** The layout for a queue of `size` entries, each buffer id with an indirect table of `indirectEntries` (0: none). */
export function packedLayout(options: { readonly size: number; readonly indirectEntries: number }): PackedLayout {
  const { size, indirectEntries } = options;
  assert(isPackedSize(size), `a packed queue can't have ${size} entries`);
  const driver = DESCRIPTOR_BYTES * size;
  const device = driver + EventSuppression.BYTES;
  const end = device + EventSuppression.BYTES;
  const indirect = Math.ceil(end / DESCRIPTOR_ALIGNMENT) * DESCRIPTOR_ALIGNMENT;
  return { byteLength: indirect + DESCRIPTOR_BYTES * size * indirectEntries, descriptors: 0, driver, device, indirect };
}

/** A place in the ring: a slot, and the wrap counter of the lap in which it is reached. */
export class RingPosition {
  slot: number;
  wrap: boolean;
  readonly #size: number;

  constructor(size: number, slot: number = 0, wrap: boolean = true) {
    this.#size = size;
    this.slot = slot;
    this.wrap = wrap;
  }

  /** Moves on by `slots`, at most once around. */
  advance(slots: number): void {
    this.slot += slots;
    if (this.slot < this.#size) return;
    this.slot -= this.#size;
    this.wrap = !this.wrap;
  }

  /** The flags by which a descriptor here is available. */
  get availableBits(): number {
    return this.wrap ? AVAIL : USED;
  }

  /** The flags by which a descriptor here is used. */
  get usedBits(): number {
    return this.wrap ? AVAIL | USED : 0;
  }

  /** Whether a descriptor here with these flags is available. */
  isAvailable(flags: number): boolean {
    return (flags & (AVAIL | USED)) === this.availableBits;
  }

  /** Whether a descriptor here with these flags is used. */
  isUsed(flags: number): boolean {
    return (flags & (AVAIL | USED)) === this.usedBits;
  }

  /** As event suppression structures have it: the slot, and the wrap counter above. */
  get word(): number {
    return this.slot | (this.wrap ? WRAP_MASK : 0);
  }

  /** Whether the last `slots` that were passed to get here (fewer than the ring has) have the place `word` among them. */
  passed(word: number, slots: number): boolean {
    const inThisLap = ((word & WRAP_MASK) !== 0) === this.wrap;
    const event = (word & ~WRAP_MASK) - (inThisLap ? 0 : this.#size);
    return event < this.slot && event >= this.slot - slots;
  }
}

/** One side's event suppression structure: the first 16-bit word is a place in the ring, the second an {@link EventFlag}. */
export class EventWords {
  readonly #memory: RingMemory;
  readonly #word: number;
  readonly #eventIndex: boolean;

  /** `byteOffset`: of the structure in `memory`. */
  constructor(memory: RingMemory, byteOffset: number, eventIndex: boolean) {
    this.#memory = memory;
    this.#word = byteOffset >> 1;
    this.#eventIndex = eventIndex;
  }

  /** Asks for an event when `position` is reached (without EVENT_IDX: at every one). A full barrier: what came before is seen by the next load. */
  ask(position: RingPosition): void {
    if (this.#eventIndex) this.#memory.store16(this.#word, position.word);
    this.#memory.store16(this.#word + 1, this.#eventIndex ? EventFlag.DESCRIPTOR : EventFlag.ENABLE);
  }

  /** Asks for no events. */
  decline(): void {
    this.#memory.store16(this.#word + 1, EventFlag.DISABLE);
  }

  /** Whether the other side, whose structure this is, wants an event for the last `slots` up to `position` in a ring of `size`. */
  wants(position: RingPosition, slots: number, size: number): boolean {
    const flag = this.#memory.load16(this.#word + 1) & EVENT_FLAG_MASK;
    if (flag === EventFlag.DISABLE) return false;
    // More than a lap: the arithmetic can't tell, and a spurious event is legal.
    if (flag !== EventFlag.DESCRIPTOR || !this.#eventIndex || slots >= size) return true;
    return position.passed(this.#memory.load16(this.#word), slots);
  }
}

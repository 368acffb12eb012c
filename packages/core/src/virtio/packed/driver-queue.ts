/**
 * The driver's end of a packed virtqueue (VIRTIO 1.2 section 2.8).
 *
 * What the device can write is copied once and checked; beyond used descriptors nothing in the ring is read back. With
 * indirect descriptors each buffer id owns a fixed table, which is rewritten only where its contents change. Ring slots
 * are overwritten by the device, and so are written each time.
 */
import { assert } from "../../base/assert.ts";
import type { RingMemory } from "../../memory/guest-memory.ts";
import { DESCRIPTOR_BYTES, DescriptorFlag, NotificationData } from "../../wire/ring.ts";
import { highWord, lowWord } from "../../wire/words.ts";
import { checkedWritableBytes } from "../descriptor-list.ts";
import type { DescriptorList, DriverQueue, UsedElement } from "../queue.ts";
import type { DriverQueueOptions } from "../split/driver-queue.ts";
import type { QueueAddresses } from "../transport.ts";
import { EventWords, type PackedLayout, RingPosition, packedLayout } from "./layout.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
/** In 16-bit words: a descriptor, and in it the buffer id and the flags. */
const SLOT_WORDS = DESCRIPTOR_BYTES / 2;
const ID_WORD = 6;
const FLAGS_WORD = 7;
/** A descriptor without its flags, which are written last. */
const BYTES_BEFORE_FLAGS = DESCRIPTOR_BYTES - 2;
/** In a used descriptor: length, id and flags. */
const USED_OFFSET = 8;

/** Makes the driver's end of a packed queue, and zeroes its ring. */
export function createPackedDriverQueue(options: DriverQueueOptions): PackedDriverQueue {
  return new PackedDriverQueue(options);
}

/**
 * See the file's head.
 *
 * A list longer than the indirect table falls back to a chain of direct descriptors, one slot each. `add` returns -1
 * when that many are not free, and always will for a list longer than the queue: callers keep lists short.
 */
export class PackedDriverQueue implements DriverQueue {
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly used: UsedElement = { id: 0, byteLength: 0 };

  readonly #memory: RingMemory;
  readonly #u32: Uint32Array;
  readonly #u16: Uint16Array;
  readonly #layout: PackedLayout;
  readonly #indirectEntries: number;
  readonly #indirectAddress: number;
  readonly #driverEvent: EventWords;
  readonly #deviceEvent: EventWords;

  // What was written to the indirect tables.
  readonly #writtenAddress: Float64Array;
  readonly #writtenLength: Uint32Array;
  readonly #writtenFlags: Uint16Array;

  /** Free buffer ids are linked. */
  readonly #nextId: Uint16Array;
  #freeId = 0;
  #freeSlots: number;
  /** Ring slots of the outstanding chain of this id; 0: none is. */
  readonly #chainSlots: Uint16Array;
  readonly #writableBytes: Float64Array;

  #outstanding = 0;
  /** Where the next chain goes, and where the next used descriptor is looked for. */
  readonly #available: RingPosition;
  readonly #usedAt: RingPosition;
  #addedSlots = 0;
  #broken: string | null = null;

  constructor(options: DriverQueueOptions) {
    const { size, indirectEntries, memory, address, eventIndex } = options;
    const layout = packedLayout(options);
    assert(memory.byteLength >= layout.byteLength, "the memory is too small for the queue");
    assert(Number.isSafeInteger(address) && address % DESCRIPTOR_BYTES === 0, "a queue lies on 16 bytes");
    this.size = size;
    this.#memory = memory;
    this.#u32 = memory.u32;
    this.#u16 = memory.u16;
    this.#layout = layout;
    this.#indirectEntries = indirectEntries;
    this.#indirectAddress = address + layout.indirect;
    this.addresses = { size, descriptors: address, driver: address + layout.driver, device: address + layout.device };
    this.#driverEvent = new EventWords(memory, layout.driver, eventIndex);
    this.#deviceEvent = new EventWords(memory, layout.device, eventIndex);
    const entries = size * indirectEntries;
    this.#writtenAddress = new Float64Array(entries);
    this.#writtenLength = new Uint32Array(entries);
    this.#writtenFlags = new Uint16Array(entries);
    this.#nextId = Uint16Array.from({ length: size }, (_, index) => index + 1);
    this.#freeSlots = size;
    this.#chainSlots = new Uint16Array(size);
    this.#writableBytes = new Float64Array(size);
    this.#available = new RingPosition(size);
    this.#usedAt = new RingPosition(size);
    memory.u8.fill(0, 0, layout.byteLength);
    memory.publish(0, layout.byteLength);
  }

  get outstanding(): number {
    return this.#outstanding;
  }

  get broken(): string | null {
    return this.#broken;
  }

  add(list: DescriptorList): number {
    const { count } = list;
    assert(count > 0, "a chain has a buffer");
    if (this.#broken !== null) return -1;
    const indirect = count > 1 && count <= this.#indirectEntries;
    const slots = indirect ? 1 : count;
    if (slots > this.#freeSlots) return -1;
    const id = this.#freeId;
    this.#writableBytes[id] = checkedWritableBytes(list);
    this.#freeId = this.#nextId[id] ?? 0;
    this.#freeSlots -= slots;
    this.#chainSlots[id] = slots;
    this.#outstanding += 1;
    this.#addedSlots += slots;
    if (indirect) this.#writeIndirect(id, list);
    else this.#writeDirect(id, list);
    return id;
  }

  shouldNotify(): boolean {
    const slots = this.#addedSlots;
    if (slots === 0 || this.#broken !== null) return false;
    this.#addedSlots = 0;
    return this.#deviceEvent.wants(this.#available, slots, this.size);
  }

  /** Queue number, the ring offset of the next chain above, and its wrap counter on top (4.1.5.2, 2.9). */
  notificationData(queue: number): number {
    return ((this.#available.word << NotificationData.NEXT_SHIFT) | queue) >>> 0;
  }

  pop(): boolean {
    if (this.#broken !== null) return false;
    const { slot } = this.#usedAt;
    const flags = this.#memory.load16(slot * SLOT_WORDS + FLAGS_WORD);
    if (!this.#usedAt.isUsed(flags)) return false;
    this.#memory.refresh(slot * DESCRIPTOR_BYTES + USED_OFFSET, DESCRIPTOR_BYTES - USED_OFFSET);
    const claimed = this.#u32[slot * 4 + 2] ?? 0;
    const id = this.#u16[slot * SLOT_WORDS + ID_WORD] ?? 0;
    const slots = id < this.size ? (this.#chainSlots[id] ?? 0) : 0;
    if (slots === 0) return this.#break(`the device returned buffer ${id}, which it does not hold`);
    const writable = this.#writableBytes[id] ?? 0;
    if (claimed > writable && (flags & WRITE) !== 0) {
      return this.#break(`the device says it wrote ${claimed} bytes to buffer ${id}, which takes ${writable}`);
    }
    this.used.id = id;
    // Without WRITE the length has no meaning (2.8.2), but QEMU never sets that flag: a bound keeps both in order.
    this.used.byteLength = Math.min(claimed, writable);
    this.#usedAt.advance(slots);
    this.#chainSlots[id] = 0;
    this.#freeSlots += slots;
    this.#nextId[id] = this.#freeId;
    this.#freeId = id;
    this.#outstanding -= 1;
    return true;
  }

  enableInterrupts(): boolean {
    if (this.#broken !== null) return false;
    this.#driverEvent.ask(this.#usedAt);
    return this.#usedAt.isUsed(this.#memory.load16(this.#usedAt.slot * SLOT_WORDS + FLAGS_WORD));
  }

  disableInterrupts(): void {
    if (this.#broken !== null) return;
    this.#driverEvent.decline();
  }

  #writeIndirect(id: number, list: DescriptorList): void {
    const { count, readable } = list;
    const first = id * this.#indirectEntries;
    const tableOffset = this.#layout.indirect + first * DESCRIPTOR_BYTES;
    let changed = false;
    for (let index = 0; index < count; index += 1) {
      const address = list.addresses[index] ?? 0;
      const length = list.lengths[index] ?? 0;
      changed = this.#writeEntry(first + index, address, length, index < readable ? 0 : WRITE) || changed;
    }
    if (changed) this.#memory.publish(tableOffset, count * DESCRIPTOR_BYTES);
    const { slot } = this.#available;
    const flags = INDIRECT | this.#available.availableBits;
    this.#writeSlot(slot, this.#indirectAddress + first * DESCRIPTOR_BYTES, count * DESCRIPTOR_BYTES, id);
    this.#available.advance(1);
    this.#handOver(slot, flags);
  }

  /** Writes an entry of an indirect table unless it stands there already; returns whether it wrote. */
  #writeEntry(entry: number, address: number, length: number, flags: number): boolean {
    const same =
      this.#writtenAddress[entry] === address &&
      this.#writtenLength[entry] === length &&
      this.#writtenFlags[entry] === flags;
    if (same) return false;
    this.#writtenAddress[entry] = address;
    this.#writtenLength[entry] = length;
    this.#writtenFlags[entry] = flags;
    const word = (this.#layout.indirect >> 2) + 4 * entry;
    const u32 = this.#u32;
    u32[word] = lowWord(address);
    u32[word + 1] = highWord(address);
    u32[word + 2] = length;
    u32[word + 3] = flags << 16;
    return true;
  }

  /** The first descriptor's flags come last: they hand over the whole chain. */
  #writeDirect(id: number, list: DescriptorList): void {
    const { count, readable } = list;
    const position = this.#available;
    const first = position.slot;
    let firstFlags = 0;
    for (let index = 0; index < count; index += 1) {
      const { slot } = position;
      const flags = (index < readable ? 0 : WRITE) | (index + 1 < count ? NEXT : 0) | position.availableBits;
      this.#writeSlot(slot, list.addresses[index] ?? 0, list.lengths[index] ?? 0, id);
      if (index === 0) firstFlags = flags;
      else this.#memory.store16(slot * SLOT_WORDS + FLAGS_WORD, flags);
      position.advance(1);
    }
    this.#handOver(first, firstFlags);
  }

  /** All of a descriptor but its flags. */
  #writeSlot(slot: number, address: number, length: number, id: number): void {
    const u32 = this.#u32;
    u32[slot * 4] = lowWord(address);
    u32[slot * 4 + 1] = highWord(address);
    u32[slot * 4 + 2] = length;
    this.#u16[slot * SLOT_WORDS + ID_WORD] = id;
    this.#memory.publish(slot * DESCRIPTOR_BYTES, BYTES_BEFORE_FLAGS);
  }

  #handOver(slot: number, flags: number): void {
    this.#memory.store16(slot * SLOT_WORDS + FLAGS_WORD, flags);
  }

  #break(reason: string): false {
    this.#broken = reason;
    return false;
  }
}

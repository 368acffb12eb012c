/**
 * The driver's end of a split virtqueue (VIRTIO 1.2 section 2.7).
 *
 * What the device can write is copied once and checked; what is in the rings is never read back (R-01's kin: the shared
 * descriptor table is write-only for us). With indirect descriptors each slot owns a fixed table, which is rewritten only
 * where its contents change: commands whose buffers recur cost no descriptor writes.
 */
import { assert } from "../../base/assert.ts";
import type { RingMemory } from "../../memory/guest-memory.ts";
import { checkedWritableBytes } from "../descriptor-list.ts";
import type { DescriptorList, DriverQueue, UsedElement } from "../queue.ts";
import type { QueueAddresses } from "../transport.ts";
import {
  AVAILABLE_NO_INTERRUPT,
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  NotificationData,
  USED_NO_NOTIFY,
  UsedRing,
  availableEventOffset,
  usedEventOffset,
} from "../../wire/ring.ts";
import { type SplitLayout, passesEvent, splitLayout } from "./layout.ts";

const TWO_32 = 2 ** 32;
const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** What a driver's queue is made of. The same for both layouts. */
export interface DriverQueueOptions {
  /** Entries: a power of two for split rings. */
  readonly size: number;
  /** Entries of each slot's indirect table; 0 where INDIRECT_DESC was not negotiated. */
  readonly indirectEntries: number;
  /** EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
  /** The rings' memory, as many bytes as the layout says. It is zeroed. */
  readonly memory: RingMemory;
  /** Bus address of the memory's first byte: a multiple of 16. */
  readonly address: number;
}

/** Makes the driver's end of a split queue, and zeroes its rings. */
export function createSplitDriverQueue(options: DriverQueueOptions): SplitDriverQueue {
  return new SplitDriverQueue(options);
}

/**
 * See the file's head.
 *
 * A list longer than the indirect table falls back to a chain of direct descriptors, one slot each. `add` returns -1
 * when that many are not free, and always will for a list longer than the queue: callers keep lists short.
 */
export class SplitDriverQueue implements DriverQueue {
  readonly size: number;
  readonly addresses: QueueAddresses;
  readonly used: UsedElement = { id: 0, byteLength: 0 };

  readonly #memory: RingMemory;
  readonly #u32: Uint32Array;
  readonly #u16: Uint16Array;
  readonly #mask: number;
  readonly #eventIndex: boolean;
  readonly #layout: SplitLayout;
  readonly #indirectEntries: number;
  readonly #indirectAddress: number;

  // Indices of 16-bit words in the window.
  readonly #availableFlags: number;
  readonly #availableIndexWord: number;
  readonly #availableRing: number;
  readonly #usedEvent: number;
  readonly #usedFlags: number;
  readonly #usedIndexWord: number;
  readonly #availableEvent: number;
  /** Index of the 32-bit word where the used elements start. */
  readonly #usedRing: number;

  // What was written to descriptors, main table first, then the indirect ones.
  readonly #writtenAddress: Float64Array;
  readonly #writtenLength: Uint32Array;
  readonly #writtenFlags: Uint32Array;

  // Free descriptors and chains are linked through #next.
  readonly #next: Uint16Array;
  #freeHead = 0;
  #freeCount: number;
  /** Ring descriptors of the outstanding chain that starts here; 0: none does. */
  readonly #chainSlots: Uint16Array;
  readonly #writableBytes: Float64Array;

  #outstanding = 0;
  #availableIndex = 0;
  #notifiedIndex = 0;
  #addedCount = 0;
  /** Used elements taken, and used elements announced, as indices. */
  #usedTaken = 0;
  #usedSeen = 0;
  #broken: string | null = null;

  constructor(options: DriverQueueOptions) {
    const { size, indirectEntries, memory, address } = options;
    const layout = splitLayout(options);
    assert(memory.byteLength >= layout.byteLength, "the memory is too small for the queue");
    assert(Number.isSafeInteger(address) && address % DESCRIPTOR_BYTES === 0, "a queue lies on 16 bytes");
    this.size = size;
    this.#memory = memory;
    this.#u32 = memory.u32;
    this.#u16 = memory.u16;
    this.#mask = size - 1;
    this.#eventIndex = options.eventIndex;
    this.#layout = layout;
    this.#indirectEntries = indirectEntries;
    this.#indirectAddress = address + layout.indirect;
    this.addresses = { size, descriptors: address, driver: address + layout.driver, device: address + layout.device };
    this.#availableFlags = layout.driver >> 1;
    this.#availableIndexWord = this.#availableFlags + 1;
    this.#availableRing = this.#availableFlags + 2;
    this.#usedEvent = (layout.driver + usedEventOffset(size)) >> 1;
    this.#usedFlags = layout.device >> 1;
    this.#usedIndexWord = this.#usedFlags + 1;
    this.#usedRing = (layout.device + UsedRing.RING) >> 2;
    this.#availableEvent = (layout.device + availableEventOffset(size)) >> 1;
    const entries = size * (1 + indirectEntries);
    this.#writtenAddress = new Float64Array(entries);
    this.#writtenLength = new Uint32Array(entries);
    this.#writtenFlags = new Uint32Array(entries);
    this.#next = Uint16Array.from({ length: size }, (_, index) => index + 1);
    this.#freeCount = size;
    this.#chainSlots = new Uint16Array(size);
    this.#writableBytes = new Float64Array(size);
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
    if (slots > this.#freeCount) return -1;
    const head = this.#freeHead;
    this.#writableBytes[head] = checkedWritableBytes(list);
    if (indirect) this.#writeIndirect(head, list);
    else this.#writeDirect(head, list);
    this.#freeCount -= slots;
    this.#chainSlots[head] = slots;
    this.#outstanding += 1;
    this.#makeAvailable(head);
    return head;
  }

  shouldNotify(): boolean {
    const added = this.#addedCount;
    if (added === 0 || this.#broken !== null) return false;
    const before = this.#notifiedIndex;
    this.#addedCount = 0;
    this.#notifiedIndex = this.#availableIndex;
    if (!this.#eventIndex) return (this.#memory.load16(this.#usedFlags) & USED_NO_NOTIFY) === 0;
    // So many that the index went round: the arithmetic can't tell, and a spurious notification is legal.
    if (added > 0xffff) return true;
    return passesEvent(this.#memory.load16(this.#availableEvent), this.#availableIndex, before);
  }

  /** Queue number, and the available index as the next offset (4.1.5.2, 2.9). */
  notificationData(queue: number): number {
    return ((this.#availableIndex << NotificationData.NEXT_SHIFT) | queue) >>> 0;
  }

  pop(): boolean {
    if (this.#usedTaken === this.#usedSeen && !this.#look()) return false;
    if (this.#broken !== null) return false;
    const word = this.#usedRing + 2 * (this.#usedTaken & this.#mask);
    const id = this.#u32[word] ?? 0;
    const byteLength = this.#u32[word + 1] ?? 0;
    const slots = id < this.size ? (this.#chainSlots[id] ?? 0) : 0;
    if (slots === 0) return this.#break(`the device returned buffer ${id}, which it does not hold`);
    const writable = this.#writableBytes[id] ?? 0;
    if (byteLength > writable) {
      return this.#break(`the device says it wrote ${byteLength} bytes to buffer ${id}, which takes ${writable}`);
    }
    this.#usedTaken = (this.#usedTaken + 1) & 0xffff;
    this.#freeChain(id, slots);
    this.used.id = id;
    this.used.byteLength = byteLength;
    return true;
  }

  enableInterrupts(): boolean {
    if (this.#broken !== null) return false;
    // The store is a full barrier: whatever the device used before it saw this is seen by the load.
    if (this.#eventIndex) this.#memory.store16(this.#usedEvent, this.#usedTaken);
    else this.#memory.store16(this.#availableFlags, 0);
    return this.#memory.load16(this.#usedIndexWord) !== this.#usedTaken;
  }

  /** With EVENT_IDX the event index that was passed is left behind, which asks for nothing for 65,536 buffers. */
  disableInterrupts(): void {
    if (this.#eventIndex || this.#broken !== null) return;
    this.#memory.store16(this.#availableFlags, AVAILABLE_NO_INTERRUPT);
  }

  #makeAvailable(head: number): void {
    const word = this.#availableRing + (this.#availableIndex & this.#mask);
    this.#u16[word] = head;
    this.#memory.publish(word * 2, 2);
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    this.#addedCount += 1;
    this.#memory.store16(this.#availableIndexWord, this.#availableIndex);
  }

  #writeIndirect(head: number, list: DescriptorList): void {
    const { count, readable } = list;
    const first = head * this.#indirectEntries;
    const tableOffset = this.#layout.indirect + first * DESCRIPTOR_BYTES;
    let changed = false;
    for (let index = 0; index < count; index += 1) {
      const flags = (index < readable ? 0 : WRITE) | (index + 1 < count ? NEXT | ((index + 1) << 16) : 0);
      const address = list.addresses[index] ?? 0;
      const length = list.lengths[index] ?? 0;
      const word = (tableOffset >> 2) + 4 * index;
      changed = this.#write(this.size + first + index, word, address, length, flags) || changed;
    }
    if (changed) this.#memory.publish(tableOffset, count * DESCRIPTOR_BYTES);
    const tableAddress = this.#indirectAddress + first * DESCRIPTOR_BYTES;
    if (this.#write(head, 4 * head, tableAddress, count * DESCRIPTOR_BYTES, INDIRECT)) {
      this.#memory.publish(head * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES);
    }
    this.#freeHead = this.#next[head] ?? 0;
  }

  #writeDirect(head: number, list: DescriptorList): void {
    const { count, readable } = list;
    let slot = head;
    for (let index = 0; index < count; index += 1) {
      const next = this.#next[slot] ?? 0;
      const flags = (index < readable ? 0 : WRITE) | (index + 1 < count ? NEXT | (next << 16) : 0);
      if (this.#write(slot, 4 * slot, list.addresses[index] ?? 0, list.lengths[index] ?? 0, flags)) {
        this.#memory.publish(slot * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES);
      }
      slot = next;
    }
    this.#freeHead = slot;
  }

  /** Writes a descriptor unless it stands there already; returns whether it wrote. `flags` has `next` in its upper half. */
  #write(entry: number, word: number, address: number, length: number, flags: number): boolean {
    const same =
      this.#writtenAddress[entry] === address &&
      this.#writtenLength[entry] === length &&
      this.#writtenFlags[entry] === flags >>> 0;
    if (same) return false;
    this.#writtenAddress[entry] = address;
    this.#writtenLength[entry] = length;
    this.#writtenFlags[entry] = flags;
    const u32 = this.#u32;
    u32[word] = address;
    u32[word + 1] = address / TWO_32;
    u32[word + 2] = length;
    u32[word + 3] = flags;
    return true;
  }

  #freeChain(head: number, slots: number): void {
    let last = head;
    for (let count = 1; count < slots; count += 1) last = this.#next[last] ?? 0;
    this.#next[last] = this.#freeHead;
    this.#freeHead = head;
    this.#freeCount += slots;
    this.#chainSlots[head] = 0;
    this.#outstanding -= 1;
  }

  /** Looks how far the device got; false when there is nothing new, or it lies. */
  #look(): boolean {
    if (this.#broken !== null) return false;
    const seen = this.#memory.load16(this.#usedIndexWord);
    const fresh = (seen - this.#usedTaken) & 0xffff;
    if (fresh === 0) return false;
    if (fresh > this.#outstanding) {
      return this.#break(`the device's used index jumped by ${fresh} with ${this.#outstanding} buffers outstanding`);
    }
    this.#usedSeen = seen;
    const start = this.#usedTaken & this.#mask;
    const straight = Math.min(fresh, this.size - start);
    this.#memory.refresh(this.#usedRing * 4 + start * 8, straight * 8);
    if (fresh > straight) this.#memory.refresh(this.#usedRing * 4, (fresh - straight) * 8);
    return true;
  }

  #break(reason: string): false {
    this.#broken = reason;
    return false;
  }
}

/**
 * The device's end of a split virtqueue (VIRTIO 1.2 section 2.7). The driver is not trusted: each field is read once,
 * then checked, and what breaks a rule is a RingViolation, after which the queue stays broken.
 *
 * Lenient where QEMU is and drivers lean on it: an indirect table may be longer than the queue (up to
 * DESCRIPTOR_LIST_MAX), NEXT beside INDIRECT is ignored. Lenient where the specification demands it: direct descriptors
 * followed by an indirect one.
 */
import { assert } from "../../base/assert.ts";
import type { GuestMemory, RingMemory } from "../../memory/guest-memory.ts";
import { DescriptorReader } from "../descriptor-reader.ts";
import { type Chain, type DeviceQueue, type DeviceQueueState, RingViolation } from "../queue.ts";
import type { QueueAddresses } from "../transport.ts";
import {
  AVAILABLE_NO_INTERRUPT,
  AvailableRing,
  DESCRIPTOR_ALIGNMENT,
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  USED_NO_NOTIFY,
  UsedRing,
  availableEventOffset,
  availableRingBytes,
  usedEventOffset,
  usedRingBytes,
} from "../../wire/ring.ts";
import { isSplitSize, passesEvent } from "./layout.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;

/** What a device's queue is made of. The same for both layouts. */
export interface DeviceQueueOptions {
  readonly memory: GuestMemory;
  /** As the driver wrote them: not trusted. */
  readonly addresses: QueueAddresses;
  /** INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** EVENT_IDX was negotiated. */
  readonly eventIndex: boolean;
  /** Where to go on, from a saved state: not trusted. Default: at the start. */
  readonly state?: DeviceQueueState | undefined;
}

/** Makes the device's end of a split queue. Throws RingViolation for a size, addresses or a state that can't be. */
export function createSplitDeviceQueue(options: DeviceQueueOptions): SplitDeviceQueue {
  return new SplitDeviceQueue(options);
}

/** See the file's head. */
export class SplitDeviceQueue implements DeviceQueue {
  readonly size: number;
  readonly #mask: number;
  readonly #indirect: boolean;
  readonly #eventIndex: boolean;
  readonly #reader: DescriptorReader;
  readonly #table: RingMemory;
  readonly #available: RingMemory;
  readonly #used: RingMemory;
  // Indices of 16-bit words in the windows.
  readonly #availableFlags: number;
  readonly #availableRing: number;
  readonly #usedEvent: number;
  readonly #availableEvent: number;

  /** Next chain to take, and how far the driver is known to have got. */
  #availableIndex: number;
  #availableSeen: number;
  /** Where the next used element goes, and what the driver was shown. */
  #usedIndex: number;
  #flushedIndex: number;
  #inFlight: number;
  #violation: RingViolation | null = null;
  #closed = false;

  constructor(options: DeviceQueueOptions) {
    const { memory, addresses } = options;
    checkAddresses(memory, addresses);
    const { size, descriptors, driver, device } = addresses;
    this.size = size;
    this.#mask = size - 1;
    this.#indirect = options.indirect;
    this.#eventIndex = options.eventIndex;
    this.#reader = new DescriptorReader(memory);
    // The available ring may lie on 2 bytes, a window on 4.
    const odd = driver % 4;
    this.#table = memory.ringMemory(descriptors, size * DESCRIPTOR_BYTES);
    this.#available = memory.ringMemory(driver - odd, odd + availableRingBytes(size));
    this.#used = memory.ringMemory(device, usedRingBytes(size));
    this.#availableFlags = odd >> 1;
    this.#availableRing = this.#availableFlags + 2;
    this.#usedEvent = (odd + usedEventOffset(size)) >> 1;
    this.#availableEvent = availableEventOffset(size) >> 1;
    const { availableIndex, usedIndex } = checkState(options.state, size);
    this.#availableIndex = availableIndex;
    this.#availableSeen = availableIndex;
    this.#usedIndex = usedIndex;
    this.#flushedIndex = usedIndex;
    this.#inFlight = (availableIndex - usedIndex) & 0xffff;
  }

  get closed(): boolean {
    return this.#closed;
  }

  pop(chain: Chain): boolean {
    if (this.#closed) return false;
    if (this.#violation !== null) throw this.#violation;
    if (this.#availableIndex === this.#availableSeen && !this.#look()) return false;
    try {
      this.#take(chain);
    } catch (error) {
      if (error instanceof RingViolation) this.#violation = error;
      throw error;
    }
    return true;
  }

  push(chain: Chain, byteLength: number): void {
    if (this.#closed) return;
    assert(this.#inFlight > 0, "a chain is returned once");
    assert(byteLength >= 0 && byteLength <= chain.writableBytes, "a device writes no more than the writable part");
    const word = 1 + 2 * (this.#usedIndex & this.#mask);
    this.#used.u32[word] = chain.id;
    this.#used.u32[word + 1] = byteLength;
    this.#used.publish(word * 4, 8);
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    this.#inFlight -= 1;
  }

  flush(): boolean {
    const before = this.#flushedIndex;
    const after = this.#usedIndex;
    if (this.#closed || before === after) return false;
    this.#flushedIndex = after;
    this.#used.store16(1, after);
    if (this.#eventIndex) return passesEvent(this.#available.load16(this.#usedEvent), after, before);
    return (this.#available.load16(this.#availableFlags) & AVAILABLE_NO_INTERRUPT) === 0;
  }

  enableNotifications(): boolean {
    if (this.#closed || this.#violation !== null) return false;
    // The store is a full barrier: what the driver added before it saw this is seen by the load.
    if (this.#eventIndex) this.#used.store16(this.#availableEvent, this.#availableIndex);
    else this.#used.store16(0, 0);
    return this.#available.load16(this.#availableFlags + 1) !== this.#availableIndex;
  }

  /** With EVENT_IDX the event index that was passed is left behind, which asks for nothing for 65,536 chains. */
  disableNotifications(): void {
    if (this.#closed || this.#eventIndex) return;
    this.#used.store16(0, USED_NO_NOTIFY);
  }

  save(): DeviceQueueState {
    return { availableIndex: this.#availableIndex, usedIndex: this.#usedIndex, availableWrap: true, usedWrap: true };
  }

  /** Touches the ring no more, whoever still holds a chain: after a reset of the device or the queue. */
  close(): void {
    this.#closed = true;
  }

  /** Looks how far the driver got; false when there is nothing new. */
  #look(): boolean {
    const seen = this.#available.load16(this.#availableFlags + 1);
    const fresh = (seen - this.#availableIndex) & 0xffff;
    if (fresh === 0) return false;
    if (fresh > this.size) {
      this.#violation = new RingViolation(`the available index jumped by ${fresh} in a queue of ${this.size}`);
      throw this.#violation;
    }
    this.#availableSeen = seen;
    const start = this.#availableIndex & this.#mask;
    const straight = Math.min(fresh, this.size - start);
    this.#available.refresh((this.#availableRing + start) * 2, straight * 2);
    if (fresh > straight) this.#available.refresh(this.#availableRing * 2, (fresh - straight) * 2);
    return true;
  }

  #take(chain: Chain): void {
    if (this.#inFlight >= this.size) throw new RingViolation(`more than ${this.size} chains in flight`);
    const head = this.#available.u16[this.#availableRing + (this.#availableIndex & this.#mask)] ?? 0;
    if (head >= this.size) throw new RingViolation(`head ${head} lies outside a queue of ${this.size}`);
    const reader = this.#reader;
    reader.begin(chain, this.#table.u32, 0);
    const slots = this.#walk(head);
    reader.end();
    chain.id = head;
    chain.slots = slots;
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    this.#inFlight += 1;
  }

  /** Follows a chain through the queue's own table; returns its descriptors there. */
  #walk(head: number): number {
    const reader = this.#reader;
    let index = head;
    for (let slots = 1; slots <= this.size; slots += 1) {
      this.#table.refresh(index * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES);
      reader.load(index);
      const { flags, next } = reader;
      if ((flags & INDIRECT) !== 0) {
        if (!this.#indirect) throw new RingViolation("an indirect descriptor, which was not negotiated");
        this.#walkTable(reader.enterTable());
        return slots;
      }
      reader.accept((flags & WRITE) !== 0);
      if ((flags & NEXT) === 0) return slots;
      if (next >= this.size) throw new RingViolation(`next ${next} lies outside a queue of ${this.size}`);
      index = next;
    }
    throw new RingViolation(`a chain goes on beyond the ${this.size} descriptors of the queue: a loop`);
  }

  /** Follows a chain through an indirect table of `entries`. */
  #walkTable(entries: number): void {
    const reader = this.#reader;
    let index = 0;
    for (let count = 0; count < entries; count += 1) {
      reader.load(index);
      const { flags, next } = reader;
      if ((flags & INDIRECT) !== 0) throw new RingViolation("an indirect descriptor in an indirect table");
      reader.accept((flags & WRITE) !== 0);
      if ((flags & NEXT) === 0) return;
      if (next >= entries) throw new RingViolation(`next ${next} lies outside an indirect table of ${entries}`);
      index = next;
    }
    throw new RingViolation(`a chain goes on beyond the ${entries} descriptors of its indirect table: a loop`);
  }
}

function checkAddresses(memory: GuestMemory, { size, descriptors, driver, device }: QueueAddresses): void {
  if (!isSplitSize(size)) throw new RingViolation(`a split queue can't have ${size} entries`);
  const parts = [
    ["descriptor table", descriptors, size * DESCRIPTOR_BYTES, DESCRIPTOR_ALIGNMENT],
    ["available ring", driver, availableRingBytes(size), AvailableRing.ALIGNMENT],
    ["used ring", device, usedRingBytes(size), UsedRing.ALIGNMENT],
  ] as const;
  for (const [name, address, byteLength, alignment] of parts) {
    if (address % alignment !== 0) throw new RingViolation(`the ${name} at ${address} is not aligned to ${alignment}`);
    const start = address - (address % 4);
    if (!memory.contains(start, address - start + byteLength)) {
      throw new RingViolation(`the ${name} at ${address} lies outside guest memory`);
    }
  }
}

function checkState(state: DeviceQueueState | undefined, size: number): { availableIndex: number; usedIndex: number } {
  if (state === undefined) return { availableIndex: 0, usedIndex: 0 };
  const { availableIndex, usedIndex } = state;
  for (const index of [availableIndex, usedIndex]) {
    if (!Number.isInteger(index) || index < 0 || index > 0xffff) throw new RingViolation(`${index} is no ring index`);
  }
  const inFlight = (availableIndex - usedIndex) & 0xffff;
  if (inFlight > size) throw new RingViolation(`${inFlight} chains in flight in a queue of ${size}`);
  return { availableIndex, usedIndex };
}

/**
 * The device's end of a packed virtqueue (VIRTIO 1.2 section 2.8). The driver is not trusted: each field is read once,
 * then checked, and what breaks a rule is a RingViolation, after which the queue stays broken.
 *
 * Lenient as the split one: an indirect table may be longer than the queue (up to DESCRIPTOR_LIST_MAX), and may follow
 * direct descriptors. Buffer ids are the driver's own names and may be any.
 */
import { assert } from "../../base/assert.ts";
import type { GuestMemory, RingMemory } from "../../memory/guest-memory.ts";
import {
  DESCRIPTOR_ALIGNMENT,
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  EventSuppression,
  packedRingBytes,
} from "../../wire/ring.ts";
import { DescriptorReader } from "../descriptor-reader.ts";
import { type Chain, type DeviceQueue, type DeviceQueueState, RingViolation } from "../queue.ts";
import type { DeviceQueueOptions } from "../split/device-queue.ts";
import type { QueueAddresses } from "../transport.ts";
import { EventWords, RingPosition, isPackedSize } from "./layout.ts";

const { NEXT, WRITE, INDIRECT } = DescriptorFlag;
/** In 16-bit words: a descriptor, and in it the buffer id and the flags. */
const SLOT_WORDS = DESCRIPTOR_BYTES / 2;
const ID_WORD = 6;
const FLAGS_WORD = 7;
/** In a used descriptor: length and id, then the flags. */
const USED_OFFSET = 8;
const USED_BYTES_BEFORE_FLAGS = 6;
const NO_SLOT = -1;

/** Makes the device's end of a packed queue. Throws RingViolation for a size, addresses or a state that can't be. */
export function createPackedDeviceQueue(options: DeviceQueueOptions): PackedDeviceQueue {
  return new PackedDeviceQueue(options);
}

/** See the file's head. */
export class PackedDeviceQueue implements DeviceQueue {
  readonly size: number;
  readonly #indirect: boolean;
  readonly #reader: DescriptorReader;
  readonly #ring: RingMemory;
  readonly #driverEvent: EventWords;
  readonly #deviceEvent: EventWords;

  /** Where the next chain is looked for, and where the next used descriptor goes. */
  readonly #available: RingPosition;
  readonly #usedAt: RingPosition;
  /** Slots of chains that were taken and not returned. */
  #inFlightSlots: number;
  /** Since the last flush: the first used descriptor, whose flags are still to be written, and the slots returned. */
  #heldSlot = NO_SLOT;
  #heldFlags = 0;
  #pushedSlots = 0;
  #violation: RingViolation | null = null;
  #closed = false;

  constructor(options: DeviceQueueOptions) {
    const { memory, addresses, eventIndex } = options;
    checkAddresses(memory, addresses);
    const { size, descriptors, driver, device } = addresses;
    this.size = size;
    this.#indirect = options.indirect;
    this.#reader = new DescriptorReader(memory);
    this.#ring = memory.ringMemory(descriptors, packedRingBytes(size));
    this.#driverEvent = new EventWords(memory.ringMemory(driver, EventSuppression.BYTES), 0, eventIndex);
    this.#deviceEvent = new EventWords(memory.ringMemory(device, EventSuppression.BYTES), 0, eventIndex);
    const { available, used, inFlightSlots } = checkState(options.state, size);
    this.#available = available;
    this.#usedAt = used;
    this.#inFlightSlots = inFlightSlots;
  }

  get closed(): boolean {
    return this.#closed;
  }

  pop(chain: Chain): boolean {
    if (this.#closed) return false;
    if (this.#violation !== null) throw this.#violation;
    if (!this.#isNextAvailable()) return false;
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
    assert(chain.slots > 0 && chain.slots <= this.#inFlightSlots, "a chain is returned once");
    assert(byteLength >= 0 && byteLength <= chain.writableBytes, "a device writes no more than the writable part");
    const ring = this.#ring;
    const { slot } = this.#usedAt;
    const flags = this.#usedAt.usedBits | (byteLength > 0 ? WRITE : 0);
    ring.u32[slot * 4 + 2] = byteLength;
    ring.u16[slot * SLOT_WORDS + ID_WORD] = chain.id;
    ring.publish(slot * DESCRIPTOR_BYTES + USED_OFFSET, USED_BYTES_BEFORE_FLAGS);
    if (this.#heldSlot === NO_SLOT) {
      this.#heldSlot = slot;
      this.#heldFlags = flags;
    } else {
      // The driver takes them in order: behind the one that is held back it does not look.
      ring.store16(slot * SLOT_WORDS + FLAGS_WORD, flags);
    }
    this.#usedAt.advance(chain.slots);
    this.#inFlightSlots -= chain.slots;
    this.#pushedSlots += chain.slots;
  }

  flush(): boolean {
    if (this.#closed || this.#heldSlot === NO_SLOT) return false;
    this.#ring.store16(this.#heldSlot * SLOT_WORDS + FLAGS_WORD, this.#heldFlags);
    const slots = this.#pushedSlots;
    this.#heldSlot = NO_SLOT;
    this.#pushedSlots = 0;
    return this.#driverEvent.wants(this.#usedAt, slots, this.size);
  }

  enableNotifications(): boolean {
    if (this.#closed || this.#violation !== null) return false;
    this.#deviceEvent.ask(this.#available);
    return this.#isNextAvailable();
  }

  disableNotifications(): void {
    if (this.#closed) return;
    this.#deviceEvent.decline();
  }

  save(): DeviceQueueState {
    return {
      availableIndex: this.#available.slot,
      usedIndex: this.#usedAt.slot,
      availableWrap: this.#available.wrap,
      usedWrap: this.#usedAt.wrap,
    };
  }

  /** Touches the ring no more, whoever still holds a chain: after a reset of the device or the queue. */
  close(): void {
    this.#closed = true;
  }

  #isNextAvailable(): boolean {
    return this.#available.isAvailable(this.#ring.load16(this.#available.slot * SLOT_WORDS + FLAGS_WORD));
  }

  #take(chain: Chain): void {
    const reader = this.#reader;
    reader.begin(chain, this.#ring.u32, 0);
    const slots = this.#walk(chain);
    reader.end();
    chain.slots = slots;
    this.#available.advance(slots);
    this.#inFlightSlots += slots;
  }

  /** Follows the chain at the next available slot, and takes its buffer id from its last descriptor; returns its slots. */
  #walk(chain: Chain): number {
    const reader = this.#reader;
    const room = this.size - this.#inFlightSlots;
    let index = this.#available.slot;
    for (let slots = 1; slots <= room; slots += 1) {
      this.#ring.refresh(index * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES);
      reader.load(index);
      // Here the fourth word is the id, then the flags.
      const flags = reader.next;
      chain.id = reader.flags;
      if ((flags & INDIRECT) !== 0) {
        if (!this.#indirect) throw new RingViolation("an indirect descriptor, which was not negotiated");
        if ((flags & NEXT) !== 0) throw new RingViolation("an indirect descriptor that goes on");
        this.#readTable(reader.enterTable());
        return slots;
      }
      reader.accept((flags & WRITE) !== 0);
      if ((flags & NEXT) === 0) return slots;
      index = index + 1 === this.size ? 0 : index + 1;
    }
    throw new RingViolation(`a chain goes on beyond the ${room} of ${this.size} slots that are not in flight`);
  }

  /** An indirect table is all one buffer; but for WRITE its flags mean nothing (2.8.8). */
  #readTable(entries: number): void {
    const reader = this.#reader;
    for (let index = 0; index < entries; index += 1) {
      reader.load(index);
      reader.accept((reader.next & WRITE) !== 0);
    }
  }
}

function checkAddresses(memory: GuestMemory, { size, descriptors, driver, device }: QueueAddresses): void {
  if (!isPackedSize(size)) throw new RingViolation(`a packed queue can't have ${size} entries`);
  const parts = [
    ["descriptor ring", descriptors, packedRingBytes(size), DESCRIPTOR_ALIGNMENT],
    ["driver event suppression", driver, EventSuppression.BYTES, EventSuppression.ALIGNMENT],
    ["device event suppression", device, EventSuppression.BYTES, EventSuppression.ALIGNMENT],
  ] as const;
  for (const [name, address, byteLength, alignment] of parts) {
    if (address % alignment !== 0) throw new RingViolation(`the ${name} at ${address} is not aligned to ${alignment}`);
    if (!memory.contains(address, byteLength)) {
      throw new RingViolation(`the ${name} at ${address} lies outside guest memory`);
    }
  }
}

function checkState(
  state: DeviceQueueState | undefined,
  size: number,
): { readonly available: RingPosition; readonly used: RingPosition; readonly inFlightSlots: number } {
  if (state === undefined) {
    return { available: new RingPosition(size), used: new RingPosition(size), inFlightSlots: 0 };
  }
  const { availableIndex, usedIndex, availableWrap, usedWrap } = state;
  for (const index of [availableIndex, usedIndex]) {
    if (!Number.isInteger(index) || index < 0 || index >= size)
      throw new RingViolation(`${index} is no slot of ${size}`);
  }
  for (const wrap of [availableWrap, usedWrap]) {
    if (typeof wrap !== "boolean") throw new RingViolation(`${String(wrap)} is no wrap counter`);
  }
  const inFlightSlots = availableIndex - usedIndex + (availableWrap === usedWrap ? 0 : size);
  if (inFlightSlots < 0 || inFlightSlots > size) {
    throw new RingViolation(`${inFlightSlots} slots in flight in a queue of ${size}`);
  }
  return {
    available: new RingPosition(size, availableIndex, availableWrap),
    used: new RingPosition(size, usedIndex, usedWrap),
    inFlightSlots,
  };
}

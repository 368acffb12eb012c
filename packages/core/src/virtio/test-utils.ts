/**
 * A driver for tests of devices: writes rings and descriptors field by field into guest memory, as wrong as the test
 * wants them, and reads back what the device wrote. Shipped, so that other devices can be tested with it.
 */
import type { GuestMemory } from "../memory/guest-memory.ts";
import {
  AvailableRing,
  DESCRIPTOR_BYTES,
  DescriptorFlag,
  EventSuppression,
  UsedRing,
  availableEventOffset,
  availableRingBytes,
  usedEventOffset,
} from "../wire/ring.ts";
import type { QueueAddresses } from "./transport.ts";

/** A descriptor as it stands in a table. Missing fields are 0. */
export interface MockDescriptor {
  readonly address?: number | bigint;
  readonly length?: number;
  /** Of {@link DescriptorFlag}. */
  readonly flags?: number;
  /** Split: the next descriptor. */
  readonly next?: number;
  /** Packed: the buffer id. */
  readonly id?: number;
}

class MockMemory {
  readonly #memory: GuestMemory;
  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  write(address: number, value: number | bigint, byteLength: number): void {
    let left = BigInt.asUintN(8 * byteLength, BigInt(value));
    const bytes = new Uint8Array(byteLength);
    for (let index = 0; index < byteLength; index += 1, left >>= 8n) bytes[index] = Number(left & 0xffn);
    this.#memory.write(address, bytes);
  }

  read(address: number, byteLength: number): number {
    const bytes = new Uint8Array(byteLength);
    this.#memory.read(address, bytes);
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  }
}

/** A split queue's driver. The rings lie one after another from `address`. */
export class MockSplitDriver {
  readonly addresses: QueueAddresses;
  readonly #memory: MockMemory;
  #available = 0;

  constructor(memory: GuestMemory, options: { readonly size: number; readonly address: number }) {
    const { size, address } = options;
    const driver = address + DESCRIPTOR_BYTES * size;
    const device = Math.ceil((driver + availableRingBytes(size)) / UsedRing.ALIGNMENT) * UsedRing.ALIGNMENT;
    this.#memory = new MockMemory(memory);
    this.addresses = { size, descriptors: address, driver, device };
  }

  /** Writes a descriptor of the queue's table. */
  descriptor(index: number, fields: MockDescriptor): void {
    this.table(this.addresses.descriptors, index, fields);
  }

  /** Writes a descriptor of the table at `address`. */
  table(address: number, index: number, fields: MockDescriptor): void {
    const at = address + index * DESCRIPTOR_BYTES;
    this.#memory.write(at, fields.address ?? 0, 8);
    this.#memory.write(at + 8, fields.length ?? 0, 4);
    this.#memory.write(at + 12, fields.flags ?? 0, 2);
    this.#memory.write(at + 14, fields.next ?? 0, 2);
  }

  /** Writes descriptors `head`, `head + 1`, ... linked by NEXT, and makes the chain available. */
  chain(head: number, descriptors: readonly MockDescriptor[]): void {
    for (const [index, fields] of descriptors.entries()) {
      const last = index + 1 === descriptors.length;
      const flags = (fields.flags ?? 0) | (last ? 0 : DescriptorFlag.NEXT);
      this.descriptor(head + index, { next: last ? 0 : head + index + 1, ...fields, flags });
    }
    this.available(head);
  }

  /** Puts `head` into the available ring and moves the index. */
  available(head: number): void {
    const { driver, size } = this.addresses;
    this.#memory.write(driver + AvailableRing.RING + AvailableRing.ENTRY_BYTES * (this.#available % size), head, 2);
    this.#available = (this.#available + 1) & 0xffff;
    this.availableIndex(this.#available);
  }

  /** Writes the available index, right or wrong. */
  availableIndex(index: number): void {
    this.#memory.write(this.addresses.driver + AvailableRing.INDEX, index, 2);
  }

  availableFlags(flags: number): void {
    this.#memory.write(this.addresses.driver, flags, 2);
  }

  usedEvent(index: number): void {
    this.#memory.write(this.addresses.driver + usedEventOffset(this.addresses.size), index, 2);
  }

  get usedFlags(): number {
    return this.#memory.read(this.addresses.device, 2);
  }

  get usedIndex(): number {
    return this.#memory.read(this.addresses.device + UsedRing.INDEX, 2);
  }

  get availableEvent(): number {
    return this.#memory.read(this.addresses.device + availableEventOffset(this.addresses.size), 2);
  }

  /** The used element in slot `slot`. */
  used(slot: number): { readonly id: number; readonly length: number } {
    const at = this.addresses.device + UsedRing.RING + UsedRing.ENTRY_BYTES * slot;
    return { id: this.#memory.read(at, 4), length: this.#memory.read(at + 4, 4) };
  }
}

/** A packed queue's driver. The ring lies at `address`, the event suppression structures behind it. */
export class MockPackedDriver {
  readonly addresses: QueueAddresses;
  readonly #memory: MockMemory;
  #slot = 0;
  #wrap = true;

  constructor(memory: GuestMemory, options: { readonly size: number; readonly address: number }) {
    const { size, address } = options;
    const driver = address + DESCRIPTOR_BYTES * size;
    this.#memory = new MockMemory(memory);
    this.addresses = { size, descriptors: address, driver, device: driver + EventSuppression.BYTES };
  }

  /** Writes slot `index` of the ring, flags exactly as given. */
  descriptor(index: number, fields: MockDescriptor): void {
    this.table(this.addresses.descriptors, index, fields);
  }

  /** Writes a descriptor of the table at `address`. */
  table(address: number, index: number, fields: MockDescriptor): void {
    const at = address + index * DESCRIPTOR_BYTES;
    this.#memory.write(at, fields.address ?? 0, 8);
    this.#memory.write(at + 8, fields.length ?? 0, 4);
    this.#memory.write(at + 12, fields.id ?? 0, 2);
    this.#memory.write(at + 14, fields.flags ?? 0, 2);
  }

  /** Writes a chain to the next slots and makes it available, its first descriptor last. `id` goes into every descriptor. */
  chain(id: number, descriptors: readonly MockDescriptor[]): void {
    const writes = descriptors.map((fields, index) => {
      const flags =
        (fields.flags ?? 0) | (index + 1 === descriptors.length ? 0 : DescriptorFlag.NEXT) | this.#availableBits();
      const slot = this.#slot;
      this.#advance();
      return () => this.descriptor(slot, { id, ...fields, flags });
    });
    for (const write of writes.reverse()) write();
  }

  /** The driver's event suppression: `offset` with `wrap` as bit 15, and flags 0 enable, 1 disable, 2 at that descriptor. */
  driverEvent(offset: number, wrap: boolean, flags: number): void {
    this.#memory.write(this.addresses.driver, offset | (wrap ? 0x8000 : 0), 2);
    this.#memory.write(this.addresses.driver + 2, flags, 2);
  }

  /** The device's event suppression. */
  get deviceEvent(): { readonly offset: number; readonly wrap: boolean; readonly flags: number } {
    const word = this.#memory.read(this.addresses.device, 2);
    const flags = this.#memory.read(this.addresses.device + 2, 2);
    return { offset: word & 0x7fff, wrap: (word & 0x8000) !== 0, flags };
  }

  /** Slot `slot` of the ring as it stands. */
  slot(slot: number): { readonly id: number; readonly length: number; readonly flags: number } {
    const at = this.addresses.descriptors + slot * DESCRIPTOR_BYTES;
    return {
      id: this.#memory.read(at + 12, 2),
      length: this.#memory.read(at + 8, 4),
      flags: this.#memory.read(at + 14, 2),
    };
  }

  #availableBits(): number {
    return this.#wrap ? DescriptorFlag.AVAIL : DescriptorFlag.USED;
  }

  #advance(): void {
    this.#slot += 1;
    if (this.#slot < this.addresses.size) return;
    this.#slot = 0;
    this.#wrap = !this.#wrap;
  }
}

/**
 * The smallest guest that can talk to a virtio-gpu: split rings at fixed addresses, batches of requests, busy waiting
 * (VIRTIO 1.2 section 2.7). Its rings are written by hand, without the core's, so that neither can hide the other's
 * mistakes; what it knows of a device is a {@link GuestPort}, so that two devices can be given exactly the same.
 */
import { GpuError } from "@virtgpu/core/base";
import type { PositionedFile } from "@virtgpu/core/memory";
import { requestBytes } from "./raw-commands.ts";
import { brokenRing, type RingViolationKind } from "./ring-violations.ts";

/** Control queue or cursor queue. */
export type QueueIndex = 0 | 1;

/** Where the parts of a split queue lie. */
export interface PortQueue {
  readonly size: number;
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

/** A device as this guest needs it. */
export interface GuestPort {
  /** Guest RAM: positions are guest-physical addresses. */
  readonly ram: PositionedFile;
  /** Resets the device (status 0) and brings it up to DRIVER_OK with these features and queues. */
  bringUp(features: bigint, queues: readonly PortQueue[]): void;
  notify(queue: QueueIndex): void;
  /** The device status. */
  status(): number;
  /** RING_RESET: resets one queue, and enables it again. */
  resetQueue(queue: QueueIndex, as: PortQueue): void;
}

/** One request, and how its buffers are cut into descriptors. */
export interface GuestRequest {
  readonly request: Uint8Array;
  /** Bytes of each device-readable piece; together the request's. */
  readonly readable: readonly number[];
  /** Bytes of each device-writable piece. */
  readonly writable: readonly number[];
  /** Whether the chain is an indirect table. */
  readonly indirect: boolean;
  /** The last piece of this part lies where no memory is. */
  readonly outside?: "readable" | "writable";
}

/** What became of a request. */
export interface GuestAnswer {
  /** Bytes the device says it wrote; null when the request was never returned. */
  readonly used: number | null;
  /** Position among the batch's used elements, from 0; -1 when it was never returned. */
  readonly order: number;
  /** The whole reply buffer, 0xaa where nothing was written. */
  readonly reply: Uint8Array;
}

const RINGS = 0x100000;
const RING_BYTES = 0x3000;
const BUFFERS = 0x110000;
const BUFFERS_END = 0x200000;
/** Guest RAM from here on is the caller's; what lies below, down to 1 MiB, is the guest's own. */
export const FREE_MEMORY: number = BUFFERS_END;

/** An address where a machine of less than 2 GiB has no memory, nor anything else. */
const OUTSIDE = 0x90000000;

/** Sizes of the two queues: what QEMU offers at most. */
const QUEUE_SIZES = [64, 16] as const;
const UNWRITTEN = 0xaa;
const NEEDS_RESET = 0x40;
const [NEXT, WRITE, INDIRECT] = [1, 2, 4];
/** Looks at the used ring before a device counts as hung: half a minute or more. */
const LOOKS_MAX = 300_000;
/** Looks without a pause; then pauses of so many milliseconds, and now and then a look at the status. */
const BUSY_LOOKS = 100;
const PAUSE_MS = 0.1;
const STATUS_EVERY = 50;
/** Nobody ever wakes this. */
const NEVER = new Int32Array(new SharedArrayBuffer(4));
/** The same for a device that need not do anything; each look is a register access. */
const VIOLATION_LOOKS_MAX = 2000;

/** A request whose answer tells that all before it have been handled. It changes nothing. */
const SENTINELS: readonly GuestRequest[] = [
  whole(requestBytes({ command: "get_display_info" }), 408),
  whole(
    requestBytes({
      command: "move_cursor",
      cursor: { scanout_id: 99, x: 0, y: 0, resource_id: 0, hot_x: 0, hot_y: 0 },
    }),
    0,
  ),
];

/** A request in one piece, with a reply buffer of `capacity` bytes, or without one if that is 0. */
export function whole(request: Uint8Array, capacity: number): GuestRequest {
  return { request, readable: [request.length], writable: capacity === 0 ? [] : [capacity], indirect: false };
}

interface Ring extends PortQueue {
  readonly free: number[];
  availableIndex: number;
  usedIndex: number;
}

interface Descriptor {
  readonly address: number;
  readonly byteLength: number;
  readonly flags: number;
  next: number;
}

/** One request as it lies in memory. */
interface Placed {
  readonly head: number;
  readonly descriptors: readonly number[];
  readonly replies: readonly { readonly offset: number; readonly byteLength: number }[];
}

/** The buffers of one batch, written to memory at once. Pieces lie apart, at odd addresses too. */
class BufferBlock {
  readonly bytes: Uint8Array = new Uint8Array(BUFFERS_END - BUFFERS);
  length: number = 0;

  place(byteLength: number, alignment: number): number {
    const offset = Math.ceil(this.length / alignment) * alignment;
    const end = offset + byteLength + 3;
    if (end > this.bytes.length) throw new GpuError("EINVAL", "the batch does not fit the guest's buffers");
    this.bytes.fill(UNWRITTEN, this.length, end);
    this.length = end;
    return offset;
  }
}

function descriptorBytes({ address, byteLength, flags, next }: Descriptor): Uint8Array {
  return new Uint8Array(Uint32Array.of(address, 0, byteLength, flags | (next << 16)).buffer);
}

/** Copies a request's buffers into the block, and gives the descriptors of its chain. */
function layOut(
  block: BufferBlock,
  { request, readable, writable, outside }: GuestRequest,
): Pick<Placed, "replies"> & {
  readonly chain: Descriptor[];
} {
  const chain: Descriptor[] = [];
  let taken = 0;
  for (const byteLength of readable) {
    const offset = block.place(byteLength, 1);
    block.bytes.set(request.subarray(taken, taken + byteLength), offset);
    taken += byteLength;
    chain.push({ address: BUFFERS + offset, byteLength, flags: 0, next: 0 });
  }
  const replies = writable.map((byteLength) => ({ offset: block.place(byteLength, 1), byteLength }));
  for (const { offset, byteLength } of replies) {
    chain.push({ address: BUFFERS + offset, byteLength, flags: WRITE, next: 0 });
  }
  const moved = outside === undefined ? -1 : outside === "readable" ? readable.length - 1 : chain.length - 1;
  const descriptor = chain[moved];
  if (descriptor !== undefined) chain[moved] = { ...descriptor, address: OUTSIDE };
  return { chain, replies };
}

/** See the file's head. */
export class RingGuest {
  readonly #port: GuestPort;
  readonly #block = new BufferBlock();
  #rings: readonly Ring[] = [];

  constructor(port: GuestPort) {
    this.#port = port;
  }

  /** Resets the device and starts afresh. `features` are the bits to accept. */
  reset(features: bigint): void {
    this.#rings = [this.#freshRing(0), this.#freshRing(1)];
    this.#port.bringUp(features, this.#rings);
  }

  /** Resets one queue, which RING_RESET must have been accepted for; what it holds is forgotten. */
  resetQueue(queue: QueueIndex): void {
    const fresh = this.#freshRing(queue);
    this.#rings = this.#rings.with(queue, fresh);
    this.#port.resetQueue(queue, fresh);
  }

  /** Zeroed memory for a ring, and the account of it. */
  #freshRing(index: QueueIndex): Ring {
    const size = QUEUE_SIZES[index];
    const base = RINGS + index * RING_BYTES;
    this.#port.ram.writeAt(base, new Uint8Array(RING_BYTES));
    const free = Array.from({ length: size }, (_, descriptor) => size - 1 - descriptor);
    const places = { descriptors: base, available: base + 0x1000, used: base + 0x2000 };
    return { size, ...places, free, availableIndex: 0, usedIndex: 0 };
  }

  /** The device status. */
  status(): number {
    return this.#port.status();
  }

  /** Whether the queue has descriptors left for these (and the one behind them): unanswered requests keep theirs. */
  hasRoom(queue: QueueIndex, requests: readonly GuestRequest[]): boolean {
    const needed = requests.map(({ readable, writable, indirect }) =>
      indirect ? 1 : readable.length + writable.length,
    );
    return needed.reduce((sum, count) => sum + count, 2) <= (this.#rings[queue]?.free.length ?? 0);
  }

  /**
   * Makes all requests available at once, and waits until the device has handled them: until `awaitAll` of them are
   * used, or (for a device may leave a request unanswered) until a harmless request behind them is. Ends early when the
   * device needs a reset.
   */
  submit(queue: QueueIndex, requests: readonly GuestRequest[], awaitAll: boolean = false): readonly GuestAnswer[] {
    const ring = this.#rings[queue];
    const sentinel = SENTINELS[queue];
    if (ring === undefined || sentinel === undefined) throw new GpuError("EBUSY", "the guest was not started");
    const block = this.#block;
    block.length = 0;
    const all = awaitAll ? requests : [...requests, sentinel];
    const placed = all.map((request) => this.#place(ring, block, request));
    const { ram } = this.#port;
    ram.writeAt(BUFFERS, block.bytes.subarray(0, block.length));
    const heads = placed.map(({ head }) => head);
    for (const [index, head] of heads.entries()) {
      const slot = (ring.availableIndex + index) % ring.size;
      ram.writeAt(ring.available + 4 + 2 * slot, Uint8Array.of(head & 0xff, head >> 8));
    }
    ring.availableIndex = (ring.availableIndex + heads.length) & 0xffff;
    ram.writeAt(ring.available + 2, Uint8Array.of(ring.availableIndex & 0xff, ring.availableIndex >> 8));
    this.#port.notify(queue);
    const used = this.#await(ring, awaitAll ? heads.length : 1, awaitAll ? null : (heads.at(-1) ?? null));
    return this.#collect(ring, block, placed.slice(0, requests.length), used);
  }

  /**
   * Breaks the rules of a ring, and waits until the device has noticed: "broken" when it asks for a reset, "returned"
   * when it returned the chain, "nothing" when neither happens. The queue is of no more use until a reset.
   */
  violate(queue: QueueIndex, kind: RingViolationKind): "broken" | "returned" | "nothing" {
    const ring = this.#rings[queue];
    if (ring === undefined) throw new GpuError("EBUSY", "the guest was not started");
    const { ram } = this.#port;
    const { descriptors, table, head } = brokenRing(kind, BUFFERS, ring.size);
    const bytes = (list: typeof table): Uint8Array =>
      Buffer.concat(
        list.map(([address, byteLength, flags, next]) => descriptorBytes({ address, byteLength, flags, next })),
      );
    ram.writeAt(BUFFERS, new Uint8Array(4096));
    ram.writeAt(BUFFERS, bytes(table));
    ram.writeAt(ring.descriptors, bytes(descriptors));
    const slot = ring.availableIndex % ring.size;
    ram.writeAt(ring.available + 4 + 2 * slot, Uint8Array.of(head & 0xff, head >> 8));
    const index = (ring.availableIndex + 1) & 0xffff;
    ram.writeAt(ring.available + 2, Uint8Array.of(index & 0xff, index >> 8));
    this.#port.notify(queue);
    const used = new Uint8Array(2);
    for (let looks = 0; looks < VIOLATION_LOOKS_MAX; looks += 1) {
      if ((this.#port.status() & NEEDS_RESET) !== 0) return "broken";
      ram.readAt(ring.used + 2, used);
      if ((used[0] ?? 0) + 256 * (used[1] ?? 0) !== ring.usedIndex) return "returned";
    }
    return "nothing";
  }

  /** Writes a request's buffers into the block and its chain into the descriptor table. */
  #place(ring: Ring, block: BufferBlock, request: GuestRequest): Placed {
    const { chain, replies } = layOut(block, request);
    const descriptors = request.indirect
      ? [this.#take(ring, this.#indirect(block, chain))]
      : chain.map((descriptor) => this.#take(ring, descriptor));
    if (!request.indirect) this.#link(ring, descriptors, chain);
    return { head: descriptors[0] ?? 0, descriptors, replies };
  }

  #take(ring: Ring, descriptor: Descriptor): number {
    const index = ring.free.pop();
    if (index === undefined) throw new GpuError("EINVAL", "the batch has more descriptors than the queue");
    this.#port.ram.writeAt(ring.descriptors + 16 * index, descriptorBytes(descriptor));
    return index;
  }

  #link(ring: Ring, descriptors: readonly number[], chain: readonly Descriptor[]): void {
    for (const [position, index] of descriptors.entries()) {
      const descriptor = chain[position];
      const next = descriptors[position + 1];
      if (descriptor === undefined || next === undefined) continue;
      const bytes = descriptorBytes({ ...descriptor, flags: descriptor.flags | NEXT, next });
      this.#port.ram.writeAt(ring.descriptors + 16 * index, bytes);
    }
  }

  #indirect(block: BufferBlock, chain: readonly Descriptor[]): Descriptor {
    const byteLength = 16 * chain.length;
    const offset = block.place(byteLength, 16);
    for (const [index, descriptor] of chain.entries()) {
      const isLast = index === chain.length - 1;
      const flags = descriptor.flags | (isLast ? 0 : NEXT);
      block.bytes.set(descriptorBytes({ ...descriptor, flags, next: isLast ? 0 : index + 1 }), offset + 16 * index);
    }
    return { address: BUFFERS + offset, byteLength, flags: INDIRECT, next: 0 };
  }

  /** Used elements as pairs of head and length, until `count` are there, or the one named `last`. */
  #await(ring: Ring, count: number, last: number | null): readonly (readonly [number, number])[] {
    // The index before the elements, in two reads: one read of both need not see them in the order they were written.
    const opening = new Uint8Array(4);
    const elements = new Uint8Array(8 * ring.size);
    const words = new Uint32Array(elements.buffer);
    const found: (readonly [number, number])[] = [];
    for (let looks = 0; looks < LOOKS_MAX; looks += 1) {
      this.#port.ram.readAt(ring.used, opening);
      const index = (opening[2] ?? 0) | ((opening[3] ?? 0) << 8);
      if (ring.usedIndex !== index) this.#port.ram.readAt(ring.used + 4, elements);
      while (ring.usedIndex !== index) {
        const slot = ring.usedIndex % ring.size;
        const head = words[2 * slot] ?? 0;
        found.push([head, words[2 * slot + 1] ?? 0]);
        ring.usedIndex = (ring.usedIndex + 1) & 0xffff;
        if (last === null ? found.length === count : head === last) return found;
      }
      // Busy at first; then the processor may be wanted by the device, and it may be dead or broken.
      if (looks < BUSY_LOOKS) continue;
      Atomics.wait(NEVER, 0, 0, PAUSE_MS);
      if (looks % STATUS_EVERY === 0 && (this.#port.status() & NEEDS_RESET) !== 0) return found;
    }
    throw new GpuError("ETIMEDOUT", "the device does not answer");
  }

  #collect(
    ring: Ring,
    block: BufferBlock,
    placed: readonly Placed[],
    used: readonly (readonly [number, number])[],
  ): readonly GuestAnswer[] {
    this.#port.ram.readAt(BUFFERS, block.bytes.subarray(0, block.length));
    return placed.map(({ head, descriptors, replies }): GuestAnswer => {
      const order = used.findIndex(([id]) => id === head);
      // What was not returned is still the device's.
      if (order >= 0) ring.free.push(...descriptors);
      const pieces = replies.map(({ offset, byteLength }) => block.bytes.subarray(offset, offset + byteLength));
      return { used: used[order]?.[1] ?? null, order, reply: Uint8Array.from(Buffer.concat(pieces)) };
    });
  }
}

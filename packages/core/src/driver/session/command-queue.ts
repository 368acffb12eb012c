/**
 * A virtqueue as a queue of commands: slots for requests and replies, deadlines, quarantine, drain.
 *
 * A command is written in place and handed over without an allocation:
 *
 *     if (queue.begin(FLUSH_BYTES, HEADER_BYTES)) {
 *       writeHeader(queue.u32, queue.at, ...); writeResourceFlush(queue.u32, queue.at, ...);
 *       queue.submit(owner, step, resourceId);
 *     }
 *     queue.kick();   // once for many
 *
 * Fate of a command (contract 1): its owner hears exactly one of `replied` and `ended`; `expired` may come before, once.
 * Until `replied`, or until a reset is confirmed, slot, request, reply and whatever the owner holds stay untouched, for
 * the host may still read or write them (R-05..R-08, R-44). A queue whose oldest command expired is `hung`: it takes no
 * new command until the host returns any buffer.
 */
import type { CancelTimer, Clock } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import type { Tracer } from "../../base/tracer.ts";
import { assert } from "../../base/assert.ts";
import type { RingMemory } from "../../memory/guest-memory.ts";
import { DescriptorList, type DriverQueue } from "../../virtio/queue.ts";
import { HEADER_BYTES } from "../../wire/index.ts";
import { traceCommand, traceReply } from "./command-trace.ts";
import { checkReply, isSuccess, type Reply } from "./reply.ts";

/** Bytes of one slot: a request of up to {@link SLOT_REQUEST_BYTES}, then a reply. */
export const SLOT_BYTES = 256;
const SLOT_REQUEST_BYTES = 160;
const SLOT_REPLY_BYTES = SLOT_BYTES - SLOT_REQUEST_BYTES;
/** How long a queue is idle before its watchdog is taken off: a timer each time it empties would cost as much as a command. */
const REST_MS = 20;

/** Who asked for a command, and hears what became of it. `step` is the owner's own. */
export interface CommandOwner {
  /** The device returned the command. `reply` is reused afterwards. */
  replied(step: number, reply: Reply): void;
  /** The deadline passed. What the command did is unknown until `replied` or `ended`. */
  expired(step: number, error: GpuError): void;
  /** This life of the device is over: no answer will come. */
  ended(step: number, error: GpuError): void;
}

/** What a command queue is made of. */
export interface CommandQueueParts {
  readonly name: "control" | "cursor";
  readonly device: string;
  readonly ring: DriverQueue;
  /** Commands that may be in flight at once: ring slots with indirect descriptors, half of them without. */
  readonly slotCount: number;
  /** `slotCount * SLOT_BYTES`. */
  readonly slots: RingMemory;
  readonly slotsAddress: number;
  /** For requests and replies that don't fit a slot. Null on queues that have none. */
  readonly arena: { readonly memory: RingMemory; readonly address: number } | null;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly deadlineMs: number;
  notify(): void;
  /** Called after completions made room, once per batch. */
  onRoom(): void;
  /** The device broke the protocol of the ring. */
  onBroken(reason: string): void;
  /** The oldest command passed its deadline. */
  onHung(error: GpuError): void;
  /** A hung queue answers again. */
  onAlive(): void;
}

interface IdleWaiter {
  resolve(): void;
  reject(error: GpuError): void;
  cancel: CancelTimer;
}

/** See the file's head. */
export class CommandQueue {
  readonly slotCount: number;
  /** Where {@link begin} lets the caller write, in words. */
  u32: Uint32Array;
  at: number = 0;

  readonly #parts: CommandQueueParts;
  readonly #list: DescriptorList = new DescriptorList(4);
  readonly #freeSlots: Int32Array;
  #freeCount: number;
  readonly #slotOfId: Int32Array;
  // Per slot, while in flight.
  readonly #owners: (CommandOwner | null)[];
  readonly #steps: Int32Array;
  readonly #commands: Int32Array;
  readonly #objects: Uint32Array;
  readonly #fences: Float64Array;
  readonly #replyBytes: Int32Array;
  readonly #arenaAt: Int32Array;
  readonly #arenaReplyAt: Int32Array;
  readonly #sequences: Float64Array;
  readonly #deadlines: Float64Array;
  readonly #expired: Uint8Array;
  readonly #reply: Reply;
  readonly #replyScratch: Uint32Array;

  #slot = -1;
  #requestBytes = 0;
  #beginReplyBytes = 0;
  #beginArenaAt = -1;
  #beginReplyAt = -1;
  #arenaTop = 0;
  #arenaUsers = 0;
  #outstanding = 0;
  #sequence = 0;
  #unkicked = 0;
  #batchTimeMs = -1;
  #hung = false;
  #closed: GpuError | null = null;
  #processing = false;
  #watchdog: CancelTimer | null = null;
  #rest: CancelTimer | null = null;
  readonly #idle: Set<IdleWaiter> = new Set();

  constructor(parts: CommandQueueParts) {
    const count = parts.slotCount;
    this.#parts = parts;
    this.slotCount = count;
    this.u32 = parts.slots.u32;
    this.#freeSlots = Int32Array.from({ length: count }, (_, index) => count - 1 - index);
    this.#freeCount = count;
    this.#slotOfId = new Int32Array(parts.ring.size).fill(-1);
    this.#owners = new Array<CommandOwner | null>(count).fill(null);
    this.#steps = new Int32Array(count);
    this.#commands = new Int32Array(count);
    this.#objects = new Uint32Array(count);
    this.#fences = new Float64Array(count);
    this.#replyBytes = new Int32Array(count);
    this.#arenaAt = new Int32Array(count).fill(-1);
    this.#arenaReplyAt = new Int32Array(count).fill(-1);
    this.#sequences = new Float64Array(count);
    this.#deadlines = new Float64Array(count);
    this.#expired = new Uint8Array(count);
    this.#replyScratch = new Uint32Array(SLOT_REPLY_BYTES >> 2);
    this.#reply = { type: 0, error: null, byteLength: 0, words: this.#replyScratch };
  }

  /** Commands with the host, expired ones included. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** Commands that may be begun now. 0 when hung or closed. */
  get room(): number {
    return this.#hung || this.#closed !== null ? 0 : this.#freeCount;
  }

  get hung(): boolean {
    return this.#hung;
  }

  /** Whether the host owes an answer whose deadline passed: it may have forgotten the command. */
  get isOverdue(): boolean {
    return this.#owners.some((owner, slot) => owner !== null && this.#expired[slot] === 1);
  }

  /** The largest request or reply this queue can carry, in bytes. */
  get largestBytes(): number {
    return this.#parts.arena?.memory.byteLength ?? SLOT_REQUEST_BYTES;
  }

  /** True when every buffer is back and the completion work rests (contract 11, R-02). */
  get quiet(): boolean {
    return this.#outstanding === 0 && !this.#processing;
  }

  /**
   * Makes room for a request of `requestBytes` and a reply of `replyBytes` (0: none), and points `u32` and `at` at it.
   * False when there is no room now: wait for `onRoom`. A request beyond {@link largestBytes} never fits.
   */
  begin(requestBytes: number, replyBytes: number): boolean {
    assert(this.#slot === -1, "begin without submit");
    if (this.room === 0) return false;
    const slot = this.#freeSlots[this.#freeCount - 1] ?? -1;
    this.#beginArenaAt = requestBytes > SLOT_REQUEST_BYTES ? this.#takeArena(requestBytes) : -1;
    if (requestBytes > SLOT_REQUEST_BYTES && this.#beginArenaAt < 0) return false;
    this.#beginReplyAt = replyBytes > SLOT_REPLY_BYTES ? this.#takeArena(replyBytes) : -1;
    if (replyBytes > SLOT_REPLY_BYTES && this.#beginReplyAt < 0) {
      if (this.#beginArenaAt >= 0) this.#releaseArena();
      return false;
    }
    this.#freeCount -= 1;
    this.#slot = slot;
    this.#requestBytes = requestBytes;
    this.#beginReplyBytes = replyBytes;
    const inArena = this.#beginArenaAt >= 0 && this.#parts.arena !== null;
    this.u32 = inArena && this.#parts.arena !== null ? this.#parts.arena.memory.u32 : this.#parts.slots.u32;
    this.at = (inArena ? this.#beginArenaAt : slot * SLOT_BYTES) >> 2;
    return true;
  }

  /** Hands over what was written since {@link begin}. The device may see it at once; {@link kick} tells it. */
  submit(owner: CommandOwner, step: number, object: number, fence: number = 0): void {
    const slot = this.#slot;
    assert(slot !== -1, "submit without begin");
    this.#slot = -1;
    const type = this.u32[this.at] ?? 0;
    this.#owners[slot] = owner;
    this.#steps[slot] = step;
    this.#commands[slot] = type;
    this.#objects[slot] = object;
    this.#fences[slot] = fence;
    this.#replyBytes[slot] = this.#beginReplyBytes;
    this.#arenaAt[slot] = this.#beginArenaAt;
    this.#arenaReplyAt[slot] = this.#beginReplyAt;
    this.#expired[slot] = 0;
    this.#sequences[slot] = this.#sequence;
    if (this.#batchTimeMs < 0) this.#batchTimeMs = this.#parts.clock.nowMs();
    this.#deadlines[slot] = this.#batchTimeMs + this.#parts.deadlineMs;
    this.#outstanding += 1;
    this.#unkicked += 1;
    this.#publish(slot);
    if (this.#parts.tracer.enabled) this.#traceCommand(type, object);
    this.#sequence += 1;
  }

  /** Tells the device about everything submitted since the last kick; false when that is nothing. */
  kick(): boolean {
    if (this.#unkicked === 0 || this.#closed !== null) return false;
    this.#unkicked = 0;
    this.#batchTimeMs = -1;
    this.#armWatchdog();
    if (!this.#parts.ring.shouldNotify()) return true;
    if (this.#parts.tracer.enabled)
      this.#parts.tracer.trace({ kind: "kick", device: this.#parts.device, queue: this.#parts.name });
    this.#parts.notify();
    return true;
  }

  /** The completion worker: takes every used buffer, then re-arms interrupts. Spurious calls are harmless. */
  process(): void {
    if (this.#closed !== null || this.#processing) return;
    this.#processing = true;
    const { ring } = this.#parts;
    let completed = 0;
    try {
      do {
        ring.disableInterrupts();
        // Whoever hears of a completion may end this life on the spot: the ring is then nobody's to look at.
        while (this.#closed === null && ring.pop()) {
          completed += 1;
          this.#complete(ring.used.id, ring.used.byteLength);
        }
      } while (this.#closed === null && ring.broken === null && ring.enableInterrupts());
    } finally {
      this.#processing = false;
    }
    this.#afterProcess(completed > 0);
  }

  #afterProcess(madeRoom: boolean): void {
    if (this.#closed !== null) return;
    if (this.#parts.ring.broken !== null) {
      this.#parts.onBroken(this.#parts.ring.broken);
      return;
    }
    if (madeRoom) {
      if (this.#hung) {
        this.#hung = false;
        this.#parts.onAlive();
      }
      this.#parts.onRoom();
    }
    if (!this.quiet) return;
    this.#wakeIdle();
    if (this.#watchdog !== null && this.#rest === null) this.#restSoon();
  }

  /** Resolves when nothing is outstanding and the completion work rests; ETIMEDOUT after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.quiet) return Promise.resolve();
    return new Promise<void>((resolve, reject) => {
      const waiter: IdleWaiter = {
        resolve,
        reject,
        cancel: this.#parts.clock.after(deadlineMs, () => {
          this.#idle.delete(waiter);
          reject(this.#timeout(`${this.#outstanding} commands still with the host after ${deadlineMs} ms`));
        }),
      };
      this.#idle.add(waiter);
    });
  }

  /** Ends this life: every owner hears `ended`, waiters reject, the ring is never touched again. */
  close(error: GpuError): void {
    if (this.#closed !== null) return;
    this.#closed = error;
    this.#takeOffWatchdog();
    this.#rest?.();
    this.#rest = null;
    for (const waiter of this.#idle) {
      waiter.cancel();
      waiter.reject(error);
    }
    this.#idle.clear();
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      const owner = this.#owners[slot];
      if (owner === null || owner === undefined) continue;
      this.#owners[slot] = null;
      owner.ended(this.#steps[slot] ?? 0, error);
    }
  }

  #publish(slot: number): void {
    const { slots, slotsAddress, arena, ring } = this.#parts;
    const list = this.#list;
    const base = slot * SLOT_BYTES;
    list.clear();
    if (this.#beginArenaAt >= 0 && arena !== null) {
      arena.memory.publish(this.#beginArenaAt, this.#requestBytes);
      list.pushReadable(arena.address + this.#beginArenaAt, this.#requestBytes);
    } else {
      slots.publish(base, this.#requestBytes);
      list.pushReadable(slotsAddress + base, this.#requestBytes);
    }
    if (this.#beginReplyBytes > 0) {
      const inArena = this.#beginReplyAt >= 0 && arena !== null;
      const address = inArena ? arena.address + this.#beginReplyAt : slotsAddress + base + SLOT_REQUEST_BYTES;
      list.pushWritable(address, this.#beginReplyBytes);
    }
    const id = ring.add(list);
    // Slots are sized so that the ring always has room; a ring without is one that broke under us.
    if (id >= 0) this.#slotOfId[id] = slot;
  }

  #complete(id: number, byteLength: number): void {
    const slot = this.#slotOfId[id] ?? -1;
    if (slot < 0) return;
    this.#slotOfId[id] = -1;
    const owner = this.#owners[slot] ?? null;
    const step = this.#steps[slot] ?? 0;
    const reply = this.#readReply(slot, byteLength);
    this.#owners[slot] = null;
    if ((this.#arenaAt[slot] ?? -1) >= 0) this.#releaseArena();
    if ((this.#arenaReplyAt[slot] ?? -1) >= 0) this.#releaseArena();
    this.#freeSlots[this.#freeCount] = slot;
    this.#freeCount += 1;
    this.#outstanding -= 1;
    owner?.replied(step, reply);
  }

  #readReply(slot: number, byteLength: number): Reply {
    const reply = this.#reply;
    const capacity = this.#replyBytes[slot] ?? 0;
    reply.error = null;
    reply.type = 0;
    reply.byteLength = 0;
    if (capacity > 0) {
      this.#copyReply(slot, Math.min(byteLength, capacity));
      reply.type = reply.byteLength >= HEADER_BYTES ? (reply.words[0] ?? 0) : 0;
      const command = this.#commands[slot] ?? 0;
      const fence = this.#fences[slot] ?? 0;
      if (!isSuccess(command, fence, reply.words, reply.byteLength)) {
        const { device } = this.#parts;
        const expected = { device, command, object: this.#objects[slot] ?? 0, fence };
        reply.error = checkReply(expected, reply.words, reply.byteLength);
      }
    }
    if (this.#parts.tracer.enabled) this.#traceReply(slot);
    return reply;
  }

  /** Copies before anything is looked at: the device may go on writing. */
  #copyReply(slot: number, byteLength: number): void {
    const { slots, arena } = this.#parts;
    const arenaAt = this.#arenaReplyAt[slot] ?? -1;
    const inArena = arenaAt >= 0 && arena !== null;
    const memory = inArena ? arena.memory : slots;
    const offset = inArena ? arenaAt : slot * SLOT_BYTES + SLOT_REQUEST_BYTES;
    const reply = this.#reply;
    memory.refresh(offset, byteLength);
    if (inArena) {
      reply.words = memory.u32.slice(offset >> 2, (offset + byteLength + 3) >> 2);
    } else {
      reply.words = this.#replyScratch;
      const end = (byteLength + 3) >> 2;
      for (let word = 0, from = offset >> 2; word < end; word += 1, from += 1)
        this.#replyScratch[word] = memory.u32[from] ?? 0;
    }
    reply.byteLength = byteLength;
  }

  /** The arena is a bump allocator that empties whenever its last user returns: large commands are few and short-lived. */
  #takeArena(byteLength: number): number {
    const { arena } = this.#parts;
    const rounded = (byteLength + 7) & ~7;
    if (arena === null || this.#arenaTop + rounded > arena.memory.byteLength) return -1;
    const at = this.#arenaTop;
    this.#arenaTop += rounded;
    this.#arenaUsers += 1;
    return at;
  }

  #releaseArena(): void {
    this.#arenaUsers -= 1;
    if (this.#arenaUsers === 0) this.#arenaTop = 0;
  }

  #armWatchdog(): void {
    if (this.#watchdog !== null || this.#outstanding === 0 || this.#closed !== null) return;
    const { clock } = this.#parts;
    const earliest = this.#earliestDeadline();
    if (earliest === Infinity) return;
    this.#watchdog = clock.after(Math.max(0, earliest - clock.nowMs()), () => {
      this.#watchdog = null;
      // Drained since: the device may be suspended, and its ring is not to be touched.
      if (this.#outstanding === 0) return;
      this.#expireOverdue();
      this.#armWatchdog();
    });
  }

  #takeOffWatchdog(): void {
    this.#watchdog?.();
    this.#watchdog = null;
  }

  /** An idle queue keeps no timer, so that nothing keeps an idle process alive. */
  #restSoon(): void {
    const sequence = this.#sequence;
    this.#rest = this.#parts.clock.after(REST_MS, () => {
      this.#rest = null;
      // Busy: it comes back here when it empties.
      if (this.#outstanding > 0) return;
      if (this.#sequence === sequence) this.#takeOffWatchdog();
      else this.#restSoon();
    });
  }

  #earliestDeadline(): number {
    let earliest = Infinity;
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      if (this.#owners[slot] === null || this.#expired[slot] === 1) continue;
      earliest = Math.min(earliest, this.#deadlines[slot] ?? Infinity);
    }
    return earliest;
  }

  #expireOverdue(): void {
    // An interrupt may have been lost: look at the ring before giving up on the host.
    this.process();
    const now = this.#parts.clock.nowMs();
    for (let slot = 0; slot < this.slotCount; slot += 1) {
      const owner = this.#owners[slot];
      if (owner === null || owner === undefined || this.#expired[slot] === 1) continue;
      if ((this.#deadlines[slot] ?? 0) > now) continue;
      this.#expired[slot] = 1;
      const error = this.#timeout(`no answer within ${this.#parts.deadlineMs} ms`);
      const first = !this.#hung;
      this.#hung = true;
      owner.expired(this.#steps[slot] ?? 0, error);
      if (first) this.#parts.onHung(error);
    }
  }

  #wakeIdle(): void {
    for (const waiter of this.#idle) {
      waiter.cancel();
      waiter.resolve();
    }
    this.#idle.clear();
  }

  #timeout(what: string): GpuError {
    return new GpuError("ETIMEDOUT", `${this.#parts.name} queue: ${what}`, { device: this.#parts.device });
  }

  #traceCommand(type: number, object: number): void {
    const { tracer, device, name: queue } = this.#parts;
    const { u32, at } = this;
    const request = { u32, at, byteLength: this.#requestBytes, capacity: this.#beginReplyBytes };
    traceCommand(tracer, { device, queue, sequence: this.#sequence, type, object }, request);
  }

  #traceReply(slot: number): void {
    const { tracer, device, name: queue } = this.#parts;
    const facts = { device, queue, sequence: this.#sequences[slot] ?? 0, type: this.#commands[slot] ?? 0 };
    traceReply(tracer, facts, this.#reply);
  }
}

/**
 * A device's end of a virtqueue on which commands go wrong by a plan ({@link CommandFaults}). It stands between the ring
 * and the device model, which notices nothing but that replies may be gone.
 *
 * What is held back is held back whole: not only the used element but the reply's bytes too. They are taken out of guest
 * memory and put there when the reply is let go, so a driver that gave the memory away meanwhile is found out.
 */
import { assert } from "../../base/assert.ts";
import { type GuestMemory, MemoryRangeError } from "../../memory/guest-memory.ts";
import { gather, scatter } from "../../memory/scatter-list.ts";
import { Chain, type DeviceQueue, type DeviceQueueState } from "../../virtio/queue.ts";
import { HeaderFlag } from "../../wire/gpu.ts";
import { HEADER_BYTES, type HeaderFields, readHeader, writeHeader } from "../../wire/gpu.gen.ts";
import { type CommandEffect, type CommandFaults, REQUEST_BYTES_SEEN, type SeenCommand } from "./command-faults.ts";

/** Bytes of a writable part that are kept aside while a reply is held: the longest reply and more. */
const REPLY_BYTES_MAX = 65_536;

/** What a {@link FaultyDeviceQueue} needs to know of the world around it. */
export interface FaultyQueueOptions {
  readonly memory: GuestMemory;
  /** Which queue it is. */
  readonly index: number;
  readonly faults: CommandFaults;
  /** Raises the queue's interrupt, for replies that go out of their own. */
  readonly interrupt: () => void;
  /** The host's process ends. */
  readonly die: (command: SeenCommand) => void;
  /** The device can't go on. */
  readonly breakDown: (reason: string) => void;
}

interface Taken {
  readonly command: SeenCommand;
  readonly effect: CommandEffect | null;
  /** What the writable part held before the model wrote to it. */
  readonly before: Uint8Array;
}

interface Held {
  readonly chain: Chain;
  readonly reply: Uint8Array;
  readonly byteLength: number;
  /** Replies still to go first; Infinity until released. */
  others: number;
}

/** See the file's head. */
export class FaultyDeviceQueue implements DeviceQueue {
  readonly #inner: DeviceQueue;
  readonly #options: FaultyQueueOptions;
  readonly #request: Uint32Array = new Uint32Array(REQUEST_BYTES_SEEN / 4);
  readonly #scratch: Chain = new Chain();
  // With the model, by chain id.
  readonly #taken: Map<number, Taken> = new Map();
  // Taken from the ring, not yet given to the model.
  #stash: { readonly chain: Chain; readonly taken: Taken }[] = [];
  #held: Held[] = [];
  #hanging = false;
  #closed = false;
  #duplicate: Chain | null = null;
  // The place of the next reply was given to a duplicate.
  #skipNext = false;

  constructor(inner: DeviceQueue, options: FaultyQueueOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  /** The real queue's. */
  get size(): number {
    return this.#inner.size;
  }

  /** Commands taken from the ring that the model was not given, and replies held back. */
  get pending(): number {
    return this.#stash.length + this.#held.length;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Gives the model the next chain that it is to have. Chains that are refused are answered here. */
  pop(chain: Chain): boolean {
    while (!this.#closed) {
      const next = this.#next();
      if (next === null) return false;
      const { effect, command } = next.taken;
      if (this.#hanging) {
        this.#stash.push({ chain: copyOf(next.chain), taken: next.taken });
        continue;
      }
      if (effect?.kind === "hang") {
        this.#hanging = true;
        this.#stash.unshift({ chain: copyOf(next.chain), taken: { ...next.taken, effect: null } });
        continue;
      }
      if (effect?.kind === "refuse") {
        this.#refuse(next.chain, command, effect.reply);
        continue;
      }
      if (effect?.kind === "die" || effect?.kind === "break") {
        this.#end(effect.kind, command);
        return false;
      }
      if (effect?.kind === "call") effect.run(command);
      this.#taken.set(next.chain.id, next.taken);
      copyChain(next.chain, chain);
      return true;
    }
    return false;
  }

  push(chain: Chain, byteLength: number): void {
    const taken = this.#taken.get(chain.id);
    this.#taken.delete(chain.id);
    const effect = taken?.effect ?? null;
    if (this.#closed) return;
    switch (effect?.kind) {
      case "hold":
        this.#hold(chain, byteLength, taken, Infinity);
        return;
      case "reorder":
        this.#hold(chain, byteLength, taken, effect.replies);
        return;
      case "slow": {
        const held = this.#hold(chain, byteLength, taken, Infinity);
        const { clock } = this.#options.faults;
        assert(clock !== undefined, "a fault that takes time needs a clock");
        clock.after(effect.ms, () => this.#letGo(held));
        return;
      }
      case "drop":
        this.#putBack(chain, taken);
        return;
      case "mask":
        this.#rewrite(chain, { type: effect.reply });
        this.#return(chain, Math.min(byteLength, HEADER_BYTES));
        return;
      case "lie": {
        if (effect.header !== undefined) this.#rewrite(chain, effect.header);
        const lie = copyOf(chain);
        lie.id = effect.usedId ?? chain.id;
        // The inner queue refuses to claim more than was writable; the lie is the point.
        lie.writableBytes = Infinity;
        this.#return(lie, effect.usedLength ?? byteLength);
        return;
      }
      case "duplicate":
        this.#return(chain, byteLength);
        this.#duplicate = copyOf(chain);
        this.#repeat();
        return;
      default:
        this.#return(chain, byteLength);
    }
  }

  flush(): boolean {
    return this.#inner.flush();
  }

  enableNotifications(): boolean {
    return this.#inner.enableNotifications();
  }

  disableNotifications(): void {
    this.#inner.disableNotifications();
  }

  save(): DeviceQueueState {
    return this.#inner.save();
  }

  /** Nothing held back is ever let go. */
  close(): void {
    this.#closed = true;
    this.#stash = [];
    this.#held = [];
    this.#taken.clear();
    this.#inner.close();
  }

  /**
   * Lets go of what was held back; a duplicate that found no occasion does not come any more. The commands that hung stay in line for the model: returns true when there are any, and
   * the model has to process the queue.
   */
  release(): boolean {
    this.#hanging = false;
    this.#duplicate = null;
    for (const held of this.#held.slice()) this.#letGo(held);
    return this.#stash.length > 0;
  }

  /** The next command: one that hung, or one from the ring. */
  #next(): { readonly chain: Chain; readonly taken: Taken } | null {
    const stashed = this.#hanging ? undefined : this.#stash.shift();
    if (stashed !== undefined) return stashed;
    const chain = this.#scratch;
    if (!this.#inner.pop(chain)) return null;
    if (this.#duplicate !== null) this.#repeat(chain.id);
    const request = this.#request.fill(0);
    const bytes = new Uint8Array(request.buffer);
    const byteLength = this.#read(chain, 0, bytes.subarray(0, Math.min(bytes.byteLength, chain.readableBytes)));
    const { command, effect } = this.#options.faults.see(this.#options.index, request, byteLength);
    const before = new Uint8Array(Math.min(chain.writableBytes, keepsReply(effect) ? REPLY_BYTES_MAX : 0));
    this.#read(chain, chain.readableBytes, before);
    return { chain, taken: { command, effect, before } };
  }

  /** What was done before in the same round, and not shown to the driver, is not shown any more. */
  #end(how: "die" | "break", command: SeenCommand): void {
    this.close();
    if (how === "die") this.#options.die(command);
    else this.#options.breakDown(`command ${command.sequence} broke the device`);
  }

  #refuse(chain: Chain, { header }: SeenCommand, reply: number): void {
    const flags = header.flags & (HeaderFlag.FENCE | HeaderFlag.INFO_RING_IDX);
    const { fenceLow, fenceHigh, contextId, ringIndex } = header;
    const fenced = (flags & HeaderFlag.FENCE) !== 0;
    const words = new Uint32Array(HEADER_BYTES / 4);
    writeHeader(words, 0, reply, flags, fenced ? fenceLow : 0, fenced ? fenceHigh : 0, contextId, ringIndex);
    this.#return(chain, this.#write(chain, new Uint8Array(words.buffer)));
  }

  #hold(chain: Chain, byteLength: number, taken: Taken | undefined, others: number): Held {
    const reply = new Uint8Array(Math.min(byteLength, REPLY_BYTES_MAX));
    this.#read(chain, chain.readableBytes, reply);
    this.#putBack(chain, taken);
    const held: Held = { chain: copyOf(chain), reply, byteLength, others };
    this.#held.push(held);
    return held;
  }

  #putBack(chain: Chain, taken: Taken | undefined): void {
    if (taken !== undefined) this.#write(chain, taken.before);
  }

  #letGo(held: Held): void {
    const at = this.#held.indexOf(held);
    if (this.#closed || at < 0) return;
    this.#held.splice(at, 1);
    this.#write(held.chain, held.reply);
    this.#return(held.chain, held.byteLength);
    if (this.#inner.flush()) this.#options.interrupt();
  }

  /** Returns a chain, and after it those that were to come that much later. */
  #return(chain: Chain, byteLength: number): void {
    if (this.#skipNext) this.#skipNext = false;
    else this.#inner.push(chain, byteLength);
    for (const held of this.#held) held.others -= 1;
    for (const held of this.#held.filter((one) => one.others <= 0)) this.#letGo(held);
  }

  /**
   * Returns the duplicated chain once more where the ring has room for it: a reply is due that can be left out. A chain
   * that was just taken under the same id has to be over first: the driver could not tell the two apart.
   */
  #repeat(takenId?: number): void {
    const chain = this.#duplicate;
    const due = takenId ?? [...this.#taken.keys()][0];
    if (chain === null || due === undefined || due === chain.id || this.#taken.has(chain.id)) return;
    this.#duplicate = null;
    this.#inner.push(chain, 0);
    this.#skipNext = true;
  }

  #rewrite(chain: Chain, changes: Partial<HeaderFields>): void {
    const words = new Uint32Array(HEADER_BYTES / 4);
    const bytes = new Uint8Array(words.buffer);
    if (this.#read(chain, chain.readableBytes, bytes) < HEADER_BYTES) return;
    const to = { ...readHeader(words, 0), ...changes };
    writeHeader(words, 0, to.type, to.flags, to.fenceLow, to.fenceHigh, to.contextId, to.ringIndex);
    this.#write(chain, bytes);
  }

  /** Copies from byte `offset` of the chain; what the driver misplaced reads as nothing. */
  #read(chain: Chain, offset: number, target: Uint8Array): number {
    try {
      return gather(this.#options.memory, chain.list, offset, target, 0, target.byteLength);
    } catch (error) {
      if (error instanceof MemoryRangeError) return 0;
      throw error;
    }
  }

  /** Copies to the start of the writable part, as far as that goes. */
  #write(chain: Chain, source: Uint8Array): number {
    const byteLength = Math.min(source.byteLength, chain.writableBytes);
    try {
      return scatter(this.#options.memory, chain.list, chain.readableBytes, source, 0, byteLength);
    } catch (error) {
      if (error instanceof MemoryRangeError) return 0;
      throw error;
    }
  }
}

function keepsReply(effect: CommandEffect | null): boolean {
  const kind = effect?.kind;
  return kind === "hold" || kind === "slow" || kind === "reorder" || kind === "drop";
}

function copyOf(chain: Chain): Chain {
  const copy = new Chain();
  copyChain(chain, copy);
  return copy;
}

function copyChain(from: Chain, to: Chain): void {
  to.id = from.id;
  to.slots = from.slots;
  to.readableBytes = from.readableBytes;
  to.writableBytes = from.writableBytes;
  const { count, readable } = from.list;
  for (let index = 0; index < count; index += 1) {
    to.list.addresses[index] = from.list.addresses[index] ?? 0;
    to.list.lengths[index] = from.list.lengths[index] ?? 0;
  }
  to.list.count = count;
  to.list.readable = readable;
}

/**
 * A command queue between a virtual clock and the device's end of a real ring, for tests of what becomes of commands: the
 * test is the device.
 */
import { type Clock, type GpuError, type Tracer, silentTracer } from "../../src/base/index.ts";
import { type CommandOwner, CommandQueue, SLOT_BYTES } from "../../src/driver/session/command-queue.ts";
import type { Reply } from "../../src/driver/session/reply.ts";
import { GuestRam } from "../../src/memory/guest-ram.ts";
import { gather, scatter } from "../../src/memory/scatter-list.ts";
import { VirtualClock } from "../../src/sim/virtual-clock.ts";
import { createDeviceQueue } from "../../src/virtio/device-queue.ts";
import { createDriverQueue, driverQueueBytes } from "../../src/virtio/driver-queue.ts";
import { UsedRing } from "../../src/wire/ring.ts";
import { Chain, type DeviceQueue, type DriverQueue } from "../../src/virtio/queue.ts";
import { GpuCommand, GpuReply, HEADER_BYTES, HeaderFlag, writeHeader } from "../../src/wire/index.ts";
import { turn } from "./driver-bench.ts";

/** How a {@link CommandBench} is made. */
export interface CommandBenchOptions {
  readonly size?: number;
  readonly slotCount?: number;
  readonly packed?: boolean;
  readonly indirect?: boolean;
  /** 0: none. */
  readonly arenaBytes?: number;
  readonly deadlineMs?: number;
  readonly tracer?: Tracer;
}

/** A command as the test sends it. */
export interface TestCommand {
  readonly type?: number;
  readonly object?: number;
  readonly fence?: number;
  readonly requestBytes?: number;
  readonly replyBytes?: number;
  readonly step?: number;
  /** Fills the request behind its header. */
  readonly fill?: number;
}

/** An owner that writes down what it hears. */
export class OwnerLog implements CommandOwner {
  readonly events: string[] = [];
  readonly replies: { type: number; byteLength: number; error: GpuError | null; words: number[] }[] = [];
  /** Called in the middle of {@link replied}. */
  onReplied: (() => void) | null = null;

  replied(step: number, { type, byteLength, error, words }: Reply): void {
    this.events.push(`replied ${step}`);
    this.replies.push({ type, byteLength, error, words: Array.from(words.subarray(0, (byteLength + 3) >> 2)) });
    this.onReplied?.();
  }

  expired(step: number, error: GpuError): void {
    this.events.push(`expired ${step}: ${error.code}`);
  }

  ended(step: number, error: GpuError): void {
    this.events.push(`ended ${step}: ${error.code}`);
  }
}

const SLOTS_AT = 0x1_0000;
const ARENA_AT = 0x2_0000;
const RAM_BYTES = 0x8_0000;

/** See the file's head. */
export class CommandBench {
  readonly clock: VirtualClock = new VirtualClock({ turn });
  readonly ram: GuestRam = GuestRam.of(RAM_BYTES);
  readonly ring: DriverQueue;
  readonly device: DeviceQueue;
  readonly queue: CommandQueue;
  /** What the queue told its session. */
  readonly told: string[] = [];

  constructor(options: CommandBenchOptions = {}) {
    const { size = 8, packed = false, indirect = true, arenaBytes = 4096, deadlineMs = 100 } = options;
    const indirectEntries = indirect ? 2 : 0;
    const shape = { size, packed, indirectEntries, eventIndex: false };
    const memory = this.ram.ringMemory(0, driverQueueBytes(shape));
    this.ring = createDriverQueue({ ...shape, memory, address: 0 });
    this.device = createDeviceQueue({
      memory: this.ram,
      addresses: this.ring.addresses,
      indirect,
      eventIndex: false,
      packed,
    });
    const slotCount = options.slotCount ?? (indirect ? size : size >> 1);
    const clock: Clock = this.clock;
    this.queue = new CommandQueue({
      name: "control",
      device: "gpu0",
      ring: this.ring,
      slotCount,
      slots: this.ram.ringMemory(SLOTS_AT, slotCount * SLOT_BYTES),
      slotsAddress: SLOTS_AT,
      arena: arenaBytes === 0 ? null : { memory: this.ram.ringMemory(ARENA_AT, arenaBytes), address: ARENA_AT },
      clock,
      tracer: options.tracer ?? silentTracer,
      deadlineMs,
      notify: () => this.told.push("kick"),
      onRoom: () => this.told.push("room"),
      onBroken: (reason) => this.told.push(`broken: ${reason}`),
      onHung: (error) => this.told.push(`hung: ${error.code}`),
      onAlive: () => this.told.push("alive"),
    });
  }

  /** Submits a command, if there is room; not kicked. */
  submit(owner: CommandOwner, command: TestCommand = {}): boolean {
    const { queue } = this;
    const { type = GpuCommand.RESOURCE_FLUSH, object = 0, fence = 0, step = 0 } = command;
    const requestBytes = command.requestBytes ?? 48;
    if (!queue.begin(requestBytes, command.replyBytes ?? HEADER_BYTES)) return false;
    writeHeader(queue.u32, queue.at, type, fence === 0 ? 0 : HeaderFlag.FENCE, fence >>> 0, 0, 0, 0);
    queue.u32.fill(command.fill ?? 0, queue.at + HEADER_BYTES / 4, queue.at + (requestBytes >> 2));
    queue.submit(owner, step, object, fence);
    return true;
  }

  /** Submits and kicks. */
  send(owner: CommandOwner, command: TestCommand = {}): boolean {
    const isSent = this.submit(owner, command);
    this.queue.kick();
    return isSent;
  }

  /** The next command that the device finds; throws when there is none. */
  take(): Chain {
    const chain = new Chain();
    if (!this.device.pop(chain)) throw new Error("the device finds no command");
    return chain;
  }

  /** All that are there. */
  takeAll(): Chain[] {
    const chains: Chain[] = [];
    for (let chain = new Chain(); this.device.pop(chain); chain = new Chain()) chains.push(chain);
    return chains;
  }

  /** The words of a request. */
  request(chain: Chain): Uint32Array {
    const words = new Uint32Array(chain.readableBytes >> 2);
    gather(this.ram, chain.list, 0, new Uint8Array(words.buffer), 0, chain.readableBytes);
    return words;
  }

  /** Writes an answer and returns the buffer; the driver is not told. `byteLength`: what the device claims. */
  answer(chain: Chain, words: ArrayLike<number> = okReply(), byteLength: number = words.length * 4): void {
    const bytes = new Uint8Array(Uint32Array.from(words).buffer);
    const room = Math.min(bytes.length, chain.writableBytes);
    scatter(this.ram, chain.list, chain.readableBytes, bytes, 0, room);
    this.device.push(chain, byteLength);
    this.device.flush();
  }

  /** Answers, and lets the driver's worker run. */
  complete(chain: Chain | undefined, words?: ArrayLike<number>, byteLength?: number): void {
    if (chain === undefined) throw new Error("there is no such command");
    this.answer(chain, words, byteLength);
    this.queue.process();
  }

  /** Puts a used element into a split ring that the device's end knows nothing of. */
  forgeUsed(id: number, byteLength: number): void {
    const { device, size } = this.ring.addresses;
    const ring = this.ram.ringMemory(device, UsedRing.RING + size * UsedRing.ENTRY_BYTES);
    const index = ring.load16(UsedRing.INDEX / 2);
    const word = (UsedRing.RING + (index % size) * UsedRing.ENTRY_BYTES) >> 2;
    ring.u32[word] = id;
    ring.u32[word + 1] = byteLength;
    ring.store16(UsedRing.INDEX / 2, index + 1);
  }
}

/** A reply's words: a header, and what follows. */
export function okReply(
  type: number = GpuReply.OK_NODATA,
  options: { readonly fence?: number; readonly flags?: number; readonly more?: readonly number[] } = {},
): number[] {
  const { fence = 0, flags = fence === 0 ? 0 : HeaderFlag.FENCE, more = [] } = options;
  return [type, flags, fence >>> 0, 0, 0, 0, ...more];
}

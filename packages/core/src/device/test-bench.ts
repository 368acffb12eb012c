/**
 * A device on a bench, for its tests: guest memory, a mock driver for each queue, and a host that counts what the device
 * asks of it. Commands go through real rings, one kick each unless the test says otherwise.
 */
import { GuestRam } from "../memory/guest-ram.ts";
import type { DeviceHost } from "../virtio/device-model.ts";
import type { DeviceQueue } from "../virtio/queue.ts";
import { createSplitDeviceQueue } from "../virtio/split/index.ts";
import { MockSplitDriver, type MockDescriptor } from "../virtio/test-utils.ts";
import { type Command, decodeReply, encodeCommand, type HeaderValues, type Reply } from "../wire/gpu.gen.ts";
import { GpuReply } from "../wire/gpu.ts";
import { DescriptorFlag } from "../wire/ring.ts";
import { VirtioGpuDevice } from "./gpu-device.ts";
import type { VirtioGpuDeviceOptions } from "./options.ts";

const RING_SIZE = 64;
const CONTROL_RING = 0x1000;
const CURSOR_RING = 0x8000;
const RINGS_END = 0x1_0000;
const REQUEST = 0x10_0000;
const REPLY = 0x1c_0000;
/** Guest memory that the bench does not use, from here to the end. */
export const FREE_MEMORY = 0x20_0000;
/** Guest memory in all, unless the test brings its own. */
export const RAM_BYTES: number = 4 << 20;
const REPLY_BYTES = 4096;

/** What came back for a request. */
export interface BenchReply {
  /** As the used ring says, in bytes. */
  readonly used: number;
  /** The reply buffer up to there. */
  readonly bytes: Uint8Array;
}

/** Counts what a device asks of the machinery around it. */
export class BenchHost implements DeviceHost {
  readonly memory: GuestRam;
  configChanges: number = 0;
  interrupts: number[] = [];
  resetReasons: string[] = [];

  constructor(memory: GuestRam) {
    this.memory = memory;
  }

  configChanged(): void {
    this.configChanges += 1;
  }

  needsReset(reason: string): void {
    this.resetReasons.push(reason);
  }

  queueInterrupt(index: number): void {
    this.interrupts.push(index);
  }
}

/** See the file's head. */
export class GpuBench {
  readonly ram: GuestRam;
  readonly host: BenchHost;
  readonly device: VirtioGpuDevice;
  /** Bytes of room for replies, from the next request on. */
  capacity: number = REPLY_BYTES;
  queues: readonly DeviceQueue[] = [];
  drivers: readonly MockSplitDriver[] = [];

  constructor(options: VirtioGpuDeviceOptions = {}, ram: GuestRam = GuestRam.of(RAM_BYTES)) {
    this.ram = ram;
    this.host = new BenchHost(ram);
    this.device = new VirtioGpuDevice(options);
    this.device.attach(this.host);
    this.start();
  }

  /** Rings from their start, as after a device's reset, and DRIVER_OK with these features (default: all). */
  start(features: bigint = this.device.features): void {
    this.ram.write(0, new Uint8Array(RINGS_END));
    const { ram } = this;
    this.drivers = [CONTROL_RING, CURSOR_RING].map((address) => new MockSplitDriver(ram, { size: RING_SIZE, address }));
    this.queues = this.drivers.map(({ addresses }) =>
      createSplitDeviceQueue({ memory: ram, addresses, indirect: true, eventIndex: false }),
    );
    this.device.activate(features);
  }

  /** What a machinery does at a write of 0 to the status. */
  reset(features: bigint = this.device.features): void {
    for (const queue of this.queues) queue.close();
    this.device.reset();
    this.start(features);
  }

  /** Makes a chain of these descriptors available and kicks the queue; returns its used element's length, or -1 when there is none. */
  chain(queue: number, descriptors: readonly MockDescriptor[]): number {
    const driver = this.drivers[queue];
    const ring = this.queues[queue];
    if (driver === undefined || ring === undefined) return -1;
    const before = driver.usedIndex;
    driver.chain(0, descriptors);
    this.device.process(queue, ring);
    if (driver !== this.drivers[queue] || driver.usedIndex === before) return -1;
    return driver.used((driver.usedIndex - 1) % RING_SIZE).length;
  }

  /** Sends a request of raw bytes. */
  send(request: Uint8Array, options: { queue?: number; capacity?: number } = {}): BenchReply {
    const { queue = 0, capacity = this.capacity } = options;
    this.ram.write(REQUEST, request);
    this.ram.write(REPLY, new Uint8Array(capacity).fill(0xaa));
    const parts: MockDescriptor[] = [];
    if (request.byteLength > 0) parts.push({ address: REQUEST, length: request.byteLength });
    if (capacity > 0) parts.push({ address: REPLY, length: capacity, flags: DescriptorFlag.WRITE });
    const used = this.chain(queue, parts);
    const bytes = new Uint8Array(Math.max(0, used));
    this.ram.read(REPLY, bytes);
    return { used, bytes };
  }

  /** Sends a command; returns the type of its reply. */
  type(command: Command, header: Partial<HeaderValues> = {}): number {
    const { bytes } = this.send(toBytes(encodeCommand(command, header)));
    return toWords(bytes)[0] ?? 0;
  }

  /** Sends a command; returns its reply. */
  reply(command: Command, header: Partial<HeaderValues> = {}): Reply | null {
    const { bytes } = this.send(toBytes(encodeCommand(command, header)));
    const decoded = decodeReply(toWords(bytes), bytes.byteLength);
    return decoded.ok ? decoded.reply : null;
  }

  /** Sends commands that have to succeed. */
  run(...commands: readonly Command[]): void {
    for (const command of commands) {
      const type = this.type(command);
      if (type >= GpuReply.ERR_UNSPEC || type < GpuReply.OK_NODATA) {
        throw new Error(`${command.op} was answered 0x${type.toString(16)}`);
      }
    }
  }

  /** Sends a cursor command, without room for a reply, as drivers do. */
  cursor(command: Command): void {
    this.send(toBytes(encodeCommand(command)), { queue: 1, capacity: 0 });
  }

  /** Makes a 2D resource of format `format` with contiguous backing at `address`, and fills its backing. */
  picture(id: number, picture: { width: number; height: number; address?: number; format?: number }): Uint8Array {
    const { width, height, address = FREE_MEMORY, format = 2 } = picture;
    const bytes = patterned(width * height * 4, id);
    this.ram.write(address, bytes);
    this.run(
      { op: "resourceCreate2d", resourceId: id, format, width, height },
      { op: "resourceAttachBacking", resourceId: id, entries: [{ address, byteLength: bytes.byteLength }] },
      { op: "transferToHost2d", x: 0, y: 0, width, height, offset: 0, resourceId: id },
    );
    return bytes;
  }
}

/** Bytes without much regularity; the same for the same seed. */
export function patterned(byteLength: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let state = (seed * 0x9e37_79b9) >>> 0;
  for (let index = 0; index < byteLength; index += 1) {
    state = (Math.imul(state, 0x0019_660d) + 0x3c6e_f35f) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

/** The bytes of words. */
export function toBytes(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
}

/** A copy as words; bytes at the end that make no word are left out. */
export function toWords(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice(0, bytes.byteLength & ~3).buffer);
}

/** Where two byte arrays begin to differ; -1 when they are the same. Much faster than a deep comparison. */
export function firstDifference(one: ArrayLike<number> | undefined, other: ArrayLike<number> | undefined): number {
  if (one === undefined || other === undefined) return 0;
  const length = Math.max(one.length, other.length);
  for (let index = 0; index < length; index += 1) if (one[index] !== other[index]) return index;
  return -1;
}

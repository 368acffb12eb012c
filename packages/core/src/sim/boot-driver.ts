/**
 * A driver that is none of ours: small, blunt, and gone without tidying up. In simulations it is the firmware or the boot
 * kernel that used the device before, or whoever has to look at a host without the real driver.
 *
 * It lives in memory of its own, at physical addresses.
 */
import { assert } from "../base/assert.ts";
import { type Clock, sleep } from "../base/clock.ts";
import { GpuError } from "../base/errors.ts";
import type { GuestMemory, MemoryRegion } from "../memory/guest-memory.ts";
import { negotiateFeatures, resetDevice } from "../virtio/bring-up.ts";
import { createDriverQueue, driverQueueBytes, driverQueueSize } from "../virtio/driver-queue.ts";
import { DescriptorList, type DriverQueue } from "../virtio/queue.ts";
import type { Transport } from "../virtio/transport.ts";
import { type Command, type HeaderValues, encodeCommand, readHeader } from "../wire/gpu.gen.ts";
import { BYTES_PER_PIXEL, Format, GpuFeature, GpuQueue } from "../wire/gpu.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../wire/virtio.ts";

/** What a {@link BootDriver} is made of. */
export interface BootDriverOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Physical memory. */
  readonly memory: GuestMemory;
  /** The part of it that is this driver's, 64 KiB or more; pictures lie behind the first 64 KiB. */
  readonly region: MemoryRegion;
}

const QUEUE_SIZE = 16;
const QUEUE_BYTES = 0x4000;
const REQUEST_OFFSET = 0x8000;
const REPLY_OFFSET = 0xc000;
const REPLY_BYTES = 4096;
const PICTURE_OFFSET = 0x1_0000;
const DEADLINE_MS = 1000;
const POLL_MS = 1;
const WANTED =
  featureBit(GpuFeature.EDID) | featureBit(GpuFeature.RESOURCE_BLOB) | featureBit(VirtioFeature.INDIRECT_DESC);

/** See the file's head. */
export class BootDriver {
  readonly features: bigint;
  readonly #options: BootDriverOptions;
  readonly #queues: readonly DriverQueue[];

  private constructor(options: BootDriverOptions, features: bigint) {
    this.#options = options;
    this.features = features;
    this.#queues = [GpuQueue.CONTROL, GpuQueue.CURSOR].map((queue) => this.#enable(queue));
    options.transport.writeStatus(options.transport.readStatus() | DeviceStatus.DRIVER_OK);
  }

  /** Finds the device, resets it and brings it up. Throws GpuError as `reattach`, `resetDevice` and `negotiateFeatures` do. */
  static async start(options: BootDriverOptions): Promise<BootDriver> {
    const { transport, clock } = options;
    transport.reattach();
    await resetDevice(transport, clock, DEADLINE_MS);
    return new BootDriver(options, negotiateFeatures(transport, { wanted: WANTED, required: 0n, previous: null }));
  }

  /** Sends a command and waits for the answer; resolves with the reply's type, 0 where the answer is empty. */
  async send(command: Command, header: Partial<HeaderValues> = {}): Promise<number> {
    const queue = this.post(command, header);
    const { clock } = this.#options;
    const until = clock.nowMs() + DEADLINE_MS;
    while (!queue.pop()) {
      if (clock.nowMs() >= until) throw new GpuError("ETIMEDOUT", `no answer to ${command.op}`);
      await sleep(clock, POLL_MS);
    }
    return queue.used.byteLength === 0 ? 0 : readHeader(new Uint32Array(this.reply().buffer), 0).type;
  }

  /** Sends a command and does not care what comes of it: it may be under way when the driver is gone. */
  post(command: Command, header: Partial<HeaderValues> = {}): DriverQueue {
    const index = command.op === "updateCursor" || command.op === "moveCursor" ? GpuQueue.CURSOR : GpuQueue.CONTROL;
    const { memory, region, transport } = this.#options;
    const request = encodeCommand(command, header);
    assert(request.byteLength <= REPLY_OFFSET - REQUEST_OFFSET, "a boot driver's requests are short");
    memory.write(region.address + REQUEST_OFFSET, new Uint8Array(request.buffer));
    const list = new DescriptorList(2);
    list.pushReadable(region.address + REQUEST_OFFSET, request.byteLength);
    if (index === GpuQueue.CONTROL) list.pushWritable(region.address + REPLY_OFFSET, REPLY_BYTES);
    const queue = this.#queue(index);
    assert(queue.add(list) >= 0, "a boot driver sends one command at a time");
    transport.notify(index);
    return queue;
  }

  /** The reply to the last command. */
  reply(): Uint8Array {
    const bytes = new Uint8Array(REPLY_BYTES);
    this.#options.memory.read(this.#options.region.address + REPLY_OFFSET, bytes);
    return bytes;
  }

  /** Shows a picture of one colour (B8G8R8X8, little endian) on an output, in a resource of this id. */
  async lightUp(picture: {
    readonly scanoutId: number;
    readonly resourceId: number;
    readonly width: number;
    readonly height: number;
    readonly colour: number;
  }): Promise<void> {
    const { scanoutId, resourceId, width, height, colour } = picture;
    const { memory, region } = this.#options;
    const byteLength = width * height * BYTES_PER_PIXEL;
    const address = region.address + PICTURE_OFFSET;
    assert(PICTURE_OFFSET + byteLength <= region.byteLength, "the picture fits the boot driver's memory");
    memory.write(address, new Uint8Array(new Uint32Array(width * height).fill(colour).buffer));
    const rect = { x: 0, y: 0, width, height };
    const commands: readonly Command[] = [
      { op: "resourceCreate2d", resourceId, format: Format.B8G8R8X8, width, height },
      { op: "resourceAttachBacking", resourceId, entries: [{ address, byteLength }] },
      { op: "transferToHost2d", ...rect, offset: 0, resourceId },
      { op: "setScanout", ...rect, scanoutId, resourceId },
      { op: "resourceFlush", ...rect, resourceId },
    ];
    for (const command of commands) await this.send(command);
  }

  #queue(index: number): DriverQueue {
    const queue = this.#queues[index];
    assert(queue !== undefined, `there is a queue ${index}`);
    return queue;
  }

  #enable(queue: number): DriverQueue {
    const { transport, memory, region } = this.#options;
    const size = driverQueueSize({ max: transport.queueSizeMax(queue), wanted: QUEUE_SIZE, packed: false });
    const shape = { size, packed: false, indirectEntries: 0 };
    const byteLength = driverQueueBytes(shape);
    assert(byteLength <= QUEUE_BYTES, "the rings fit their place");
    const address = region.address + queue * QUEUE_BYTES;
    const made = createDriverQueue({
      ...shape,
      eventIndex: false,
      memory: memory.ringMemory(address, byteLength),
      address,
    });
    transport.enableQueue(queue, made.addresses);
    return made;
  }
}

/**
 * A driver without a mind: brings a device up, and carries requests to it byte by byte, one at a time (VIRTIO 1.2 sections
 * 3.1, 2.6, 5.7.2). What it says is somebody else's.
 */
import { type Clock, GpuError, sleep } from "@virtgpu/core/base";
import type { DmaMap, PageAllocator, Pages } from "@virtgpu/core/memory";
import {
  createDriverQueue,
  DescriptorList,
  type DriverQueue,
  driverQueueBytes,
  driverQueueSize,
  negotiateFeatures,
  resetDevice,
  type Transport,
} from "@virtgpu/core/virtio";
import { DeviceStatus, VirtioFeature, featureBit } from "@virtgpu/core/wire";

const { ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK } = DeviceStatus;
const QUEUES = 2;
const QUEUE_SIZE = 16;
/** One to read, one to write. */
const DESCRIPTORS = 2;
const RESET_MS = 5000;
const COMMAND_MS = 10_000;
/** Where the reply begins: behind the longest request. */
const BUFFER_BYTES_MIN = 64 << 10;
/** Wasn't written by the device. */
const UNWRITTEN = 0xaa;

/** What a {@link RawDriver} needs of its machine. */
export interface RawDriverParts {
  readonly transport: Transport;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  readonly clock: Clock;
}

/** See the file's head. */
export class RawDriver {
  readonly #parts: RawDriverParts;
  readonly #list: DescriptorList = new DescriptorList(DESCRIPTORS);
  #pages: Pages[] = [];
  #queues: readonly DriverQueue[] = [];
  #buffer: Pages | null = null;

  constructor(parts: RawDriverParts) {
    this.#parts = parts;
  }

  /**
   * Resets the device and brings it up with those of `wanted` that it offers; gives what was negotiated. Throws GpuError
   * as {@link resetDevice} and {@link negotiateFeatures} do.
   */
  async bringUp(wanted: bigint): Promise<bigint> {
    const { transport, clock } = this.#parts;
    transport.reattach();
    await resetDevice(transport, clock, RESET_MS);
    this.#release();
    const features = negotiateFeatures(transport, { wanted: wanted & ~NEVER, required: 0n, previous: null });
    this.#queues = Array.from({ length: QUEUES }, (_, index) => this.#enable(index, features));
    transport.writeStatus(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
    return features;
  }

  /** Sends one request with room for `capacity` bytes of reply; gives what the device says it wrote. Throws GpuError ETIMEDOUT, EPROTO. */
  async send(queueIndex: number, request: Uint8Array, capacity: number): Promise<Uint8Array> {
    const queue = this.#queues[queueIndex];
    if (queue === undefined) throw new GpuError("EBUSY", "the device was not brought up");
    const buffer = this.#bufferFor(request.byteLength + capacity);
    const address = this.#addressOf(buffer);
    const replyAt = request.byteLength;
    buffer.write(0, request);
    if (capacity > 0) buffer.write(replyAt, new Uint8Array(capacity).fill(UNWRITTEN));
    this.#list.clear();
    this.#list.pushReadable(address, request.byteLength);
    if (capacity > 0) this.#list.pushWritable(address + replyAt, capacity);
    queue.add(this.#list);
    if (queue.shouldNotify()) this.#parts.transport.notify(queueIndex);
    const byteLength = await this.#used(queue);
    const reply = new Uint8Array(Math.min(byteLength, capacity));
    buffer.read(replyAt, reply);
    return reply;
  }

  /** Resets the device, and gives the memory back. */
  async end(): Promise<void> {
    await resetDevice(this.#parts.transport, this.#parts.clock, RESET_MS);
    this.#release();
  }

  async #used(queue: DriverQueue): Promise<number> {
    const { clock, transport } = this.#parts;
    const end = clock.nowMs() + COMMAND_MS;
    while (!queue.pop()) {
      if (queue.broken !== null) throw new GpuError("EPROTO", queue.broken, { device: transport.label });
      if (clock.nowMs() > end) {
        throw new GpuError("ETIMEDOUT", `no answer within ${COMMAND_MS} ms`, { device: transport.label });
      }
      await sleep(clock, 0);
    }
    return queue.used.byteLength;
  }

  #enable(index: number, features: bigint): DriverQueue {
    const { transport } = this.#parts;
    const packed = (features & featureBit(VirtioFeature.RING_PACKED)) !== 0n;
    const size = driverQueueSize({ max: transport.queueSizeMax(index), wanted: QUEUE_SIZE, packed });
    const shape = { size, packed, indirectEntries: 0 };
    const byteLength = driverQueueBytes(shape);
    const pages = this.#allocate(byteLength);
    const queue = createDriverQueue({
      ...shape,
      eventIndex: (features & featureBit(VirtioFeature.EVENT_IDX)) !== 0n,
      memory: pages.ringMemory(0, byteLength),
      address: this.#addressOf(pages),
    });
    transport.enableQueue(index, queue.addresses);
    return queue;
  }

  #bufferFor(byteLength: number): Pages {
    if (this.#buffer === null || this.#buffer.byteLength < byteLength) {
      this.#buffer = this.#allocate(Math.max(byteLength, BUFFER_BYTES_MIN));
    }
    return this.#buffer;
  }

  #allocate(byteLength: number): Pages {
    const pages = this.#parts.allocator.allocate(byteLength, { contiguous: true });
    this.#pages.push(pages);
    this.#parts.dma.map(pages);
    return pages;
  }

  /** It is mapped: asking again counts twice, so that is taken back at once. */
  #addressOf(pages: Pages): number {
    const { dma } = this.#parts;
    const address = dma.map(pages).addresses[0] ?? 0;
    dma.unmap(pages);
    return address;
  }

  #release(): void {
    for (const pages of this.#pages) {
      this.#parts.dma.unmap(pages);
      this.#parts.allocator.free(pages);
    }
    this.#pages = [];
    this.#queues = [];
    this.#buffer = null;
  }
}

/** Not used here: one command is with the device at a time, each in one piece. */
const NEVER =
  featureBit(VirtioFeature.INDIRECT_DESC) |
  featureBit(VirtioFeature.IN_ORDER) |
  featureBit(VirtioFeature.NOTIF_CONFIG_DATA) |
  featureBit(VirtioFeature.NOTIFICATION_DATA) |
  featureBit(VirtioFeature.SUSPEND);

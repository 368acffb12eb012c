/**
 * A driver for {@link EchoModel} over any transport, with the real bring-up and the real rings: what tests of devices,
 * faces and transports share. Everything it does is synchronous.
 */
import { assert } from "../../base/assert.ts";
import type { GuestRam } from "../../memory/guest-ram.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { negotiateFeatures } from "../bring-up.ts";
import { createDriverQueue, driverQueueBytes, driverQueueSize } from "../driver-queue.ts";
import { DescriptorList, type DriverQueue } from "../queue.ts";
import type { Transport } from "../transport.ts";

/** The ring features that an {@link EchoDriver} accepts by default. */
export const ECHO_FEATURES: bigint = [
  VirtioFeature.INDIRECT_DESC,
  VirtioFeature.EVENT_IDX,
  VirtioFeature.VERSION_1,
  VirtioFeature.RING_RESET,
  VirtioFeature.SUSPEND,
].reduce((mask, feature) => mask | featureBit(feature), 0n);

const QUEUES = 2;
const RINGS_AT = 0x1_0000;
const RINGS_BYTES = 0x4000;
const SLOTS_AT = 0x2_0000;
const SLOT_BYTES = 64;
/** Bytes of guest memory that the driver uses. */
export const ECHO_RAM_BYTES = 0x4_0000;

/** See the file's head. */
export class EchoDriver {
  readonly transport: Transport;
  readonly queues: DriverQueue[] = [];
  /** How often the handler was called, by queue; -1: it was not told which. */
  readonly interrupts: Map<number, number> = new Map();
  configInterrupts: number = 0;
  features: bigint = 0n;
  readonly #ram: GuestRam;
  readonly #list: DescriptorList = new DescriptorList(4);

  constructor(transport: Transport, ram: GuestRam) {
    this.transport = transport;
    this.#ram = ram;
  }

  /** Reset, features, queues; then DRIVER_OK unless told otherwise. */
  start(options: { readonly wanted?: bigint; readonly size?: number; readonly driverOk?: boolean } = {}): void {
    const { transport } = this;
    transport.reattach();
    transport.writeStatus(0);
    assert(transport.readStatus() === 0, "the reset is done at once");
    this.features = negotiateFeatures(transport, {
      wanted: options.wanted ?? ECHO_FEATURES,
      required: 0n,
      previous: null,
    });
    this.queues.length = 0;
    for (let index = 0; index < QUEUES; index += 1) this.openQueue(index, options.size ?? 16);
    transport.setInterruptHandler({
      onQueue: (queue = -1) => this.interrupts.set(queue, (this.interrupts.get(queue) ?? 0) + 1),
      onConfig: () => {
        this.configInterrupts += 1;
      },
    });
    if (options.driverOk ?? true) this.driverOk();
  }

  driverOk(): void {
    this.transport.writeStatus(this.transport.readStatus() | 4);
  }

  /** Makes a queue's rings and enables it. */
  openQueue(index: number, wanted: number): void {
    const has = (feature: number): boolean => (this.features & featureBit(feature)) !== 0n;
    const packed = has(VirtioFeature.RING_PACKED);
    const size = driverQueueSize({ max: this.transport.queueSizeMax(index), wanted, packed });
    const shape = { size, packed, indirectEntries: has(VirtioFeature.INDIRECT_DESC) ? 4 : 0 };
    const address = RINGS_AT + index * RINGS_BYTES;
    const memory = this.#ram.ringMemory(address, driverQueueBytes(shape));
    const queue = createDriverQueue({ ...shape, eventIndex: has(VirtioFeature.EVENT_IDX), memory, address });
    this.queues[index] = queue;
    this.transport.enableQueue(index, queue.addresses);
  }

  /** Adds a buffer with this text, without a kick; -1 when there is no room. */
  add(text: string, queue: number = 0): number {
    const ring = this.#queue(queue);
    const bytes = Uint8Array.from(text, (character) => character.codePointAt(0) ?? 0);
    // A ring returns the ids it likes: the slot in memory is found by how many are outstanding, oldest reuse last.
    const slot = (this.#nextSlot = (this.#nextSlot + 1) % 256);
    const address = SLOTS_AT + slot * 2 * SLOT_BYTES;
    this.#ram.write(address, bytes);
    this.#list.clear();
    this.#list.pushReadable(address, bytes.length);
    this.#list.pushWritable(address + SLOT_BYTES, SLOT_BYTES);
    const id = ring.add(this.#list);
    if (id >= 0) this.#slots.set(`${queue}:${id}`, address + SLOT_BYTES);
    return id;
  }

  /** Notifies if the device wants it. */
  kick(queue: number = 0): void {
    const ring = this.#queue(queue);
    if (!ring.shouldNotify()) return;
    if ((this.features & featureBit(VirtioFeature.NOTIFICATION_DATA)) === 0n) this.transport.notify(queue);
    else this.transport.notify(queue, ring.notificationData(queue));
  }

  /** Takes the next returned buffer's text, or null. */
  take(queue: number = 0): string | null {
    const ring = this.#queue(queue);
    if (!ring.pop()) return null;
    const { id, byteLength } = ring.used;
    const bytes = new Uint8Array(byteLength);
    this.#ram.read(this.#slots.get(`${queue}:${id}`) ?? 0, bytes);
    return String.fromCharCode(...bytes);
  }

  /** Sends a text and gives what came back: each character's successor, or null if nothing did. */
  echo(text: string, queue: number = 0): string | null {
    this.#queue(queue).enableInterrupts();
    assert(this.add(text, queue) >= 0, "the queue has room");
    this.kick(queue);
    return this.take(queue);
  }

  #nextSlot = 0;
  readonly #slots: Map<string, number> = new Map();

  #queue(index: number): DriverQueue {
    const queue = this.queues[index];
    assert(queue !== undefined, "the queue was opened");
    return queue;
  }
}

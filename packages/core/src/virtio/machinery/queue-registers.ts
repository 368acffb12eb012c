/**
 * The registers of one queue as a device keeps them (VIRTIO 1.2 sections 4.1.4.3 and 4.2.2), whatever face they are
 * reached through.
 */
import { type GuestMemory, MemoryRangeError } from "../../memory/guest-memory.ts";
import { VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { HIGH_WORD, highWord, lowWord } from "../../wire/words.ts";
import { createDeviceQueue } from "../device-queue.ts";
import { type DeviceQueue, type DeviceQueueState, RingViolation } from "../queue.ts";
import type { QueueAddresses } from "../transport.ts";

/** Words of a queue's three addresses: descriptors, driver, device, the low half of each first. */
export const QUEUE_ADDRESS_WORDS = 6;

/** See the file's head. */
export class QueueRegisterSet {
  readonly index: number;
  readonly sizeMax: number;
  /** 16 bits, as the driver wrote them; checked when the queue is enabled. */
  size: number;
  readonly words: Uint32Array = new Uint32Array(QUEUE_ADDRESS_WORDS);
  enabled: boolean = false;
  /** The ring, while the device may touch it. */
  queue: DeviceQueue | null = null;
  /** A kick is waiting to be heard. */
  kicked: boolean = false;

  constructor(index: number, sizeMax: number) {
    this.index = index;
    this.sizeMax = sizeMax;
    this.size = sizeMax;
  }

  /** Size and addresses; an address beyond 2^53 is rounded, but stays beyond: no memory is there. */
  get addresses(): QueueAddresses {
    return { size: this.size, descriptors: this.#address(0), driver: this.#address(2), device: this.#address(4) };
  }

  set addresses(addresses: QueueAddresses) {
    const { size, descriptors, driver, device } = addresses;
    this.size = size & 0xffff;
    this.words.set([descriptors, driver, device].flatMap((address) => [lowWord(address), highWord(address)]));
  }

  /** Ends the ring's use: the device touches it no more. */
  close(): void {
    this.queue?.close();
    this.queue = null;
    this.kicked = false;
  }

  /** Everything as before the driver's first write. */
  reset(): void {
    this.close();
    this.size = this.sizeMax;
    this.words.fill(0);
    this.enabled = false;
  }

  #address(word: number): number {
    return (this.words[word + 1] ?? 0) * HIGH_WORD + (this.words[word] ?? 0);
  }
}

/**
 * Makes the ring that the registers describe, from its start or from a saved place. Throws RingViolation for a size, an
 * address or a place that can't be.
 */
export function openRing(
  memory: GuestMemory,
  registers: QueueRegisterSet,
  features: bigint,
  state?: DeviceQueueState,
): DeviceQueue {
  const { addresses, sizeMax } = registers;
  if (addresses.size > sizeMax) throw new RingViolation(`${addresses.size} entries, where ${sizeMax} are the most`);
  const accepted = (feature: number): boolean => (features & featureBit(feature)) !== 0n;
  return createDeviceQueue({
    memory,
    addresses,
    packed: accepted(VirtioFeature.RING_PACKED),
    indirect: accepted(VirtioFeature.INDIRECT_DESC),
    eventIndex: accepted(VirtioFeature.EVENT_IDX),
    state,
  });
}

/** The sentence of a driver's mistake; anything else is thrown on. */
export function violationOf(error: unknown): string {
  if (error instanceof RingViolation || error instanceof MemoryRangeError) return error.message;
  throw error;
}

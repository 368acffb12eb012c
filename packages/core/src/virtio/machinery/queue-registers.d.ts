/**
 * The registers of one queue as a device keeps them (VIRTIO 1.2 sections 4.1.4.3 and 4.2.2), whatever face they are
 * reached through.
 */
import { type GuestMemory } from "../../memory/guest-memory.ts";
import { type DeviceQueue, type DeviceQueueState } from "../queue.ts";
import type { QueueAddresses } from "../transport.ts";
/** Words of a queue's three addresses: descriptors, driver, device, the low half of each first. */
export declare const QUEUE_ADDRESS_WORDS = 6;
/** See the file's head. */
export declare class QueueRegisterSet {
  #private;
  readonly index: number;
  readonly sizeMax: number;
  /** 16 bits, as the driver wrote them; checked when the queue is enabled. */
  size: number;
  readonly words: Uint32Array;
  enabled: boolean;
  /** The ring, while the device may touch it. */
  queue: DeviceQueue | null;
  /** A kick is waiting to be heard. */
  kicked: boolean;
  constructor(index: number, sizeMax: number);
  /** Size and addresses; an address beyond 2^53 is rounded, but stays beyond: no memory is there. */
  get addresses(): QueueAddresses;
  set addresses(addresses: QueueAddresses);
  /** Ends the ring's use: the device touches it no more. */
  close(): void;
  /** Everything as before the driver's first write. */
  reset(): void;
}
/**
 * Makes the ring that the registers describe, from its start or from a saved place. Throws RingViolation for a size, an
 * address or a place that can't be.
 */
export declare function openRing(
  memory: GuestMemory,
  registers: QueueRegisterSet,
  features: bigint,
  state?: DeviceQueueState,
): DeviceQueue;
/** The sentence of a driver's mistake; anything else is thrown on. */
export declare function violationOf(error: unknown): string;

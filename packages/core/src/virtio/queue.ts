/**
 * The two ends of a virtqueue, whatever its layout (split: VIRTIO 1.2 section 2.7, packed: 2.8).
 */
import type { QueueAddresses } from "./transport.ts";

/** Most descriptors that one {@link DescriptorList} holds. */
export const DESCRIPTOR_LIST_MAX = 1024;

/**
 * A reusable list of buffers: the first `readable` ones are for the device to read, the rest for it to write. Filled by
 * the caller before {@link DriverQueue.add}; nothing is kept of it.
 */
export class DescriptorList {
  readonly addresses: Float64Array;
  readonly lengths: Uint32Array;
  count: number = 0;
  readable: number = 0;

  constructor(capacity: number = DESCRIPTOR_LIST_MAX) {
    this.addresses = new Float64Array(capacity);
    this.lengths = new Uint32Array(capacity);
  }

  /** Empties the list. */
  clear(): void {
    this.count = 0;
    this.readable = 0;
  }

  /** Adds a device-readable buffer. All readable ones come first. */
  pushReadable(address: number, byteLength: number): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = byteLength;
    this.count += 1;
    this.readable = this.count;
  }

  /** Adds a device-writable buffer. */
  pushWritable(address: number, byteLength: number): void {
    this.addresses[this.count] = address;
    this.lengths[this.count] = byteLength;
    this.count += 1;
  }
}

/** One used buffer, as {@link DriverQueue.pop} reports it. Reused between calls. */
export interface UsedElement {
  /** What {@link DriverQueue.add} returned for it. */
  id: number;
  /** Bytes the device says it wrote; at most the writable bytes of the chain (a larger claim breaks the queue). */
  byteLength: number;
}

/**
 * The driver's end. Keeps private shadows of all it ever reads back; a peer that lies (an id that is out of range or not
 * outstanding, a used index that jumps, a length beyond the writable part) makes the queue `broken`, after which `add`
 * returns -1 and `pop` false.
 */
export interface DriverQueue {
  readonly size: number;
  readonly addresses: QueueAddresses;
  /** Chains handed to the device and not yet returned. */
  readonly outstanding: number;
  /** The sentence that says what the device did wrong, or null. */
  readonly broken: string | null;
  /** Publishes a chain. Returns its id in `[0, size)`, unique among those outstanding, or -1 when there is no room. */
  add(list: DescriptorList): number;
  /** Whether the device wants to be notified of what was added since the last call (event index, suppression flags). */
  shouldNotify(): boolean;
  /** The value for a NOTIFICATION_DATA notify. */
  notificationData(queue: number): number;
  /** Takes the next used buffer into {@link used}; false when there is none (or the queue is broken). */
  pop(): boolean;
  readonly used: UsedElement;
  /** Asks for interrupts; returns true if used buffers are already waiting (look again). */
  enableInterrupts(): boolean;
  /** Asks for no interrupts; the device may send some all the same. */
  disableInterrupts(): void;
}

/** A protocol violation by the driver: the device is to set DEVICE_NEEDS_RESET. */
export class RingViolation extends Error {
  override readonly name: string = "RingViolation";
}

/** One chain taken by the device: private copies of its descriptors. Reused between pops unless {@link DeviceQueue.pop} is given another. */
export class Chain {
  /** Names the chain when it is returned: head index (split) or buffer id (packed). */
  id: number = 0;
  /** Ring slots that the chain took (packed rings skip as many when it is returned). */
  slots: number = 0;
  readonly list: DescriptorList = new DescriptorList();
  /** Total bytes of the readable and of the writable part. */
  readableBytes: number = 0;
  writableBytes: number = 0;
}

/** Where a device queue stands: plain data, for a saved state. */
export interface DeviceQueueState {
  readonly availableIndex: number;
  readonly usedIndex: number;
  readonly availableWrap: boolean;
  readonly usedWrap: boolean;
}

/**
 * The device's end. Every field is copied once, then checked. A driver that breaks the rules makes `pop` throw
 * {@link RingViolation}.
 */
export interface DeviceQueue {
  readonly size: number;
  /** Since {@link DeviceQueue.close}: buffers of chains taken before are the driver's again, and must not be written. */
  readonly closed: boolean;
  /** Takes the next available chain; false when there is none. */
  pop(chain: Chain): boolean;
  /** Returns a chain with `byteLength` bytes written to its writable part. Not visible before {@link flush}. */
  push(chain: Chain, byteLength: number): void;
  /** Makes pushed elements visible and tells whether the driver wants an interrupt for them. */
  flush(): boolean;
  /** Re-arms notification from the driver; returns true if chains became available meanwhile. */
  enableNotifications(): boolean;
  /** Asks the driver for no notifications; it may send some all the same. */
  disableNotifications(): void;
  /** Where the queue stands, as plain data. */
  save(): DeviceQueueState;
  /** After a reset of the device or of this queue: touches the ring no more, whoever still holds a chain. `pop` gives false. */
  close(): void;
}

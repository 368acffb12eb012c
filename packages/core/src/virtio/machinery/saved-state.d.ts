import type { DeviceQueueState } from "../queue.ts";
/** The version of {@link VirtioDeviceState} that is written, and the only one read. */
export declare const VIRTIO_DEVICE_STATE_VERSION = 1;
/** One queue of a {@link VirtioDeviceState}. */
export interface VirtioQueueState {
  readonly size: number;
  /** Addresses of descriptors, driver and device part, each as low and high 32 bits. */
  readonly addresses: readonly number[];
  readonly enabled: boolean;
  /** A kick was waiting to be heard. */
  readonly kicked: boolean;
  /** Where the ring stands; null where the device does not use it (not enabled, or stopped). */
  readonly ring: DeviceQueueState | null;
}
/** Everything that a virtio device keeps: plain data, fit for JSON where its model's state is. */
export interface VirtioDeviceState {
  readonly version: number;
  /** Virtio device id. */
  readonly deviceId: number;
  readonly status: number;
  /** The device does nothing any more until it is reset. */
  readonly stopped: boolean;
  /** Why it needs a reset, or null. */
  readonly stopReason: string | null;
  /** The accepted features, 32 bits a word, the low ones first. */
  readonly driverFeatures: readonly number[];
  readonly configGeneration: number;
  /** A configuration change waits to be announced after resume. */
  readonly configPending: boolean;
  readonly queues: readonly VirtioQueueState[];
  /** What the model's `save` returned; null where it has none. */
  readonly model: unknown;
}
/**
 * Checks the shape of a saved state, and what can be checked without a device. Throws GpuError EINVAL with the first
 * thing that is wrong.
 */
export declare function parseDeviceState(state: unknown, label: string): VirtioDeviceState;
/** Takes values out of unknown data, or says what is wrong with them. */
export declare class Reader {
  #private;
  constructor(label: string);
  /** Throws GpuError EINVAL unless `condition` holds. */
  require(condition: boolean, sentence: string): asserts condition;
  /** An object's fields, to be read by name. */
  object(value: unknown, name: string): Readonly<Record<string, unknown>>;
  array(value: unknown, name: string): readonly unknown[];
  boolean(value: unknown, name: string): boolean;
  /** An integer from 0 to `max`. */
  integer(value: unknown, max: number, name: string): number;
  /** A list of `count` integers of 32 bits. */
  words(value: unknown, count: number, name: string): readonly number[];
}

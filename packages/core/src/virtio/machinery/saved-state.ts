/**
 * A virtio device's saved state: plain data, and its checks. What is read back is not trusted.
 */
import { GpuError } from "../../base/errors.ts";
import type { DeviceQueueState } from "../queue.ts";
import { FEATURE_WORDS } from "./features.ts";
import { QUEUE_ADDRESS_WORDS } from "./queue-registers.ts";
import { isLegalState } from "./status.ts";

/** The version of {@link VirtioDeviceState} that is written, and the only one read. */
export const VIRTIO_DEVICE_STATE_VERSION = 1;

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

const U32_MAX = 0xffff_ffff;

/**
 * Checks the shape of a saved state, and what can be checked without a device. Throws GpuError EINVAL with the first
 * thing that is wrong.
 */
export function parseDeviceState(state: unknown, label: string): VirtioDeviceState {
  const read: Reader = new Reader(label);
  const fields = read.object(state, "the state");
  read.require(fields["version"] === VIRTIO_DEVICE_STATE_VERSION, `version ${String(fields["version"])} is not known`);
  const status = read.integer(fields["status"], 0xff, "status");
  const stopped = read.boolean(fields["stopped"], "stopped");
  read.require(isLegalState({ status, stopped }), `a device can't have status ${status}`);
  const reason = fields["stopReason"];
  read.require(reason === null || typeof reason === "string", "stopReason is no text");
  return {
    version: VIRTIO_DEVICE_STATE_VERSION,
    deviceId: read.integer(fields["deviceId"], U32_MAX, "deviceId"),
    status,
    stopped,
    stopReason: typeof reason === "string" ? reason : null,
    driverFeatures: read.words(fields["driverFeatures"], FEATURE_WORDS, "driverFeatures"),
    configGeneration: read.integer(fields["configGeneration"], U32_MAX, "configGeneration"),
    configPending: read.boolean(fields["configPending"], "configPending"),
    queues: read.array(fields["queues"], "queues").map((queue) => parseQueue(read, queue)),
    model: fields["model"] ?? null,
  };
}

function parseQueue(read: Reader, state: unknown): VirtioQueueState {
  const fields = read.object(state, "a queue");
  const ring = fields["ring"];
  return {
    size: read.integer(fields["size"], 0xffff, "a queue's size"),
    addresses: read.words(fields["addresses"], QUEUE_ADDRESS_WORDS, "a queue's addresses"),
    enabled: read.boolean(fields["enabled"], "a queue's enabled"),
    kicked: read.boolean(fields["kicked"], "a queue's kicked"),
    ring: ring === null ? null : parseRing(read, ring),
  };
}

function parseRing(read: Reader, state: unknown): DeviceQueueState {
  const fields = read.object(state, "a ring");
  return {
    availableIndex: read.integer(fields["availableIndex"], 0xffff, "a ring's availableIndex"),
    usedIndex: read.integer(fields["usedIndex"], 0xffff, "a ring's usedIndex"),
    availableWrap: read.boolean(fields["availableWrap"], "a ring's availableWrap"),
    usedWrap: read.boolean(fields["usedWrap"], "a ring's usedWrap"),
  };
}

/** Takes values out of unknown data, or says what is wrong with them. */
export class Reader {
  readonly #label: string;

  constructor(label: string) {
    this.#label = label;
  }

  /** Throws GpuError EINVAL unless `condition` holds. */
  require(condition: boolean, sentence: string): asserts condition {
    if (!condition) throw new GpuError("EINVAL", `the saved state is wrong: ${sentence}`, { device: this.#label });
  }

  /** An object's fields, to be read by name. */
  object(value: unknown, name: string): Readonly<Record<string, unknown>> {
    this.require(typeof value === "object" && value !== null && !Array.isArray(value), `${name} is no object`);
    return { ...value };
  }

  array(value: unknown, name: string): readonly unknown[] {
    this.require(Array.isArray(value), `${name} is no list`);
    return value;
  }

  boolean(value: unknown, name: string): boolean {
    this.require(typeof value === "boolean", `${name} is neither true nor false`);
    return value;
  }

  /** An integer from 0 to `max`. */
  integer(value: unknown, max: number, name: string): number {
    this.require(
      typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max,
      `${name} is wrong`,
    );
    return value;
  }

  /** A list of `count` integers of 32 bits. */
  words(value: unknown, count: number, name: string): readonly number[] {
    const words = this.array(value, name);
    this.require(words.length === count, `${name} has ${words.length} words, not ${count}`);
    return words.map((word) => this.integer(word, U32_MAX, name));
  }
}

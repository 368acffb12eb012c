/**
 * The device's side: what a virtio device (the GPU) is to the generic virtio machinery, and what that machinery is to
 * the register faces (loopback, PCI, MMIO).
 */
import type { GuestMemory } from "../memory/guest-memory.ts";
import type { DeviceQueue } from "./queue.ts";

/** What a device model may ask of the machinery around it. */
export interface DeviceHost {
  /** The configuration changed: bumps the generation, raises the configuration interrupt (at once if DRIVER_OK, after resume if suspended, never before DRIVER_OK). */
  configChanged(): void;
  /** The device can't go on: DEVICE_NEEDS_RESET and a configuration interrupt. */
  needsReset(reason: string): void;
  /** Raises queue `index`'s interrupt. */
  queueInterrupt(index: number): void;
  readonly memory: GuestMemory;
}

/** A host-visible shared memory region offered by a device model. */
export interface DeviceSharedMemory {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** A kind of virtio device. Methods never throw on guest input. */
export interface DeviceModel {
  readonly deviceId: number;
  /** Offered device-type feature bits (0..23 and 50 up); the machinery adds the transport's and rings' own. */
  readonly features: bigint;
  /** Maximum size per queue. */
  readonly queueSizes: readonly number[];
  readonly configBytes: number;
  readonly sharedMemory: readonly DeviceSharedMemory[];
  /** Called once, before anything else. */
  attach(host: DeviceHost): void;
  /** One byte of device configuration space; zero behind its end. */
  readConfig8(offset: number): number;
  /** A write to device configuration space, little endian, `width` bytes. */
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void;
  /** DRIVER_OK: features are final. Not called by a restore. */
  activate(features: bigint): void;
  /**
   * Process everything available in queue `index`. Throwing RingViolation means needsReset. Chains may be kept and
   * returned later: `queue.push`, `queue.flush`, then {@link DeviceHost.queueInterrupt} if that said so. A queue that was
   * reset meanwhile takes them and does nothing.
   */
  process(index: number, queue: DeviceQueue): void;
  /** Forget everything the specification says a reset forgets. May be called at any moment, also from inside process (by a re-entrant register write). */
  reset(): void;
  /** The model's own state as plain data, the accepted features and chains it keeps included. Absent: it has none. */
  save?(): unknown;
  /**
   * Takes on what {@link DeviceModel.save} gave (null where it was absent), whatever state the model was in. What comes is
   * not trusted: throws GpuError EINVAL, and changes nothing then.
   */
  restore?(state: unknown): void;
}

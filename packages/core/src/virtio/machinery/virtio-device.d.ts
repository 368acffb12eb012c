import { type Tracer } from "../../base/tracer.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import type { DeviceHost, DeviceModel } from "../device-model.ts";
import type { QueueAddresses } from "../transport.ts";
import { type VirtioDeviceFeatures } from "./features.ts";
import { type VirtioDeviceState } from "./saved-state.ts";
import { type DevicePhase } from "./status.ts";
/** What a {@link VirtioDevice} is made of. */
export interface VirtioDeviceOptions {
  readonly model: DeviceModel;
  /** The guest's memory by the addresses that the driver uses (an IOMMU's under ACCESS_PLATFORM). */
  readonly memory: GuestMemory;
  /** Names the device in every message. */
  readonly label: string;
  readonly features?: VirtioDeviceFeatures | undefined;
  readonly tracer?: Tracer | undefined;
}
/** What an interrupt is about: a queue's used buffers, or the configuration (NEEDS_RESET included). */
export type InterruptSource = number | "config";
/** See the file's head. Register methods take any number, and ignore what makes no sense. */
export declare class VirtioDevice implements DeviceHost {
  #private;
  readonly label: string;
  readonly model: DeviceModel;
  readonly memory: GuestMemory;
  /** All feature bits that the driver may accept. */
  readonly offeredFeatures: bigint;
  readonly queueCount: number;
  /** Bytes of device configuration space. */
  readonly configBytes: number;
  constructor(options: VirtioDeviceOptions);
  /** Sets who is told of interrupts, on the stack of what caused them. One face at a time. */
  setInterruptSink(sink: ((source: InterruptSource) => void) | null): void;
  /** Sets who is told that the device was reset, whoever did it: the face has registers of its own to clear. */
  setResetListener(listener: (() => void) | null): void;
  /** Bus mastering: while false the device touches no memory, and kicks wait. Not changed by a reset. Default true. */
  setMemoryAccess(allowed: boolean): void;
  /** The 8-bit device status. */
  get status(): number;
  get phase(): DevicePhase;
  /** Why the device set NEEDS_RESET, or null. */
  get stopReason(): string | null;
  /** Writes the 8-bit device status; 0 resets, at once. */
  writeStatus(written: number): void;
  /** Forgets everything but what the model keeps over a reset. At any moment, also from inside processing. */
  reset(): void;
  /** The features that the driver accepted; final from FEATURES_OK on. */
  get driverFeatures(): bigint;
  /** 32 bits of the offered features; 0 for words that do not exist. */
  deviceFeatureWord(select: number): number;
  /** 32 bits of the accepted features. */
  driverFeatureWord(select: number): number;
  /** Accepts 32 bits of features; ignored once FEATURES_OK is set. */
  writeDriverFeatureWord(select: number, value: number): void;
  get configGeneration(): number;
  /** Little endian; bytes behind the space's end read 0. */
  readConfig(offset: number, width: 1 | 2 | 4): number;
  /** Little endian; ignored where it reaches behind the space's end, and while suspended. */
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void;
  /** Most entries of queue `index`; 0 where there is none. */
  queueSizeMax(index: number): number;
  queueSize(index: number): number;
  /** 16 bits, checked when the queue is enabled. Ignored on an enabled queue. */
  setQueueSize(index: number, size: number): void;
  /** Half an address: words 0 and 1 descriptors, 2 and 3 driver, 4 and 5 device part, low halves first. */
  queueAddressWord(index: number, word: number): number;
  /** Ignored on an enabled queue. */
  setQueueAddressWord(index: number, word: number, value: number): void;
  queueEnabled(index: number): boolean;
  /** Size and addresses as the driver wrote them, or null where there is no such queue. */
  queueAddresses(index: number): QueueAddresses | null;
  /** Writes size and addresses. Ignored on an enabled queue. */
  setQueueAddresses(index: number, addresses: QueueAddresses): void;
  /**
   * Enables a queue, from FEATURES_OK on, once. A size or an address that can't be, or that lies outside memory, is
   * NEEDS_RESET.
   */
  enableQueue(index: number): void;
  /** RING_RESET, and MMIO's writing 0 to QueueReady: done when it returns. */
  resetQueue(index: number): void;
  /** RING_RESET was accepted. */
  get ringResetAccepted(): boolean;
  /** A kick: processes the queue now; when the device may not yet, remembers it for DRIVER_OK, resume or bus mastering. */
  notify(index: number): void;
  configChanged(): void;
  needsReset(reason: string): void;
  queueInterrupt(index: number): void;
  /** The device's and its model's state, plain data. Throws GpuError EBUSY from inside processing. */
  save(): VirtioDeviceState;
  /**
   * Takes on a saved state, whatever state the device was in; guest memory must be as it was. Faces keep their own
   * registers and restore them themselves. Throws GpuError EINVAL for a state that can't be, and is unchanged then
   * (as far as its model keeps that promise too). Kicks that waited go on waiting: call {@link VirtioDevice.resumeWork}.
   */
  restore(saved: unknown): void;
  /** Looks at every queue, kicked or not: after a restore, or when the driver's kicks may have been lost. */
  resumeWork(): void;
}

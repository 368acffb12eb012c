/**
 * The machinery between a device model and the register faces (loopback, PCI, MMIO): status, features, queues,
 * notifications, reset, suspend, save and restore (VIRTIO 1.2 sections 2.1 to 2.6; v1.4 for SUSPEND).
 *
 * Single-threaded and synchronous: a kick is processed on the caller's stack. Any register may be written from inside
 * that (a sink or an interrupt handler may lead back to the driver): a nested kick makes the outer loop go round again,
 * a nested reset ends it. The driver is not trusted; what breaks the rules of a ring stops the device until a reset.
 *
 * Field audit, for {@link VirtioDevice.save}:
 *
 * | field | |
 * | --- | --- |
 * | #state, #stopReason, #driverFeatures, #configGeneration, #configPending | saved |
 * | #slots | saved: size, addresses, enabled, kicked, and where each ring stands; rings are made anew from that |
 * | model | saves itself, by the same call |
 * | label, memory, offeredFeatures, configBytes, queueCount, #tracer | given when the device is made |
 * | #interrupt, #onReset | the face's: it sets them again |
 * | #rescue | its owner's |
 * | #memoryAccess | the face's (bus mastering): it sets it again |
 * | #processing | false whenever a state can be saved |
 */
import { GpuError } from "../../base/errors.ts";
import { type Tracer, silentTracer, unfailing } from "../../base/tracer.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../../wire/virtio.ts";
import type { DeviceHost, DeviceModel } from "../device-model.ts";
import type { DeviceQueue, DeviceQueueState } from "../queue.ts";
import type { QueueAddresses } from "../transport.ts";
import {
  FEATURE_WORDS,
  type VirtioDeviceFeatures,
  areAcceptable,
  featureWord,
  joinFeatureWords,
  offeredFeatures,
} from "./features.ts";
import { QueueRegisterSet, openRing, violationOf } from "./queue-registers.ts";
import { reviveQueues } from "./revive.ts";
import type { StaleDriverRescue } from "./stale-drivers.ts";
import { VIRTIO_DEVICE_STATE_VERSION, type VirtioDeviceState, parseDeviceState } from "./saved-state.ts";
import {
  type DevicePhase,
  RESET_STATE,
  type StatusEffect,
  type StatusState,
  breakStatus,
  phaseOf,
  settleStatus,
  stepStatus,
} from "./status.ts";

/** What a {@link VirtioDevice} is made of. */
export interface VirtioDeviceOptions {
  readonly model: DeviceModel;
  /** The guest's memory by the addresses that the driver uses (an IOMMU's under ACCESS_PLATFORM). */
  readonly memory: GuestMemory;
  /** Names the device in every message. */
  readonly label: string;
  readonly features?: VirtioDeviceFeatures | undefined;
  readonly tracer?: Tracer | undefined;
  /** Helps drivers that do not know of a reset. Default: nobody does. */
  readonly rescue?: StaleDriverRescue | undefined;
}

/** What an interrupt is about: a queue's used buffers, or the configuration (NEEDS_RESET included). */
export type InterruptSource = number | "config";

/** See the file's head. Register methods take any number, and ignore what makes no sense. */
export class VirtioDevice implements DeviceHost {
  readonly label: string;
  readonly model: DeviceModel;
  readonly memory: GuestMemory;
  /** All feature bits that the driver may accept. */
  readonly offeredFeatures: bigint;
  readonly queueCount: number;
  /** Bytes of device configuration space. */
  readonly configBytes: number;

  #slots: readonly QueueRegisterSet[];
  readonly #tracer: Tracer;
  readonly #driverFeatures: Uint32Array = new Uint32Array(FEATURE_WORDS);
  #state: StatusState = RESET_STATE;
  #stopReason: string | null = null;
  #configGeneration = 0;
  #configPending = false;
  #processing = false;
  #memoryAccess = true;
  readonly #rescue: StaleDriverRescue | null;
  #interrupt: ((source: InterruptSource) => void) | null = null;
  #onReset: (() => void) | null = null;

  constructor(options: VirtioDeviceOptions) {
    const { model } = options;
    this.label = options.label;
    this.model = model;
    this.memory = options.memory;
    this.offeredFeatures = offeredFeatures(model.features, options.features ?? {});
    this.configBytes = model.configBytes;
    this.#slots = model.queueSizes.map((sizeMax, index) => new QueueRegisterSet(index, sizeMax));
    this.queueCount = this.#slots.length;
    this.#tracer = unfailing(options.tracer ?? silentTracer);
    this.#rescue = options.rescue ?? null;
    model.attach(this);
  }

  /** Sets who is told of interrupts, on the stack of what caused them. One face at a time. */
  setInterruptSink(sink: ((source: InterruptSource) => void) | null): void {
    this.#interrupt = sink;
  }

  /** Sets who is told that the device was reset, whoever did it: the face has registers of its own to clear. */
  setResetListener(listener: (() => void) | null): void {
    this.#onReset = listener;
  }

  /** Bus mastering: while false the device touches no memory, and kicks wait. Not changed by a reset. Default true. */
  setMemoryAccess(allowed: boolean): void {
    this.#memoryAccess = allowed;
    if (allowed) this.#run();
  }

  // Status and features.

  /** The 8-bit device status. */
  get status(): number {
    // A model that returned its last buffer without an interrupt told nobody.
    if (this.phase === "suspending") this.#settle();
    return this.#state.status;
  }

  /** Where the device is in its life, by its status. */
  get phase(): DevicePhase {
    return phaseOf(this.#state);
  }

  /** Why the device set NEEDS_RESET, or null. */
  get stopReason(): string | null {
    return this.#stopReason;
  }

  /** Writes the 8-bit device status; 0 resets, at once. */
  writeStatus(written: number): void {
    const before = this.#state.status;
    const accepted = this.driverFeatures;
    const { next, effect } = stepStatus(this.#state, written, {
      featuresAcceptable: areAcceptable(accepted, this.offeredFeatures),
      suspendAccepted: (accepted & featureBit(VirtioFeature.SUSPEND)) !== 0n,
    });
    if (effect !== "reset") this.#state = next;
    this.#traceState(before, effect === "reset" ? 0 : next.status, effect);
    this.#apply(effect);
  }

  /** Forgets everything but what the model keeps over a reset. At any moment, also from inside processing. */
  reset(): void {
    this.#rescue?.beforeReset(this);
    for (const slot of this.#slots) slot.reset();
    this.#state = RESET_STATE;
    this.#stopReason = null;
    this.#driverFeatures.fill(0);
    this.#configPending = false;
    this.model.reset();
    this.#onReset?.();
  }

  /** The features that the driver accepted; final from FEATURES_OK on. */
  get driverFeatures(): bigint {
    return joinFeatureWords(this.#driverFeatures);
  }

  /** 32 bits of the offered features; 0 for words that do not exist. */
  deviceFeatureWord(select: number): number {
    return featureWord(this.offeredFeatures, select);
  }

  /** 32 bits of the accepted features. */
  driverFeatureWord(select: number): number {
    return this.#driverFeatures[select] ?? 0;
  }

  /** Accepts 32 bits of features; ignored once FEATURES_OK is set. */
  writeDriverFeatureWord(select: number, value: number): void {
    if ((this.#state.status & DeviceStatus.FEATURES_OK) === 0) this.#driverFeatures[select] = value;
  }

  // Configuration space.

  /** Changes with every change of the configuration (VIRTIO 1.2 section 2.5). */
  get configGeneration(): number {
    return this.#configGeneration;
  }

  /** Little endian; bytes behind the space's end read 0. */
  readConfig(offset: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let index = width - 1; index >= 0; index -= 1) {
      const at = offset + index;
      const byte = Number.isInteger(at) && at >= 0 && at < this.configBytes ? this.model.readConfig8(at) & 0xff : 0;
      value = (value << 8) | byte;
    }
    return value >>> 0;
  }

  /** Little endian; ignored where it reaches behind the space's end, and while suspended. */
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    const fits = Number.isInteger(offset) && offset >= 0 && offset + width <= this.configBytes;
    if (!fits || this.phase === "suspended") return;
    this.model.writeConfig(offset, width, value);
  }

  // Queues. A queue that does not exist reads as one of size 0, and takes no writes.

  /** Most entries of queue `index`; 0 where there is none. */
  queueSizeMax(index: number): number {
    return this.#slots[index]?.sizeMax ?? 0;
  }

  /** The size of a queue, as the driver chose it, in entries. */
  queueSize(index: number): number {
    return this.#slots[index]?.size ?? 0;
  }

  /** 16 bits, checked when the queue is enabled. Ignored on an enabled queue. */
  setQueueSize(index: number, size: number): void {
    const slot = this.#writable(index);
    if (slot !== null) slot.size = size & 0xffff;
  }

  /** Half an address: words 0 and 1 descriptors, 2 and 3 driver, 4 and 5 device part, low halves first. */
  queueAddressWord(index: number, word: number): number {
    return this.#slots[index]?.words[word] ?? 0;
  }

  /** Ignored on an enabled queue. */
  setQueueAddressWord(index: number, word: number, value: number): void {
    const slot = this.#writable(index);
    if (slot !== null) slot.words[word] = value;
  }

  /** Whether the driver enabled a queue. */
  queueEnabled(index: number): boolean {
    return this.#slots[index]?.enabled ?? false;
  }

  /** Size and addresses as the driver wrote them, or null where there is no such queue. */
  queueAddresses(index: number): QueueAddresses | null {
    return this.#slots[index]?.addresses ?? null;
  }

  /** Writes size and addresses. Ignored on an enabled queue. */
  setQueueAddresses(index: number, addresses: QueueAddresses): void {
    const slot = this.#writable(index);
    if (slot !== null) slot.addresses = addresses;
  }

  /**
   * Enables a queue, from FEATURES_OK on, once. A size or an address that can't be, or that lies outside memory, is
   * NEEDS_RESET.
   */
  enableQueue(index: number): void {
    const slot = this.#writable(index);
    if (slot === null || (this.#state.status & DeviceStatus.FEATURES_OK) === 0) return;
    try {
      slot.queue = openRing(this.memory, slot, this.driverFeatures);
      slot.enabled = true;
    } catch (error) {
      this.needsReset(`queue ${index}: ${violationOf(error)}`);
    }
  }

  /** RING_RESET, and MMIO's writing 0 to QueueReady: done when it returns. */
  resetQueue(index: number): void {
    const { phase } = this;
    if (phase !== "stopped" && phase !== "suspended") this.#slots[index]?.reset();
  }

  /** RING_RESET was accepted. */
  get ringResetAccepted(): boolean {
    return (this.driverFeatures & featureBit(VirtioFeature.RING_RESET)) !== 0n;
  }

  /** A kick: processes the queue now; when the device may not yet, remembers it for DRIVER_OK, resume or bus mastering. */
  notify(index: number): void {
    const slot = this.#slots[index];
    if (slot === undefined || slot.queue === null) return;
    slot.kicked = true;
    this.#run();
  }

  // What the model may ask for.

  configChanged(): void {
    this.#configGeneration = (this.#configGeneration + 1) >>> 0;
    const { phase } = this;
    if (phase === "running" || phase === "suspending") this.#interrupt?.("config");
    else if (phase === "suspended") this.#configPending = true;
  }

  needsReset(reason: string): void {
    if (this.#state.stopped) return;
    const before = this.#state.status;
    this.#state = breakStatus(this.#state);
    this.#stopReason = reason;
    for (const slot of this.#slots) slot.close();
    this.#traceState(before, this.#state.status, "needs reset");
    if (this.#tracer.enabled) {
      this.#tracer.trace({ kind: "message", device: this.label, level: "error", text: `needs a reset: ${reason}` });
    }
    if ((before & DeviceStatus.DRIVER_OK) !== 0) this.#interrupt?.("config");
  }

  queueInterrupt(index: number): void {
    if (!this.#isWorking()) return;
    this.#interrupt?.(index);
    if (!this.#processing && this.phase === "suspending") this.#settle();
  }

  // Saved states.

  /** The device's and its model's state, plain data. Throws GpuError EBUSY from inside processing. */
  save(): VirtioDeviceState {
    if (this.#processing) {
      throw new GpuError("EBUSY", "a device can't be saved while it processes a queue", { device: this.label });
    }
    return {
      version: VIRTIO_DEVICE_STATE_VERSION,
      deviceId: this.model.deviceId,
      status: this.#state.status,
      stopped: this.#state.stopped,
      stopReason: this.#stopReason,
      driverFeatures: [...this.#driverFeatures],
      configGeneration: this.#configGeneration,
      configPending: this.#configPending,
      queues: this.#slots.map((slot) => ({
        size: slot.size,
        addresses: [...slot.words],
        enabled: slot.enabled,
        kicked: slot.kicked,
        ring: slot.queue?.save() ?? null,
      })),
      model: this.model.save?.() ?? null,
    };
  }

  /**
   * Takes on a saved state, whatever state the device was in; guest memory must be as it was. Faces keep their own
   * registers and restore them themselves. Throws GpuError EINVAL for a state that can't be, and is unchanged then
   * (as far as its model keeps that promise too). Kicks that waited go on waiting: call {@link VirtioDevice.resumeWork}.
   */
  restore(saved: unknown): void {
    if (this.#processing) {
      throw new GpuError("EBUSY", "a device can't be restored while it processes a queue", { device: this.label });
    }
    const state = parseDeviceState(saved, this.label);
    const revived = reviveQueues(state, this);
    this.model.restore?.(state.model);
    for (const slot of this.#slots) slot.close();
    this.#slots = revived;
    this.#state = { status: state.status, stopped: state.stopped };
    this.#stopReason = state.stopReason;
    this.#driverFeatures.set(state.driverFeatures);
    this.#configGeneration = state.configGeneration;
    this.#configPending = state.configPending;
  }

  /** Looks at every queue, kicked or not: after a restore, or when the driver's kicks may have been lost. */
  resumeWork(): void {
    for (const slot of this.#slots) slot.kicked = slot.queue !== null;
    this.#run();
  }

  #apply(effect: StatusEffect): void {
    switch (effect) {
      case "none":
      case "refused":
        return;
      case "reset":
        this.reset();
        return;
      case "activate":
        this.model.activate(this.driverFeatures);
        this.#rescue?.driverOk(this);
        this.#run();
        return;
      case "suspend":
        this.resumeWork();
        return;
      case "resume":
        this.#resume();
        return;
      case "stop":
        for (const slot of this.#slots) slot.close();
    }
  }

  #resume(): void {
    const announce = this.#configPending;
    this.#configPending = false;
    if (announce) this.#interrupt?.("config");
    this.#run();
  }

  /** Ends suspending when nothing that was made available is left to do. */
  #settle(): void {
    if (this.#processing || !this.#memoryAccess) return;
    if (!this.#slots.every((slot) => slot.queue === null || isIdle(slot.queue))) return;
    const before = this.#state.status;
    this.#state = settleStatus(this.#state);
    this.#traceState(before, this.#state.status, "suspended");
  }

  #isWorking(): boolean {
    const { phase } = this;
    return phase === "running" || phase === "suspending";
  }

  /** Processes what was kicked, unless that is going on already: the loop that does looks again. */
  #run(): void {
    if (this.#processing || !this.#mayProcess()) return;
    this.#processing = true;
    try {
      let again = true;
      while (again) {
        again = false;
        for (const slot of this.#slots) {
          if (!slot.kicked || !this.#mayProcess()) continue;
          slot.kicked = false;
          again = true;
          this.#process(slot);
        }
      }
    } finally {
      this.#processing = false;
    }
    if (this.phase === "suspending") this.#settle();
  }

  #mayProcess(): boolean {
    return this.#memoryAccess && this.#isWorking();
  }

  /**
   * Lets the model process one queue until nothing is available. A model may leave chains for later, so a round that
   * took none is the last. Notifications are not disabled meanwhile: a driver on this thread can't kick in between, and
   * one on another would only make the loop go round once more.
   */
  #process(slot: QueueRegisterSet): void {
    const { queue, index } = slot;
    if (queue === null) return;
    let stoppedAt: DeviceQueueState | null = null;
    try {
      for (;;) {
        this.model.process(index, queue);
        if (slot.queue !== queue || !this.#mayProcess() || !queue.enableNotifications()) return;
        const at = queue.save();
        if (stoppedAt !== null && isSamePlace(at, stoppedAt)) return;
        stoppedAt = at;
      }
    } catch (error) {
      const reason = `queue ${index}: ${violationOf(error)}`;
      // What was thrown over a ring that a nested reset took away concerns nobody.
      if (slot.queue === queue) this.needsReset(reason);
    }
  }

  /** A queue whose registers take writes now, or null. */
  #writable(index: number): QueueRegisterSet | null {
    const slot = this.#slots[index];
    const { phase } = this;
    return slot === undefined || slot.enabled || phase === "stopped" || phase === "suspended" ? null : slot;
  }

  #traceState(from: number, to: number, event: string): void {
    if (!this.#tracer.enabled || (from === to && event === "none")) return;
    this.#tracer.trace({ kind: "state", device: this.label, from: hex(from), to: hex(to), event });
  }
}

function isIdle(queue: DeviceQueue): boolean {
  const { availableIndex, availableWrap, usedIndex, usedWrap } = queue.save();
  return availableIndex === usedIndex && availableWrap === usedWrap && !queue.enableNotifications();
}

function isSamePlace(one: DeviceQueueState, other: DeviceQueueState): boolean {
  return one.availableIndex === other.availableIndex && one.availableWrap === other.availableWrap;
}

function hex(status: number): string {
  return `0x${status.toString(16)}`;
}

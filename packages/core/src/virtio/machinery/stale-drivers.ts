/**
 * For drivers that do not know what a hibernation does to a device. Linux's virtio core resets every device when a system
 * thaws and when it resumes, and sets DRIVER_OK again, whether or not the device's driver has set up its queues: one
 * without `restore` (virtio_gpu in mainline Linux, at least up to 6.12) goes on as if nothing had happened, on a device
 * that knows neither its rings nor its resources.
 *
 * The rule here: what the device knew is kept over a reset. When DRIVER_OK comes and no queue was enabled, no driver can
 * mean that: all of it is reinstated, and the rings go on where their used index stands in memory. A driver that enables
 * queues never meets the rule.
 *
 * Limits: split rings only; the same features have to be accepted again; what the guest did between its snapshot and the
 * power-off is not in what its driver remembers, and therefore not in what is kept.
 */
import { GpuError } from "../../base/errors.ts";
import { type Tracer, silentTracer, unfailing } from "../../base/tracer.ts";
import type { GuestMemory } from "../../memory/guest-memory.ts";
import { DeviceStatus, VirtioFeature, featureBit } from "../../wire/virtio.ts";
import { joinFeatureWords } from "./features.ts";
import { type VirtioDeviceState, type VirtioQueueState, parseDeviceState } from "./saved-state.ts";

const USED_INDEX_OFFSET = 2;
const HIGH_WORD = 2 ** 32;

/** What the rule asks of a device. */
export interface RescuedDevice {
  readonly label: string;
  readonly memory: GuestMemory;
  readonly status: number;
  readonly queueCount: number;
  readonly driverFeatures: bigint;
  queueEnabled(index: number): boolean;
  save(): VirtioDeviceState;
  restore(state: unknown): void;
  resumeWork(): void;
}

/** See the file's head. Give it to a VirtioDevice as its `rescue`. */
export class StaleDriverRescue {
  /** What an earlier machine's device knew when the guest's snapshot was taken. */
  #seed: unknown;
  /** What was known before the last reset. */
  #beforeReset: VirtioDeviceState | null = null;
  #reinstated: VirtioDeviceState | null = null;
  readonly #tracer: Tracer;

  /** `seed`: {@link StaleDriverRescue.kept} of the machine that was switched off. The tracer hears what was done, or why not. */
  constructor(options: { readonly seed?: unknown; readonly tracer?: Tracer } = {}) {
    this.#seed = options.seed ?? null;
    this.#tracer = unfailing(options.tracer ?? silentTracer);
  }

  /** What a stale driver was last given back: what its snapshot, if one was taken, believes in. Null: none came yet. */
  get kept(): VirtioDeviceState | null {
    return this.#reinstated;
  }

  /** The machine was switched off or rebooted: nobody in it remembers anything. */
  forget(): void {
    this.#beforeReset = null;
  }

  /** A device that was working is about to be reset. */
  beforeReset(device: RescuedDevice): void {
    const working = (device.status & DeviceStatus.DRIVER_OK) !== 0 && (device.status & DeviceStatus.NEEDS_RESET) === 0;
    if (!working || !hasQueues(device)) return;
    try {
      this.#beforeReset = device.save();
    } catch (error) {
      // In the middle of a command, or with a renderer that can't be saved.
      this.#beforeReset = null;
      this.#tell(device, "warn", `what a driver left could not be kept: ${sentenceOf(error)}`);
    }
  }

  /** DRIVER_OK was set. */
  driverOk(device: RescuedDevice): void {
    const before = this.#beforeReset;
    this.#beforeReset = null;
    if (hasQueues(device)) return;
    // A kernel that has booted only to resume another may have driven the device too: memory tells whose driver this is.
    const isSeed = this.#seed !== null && (before === null || !standsIn(before, device.memory));
    const state = isSeed ? this.#seed : before;
    this.#seed = null;
    if (state === null) return;
    try {
      this.#reinstated = reinstate(device, state);
      this.#tell(device, "info", "a driver that does not know of the reset was given its queues and resources back");
      device.resumeWork();
    } catch (error) {
      this.#tell(device, "warn", `a driver that does not know of the reset can't be helped: ${sentenceOf(error)}`);
    }
  }

  #tell({ label }: RescuedDevice, level: "info" | "warn", text: string): void {
    if (this.#tracer.enabled) this.#tracer.trace({ kind: "message", device: label, level, text });
  }
}

function hasQueues(device: RescuedDevice): boolean {
  return Array.from({ length: device.queueCount }, (_, index) => index).some((index) => device.queueEnabled(index));
}

/** Returns the state as it was kept. Throws GpuError EINVAL, having changed nothing. */
function reinstate(device: RescuedDevice, saved: unknown): VirtioDeviceState {
  const state = parseDeviceState(saved, device.label);
  const features = joinFeatureWords(state.driverFeatures);
  if (features !== device.driverFeatures) throw new GpuError("EINVAL", "it accepted other features than before");
  if ((features & featureBit(VirtioFeature.RING_PACKED)) !== 0n) {
    throw new GpuError("EINVAL", "where a packed ring stands is not in memory");
  }
  const queues = state.queues.map((queue) => atUsedIndex(queue, device.memory));
  device.restore({ ...state, status: device.status, stopped: false, stopReason: null, queues });
  return state;
}

/** Whether the rings stand in memory where this state has them. */
function standsIn(state: VirtioDeviceState, memory: GuestMemory): boolean {
  return state.queues.every(
    (queue) => !queue.enabled || (queue.ring !== null && usedIndex(queue, memory) === queue.ring.usedIndex),
  );
}

/** What the driver sees of a queue's used index; null where that is no memory. */
function usedIndex(queue: VirtioQueueState, memory: GuestMemory): number | null {
  const [, , , , low = 0, high = 0] = queue.addresses;
  const address = high * HIGH_WORD + low + USED_INDEX_OFFSET;
  if (!memory.contains(address, 2)) return null;
  const bytes = new Uint8Array(2);
  memory.read(address, bytes);
  return (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
}

/** The ring as its driver knows it: everything that it was told is used, nothing else. */
function atUsedIndex(queue: VirtioQueueState, memory: GuestMemory): VirtioQueueState {
  if (!queue.enabled) return queue;
  const index = usedIndex(queue, memory);
  if (index === null) throw new GpuError("EINVAL", "its rings lie outside memory");
  return {
    ...queue,
    kicked: false,
    ring: { availableIndex: index, usedIndex: index, availableWrap: true, usedWrap: true },
  };
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

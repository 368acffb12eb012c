/**
 * A virtio-gpu device (VIRTIO 1.2 section 5.7, v1.4 where said): the model that a virtio machinery drives, and the public
 * face for whoever owns the device.
 *
 * Answers are QEMU's; where they differ on purpose, docs/device-differences.md says why. Commands are executed one after
 * the other, in order. Whatever the guest sends, nothing is thrown but RingViolation, and memory stays within the limits of
 * the options. A reset may come at any moment, also from inside a command (a display sink, or a reply, that reaches the
 * device's registers): the rest of the command then touches neither ring nor memory.
 */
import { assert } from "../base/assert.ts";
import { GpuError } from "../base/errors.ts";
import type { DeviceHost, DeviceModel, DeviceSharedMemory } from "../virtio/device-model.ts";
import type { DeviceQueue } from "../virtio/queue.ts";
import { GPU_CONFIG_BYTES, GPU_CONFIG_BYTES_BASE, GpuConfig, Header } from "../wire/gpu.gen.ts";
import {
  BYTES_PER_PIXEL,
  GPU_DEVICE_ID,
  GpuEvent,
  GpuFeature,
  GpuQueue,
  GpuReply,
  HeaderFlag,
  SharedMemoryId,
} from "../wire/gpu.ts";
import { unmap } from "./blobs.ts";
import { controlCommand, objectOf } from "./control.ts";
import { cursorCommand, presentCursors } from "./cursors.ts";
import { disableScanout } from "./display.ts";
import type { DisplaySink } from "./display-sink.ts";
import { GpuState } from "./gpu-state.ts";
import { CommandLane } from "./lane.ts";
import { applyState, readState } from "./restore-state.ts";
import { type GpuDeviceState, saveState } from "./saved-state.ts";
import { type OutputLayout, type DeviceOutput, setUp, toDeviceOutput, type VirtioGpuDeviceOptions } from "./options.ts";

/** What an output shows, as opaque RGBA without gaps between rows. */
export interface Screenshot {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8Array;
}

/** All bits of a device-type feature mask that are low enough to be one of GPU's. */
const FEATURE_MASK = 0xff_ffffn;
/** The command's reply comes later. */
const DEFERRED = -1;

/** One queue's work. */
class QueueWork {
  lane: CommandLane;
  /** Commands so far: names them in traces. */
  sequence = 0;
  busy = false;
  /** Another ring than the one being worked on, which was kicked from inside a command: for afterwards. */
  next: DeviceQueue | null = null;

  constructor(lane: CommandLane) {
    this.lane = lane;
  }
}

/** See the file's head. */
export class VirtioGpuDevice implements DeviceModel {
  readonly deviceId: number = GPU_DEVICE_ID;
  readonly label: string;
  readonly features: bigint;
  readonly queueSizes: readonly number[];
  readonly configBytes: number;
  readonly sharedMemory: readonly DeviceSharedMemory[];
  readonly #state: GpuState;
  #work: QueueWork[] = [];
  /** Lanes of commands that were answered late, for the next ones. */
  #lanes: CommandLane[] = [];

  /** Throws GpuError EINVAL for options that can't be. */
  constructor(options: VirtioGpuDeviceOptions = {}) {
    const setup = setUp(options);
    this.#state = new GpuState(setup, options.sink ?? null);
    this.label = setup.label;
    this.features = BigInt(setup.features);
    this.queueSizes = setup.queueSizes;
    this.configBytes = setup.blobAlignment === 0 ? GPU_CONFIG_BYTES_BASE : GPU_CONFIG_BYTES;
    const { window } = this.#state;
    this.sharedMemory = window.byteLength === 0 ? [] : [{ id: SharedMemoryId.HOST_VISIBLE, bytes: window }];
  }

  /** The outputs as they stand. */
  get outputs(): readonly DeviceOutput[] {
    return this.#state.outputs;
  }

  /** Numbers for those who watch the device. */
  get usage(): { readonly resources: number; readonly hostBytes: number; readonly entries: number } {
    const { resources, hostBytes, entries } = this.#state;
    return { resources: resources.size, hostBytes, entries };
  }

  /**
   * Connects a monitor, changes what it asks for, or takes it away (null). The guest is told by EVENT_DISPLAY. Throws
   * GpuError EINVAL.
   */
  setOutput(index: number, layout: OutputLayout | null): void {
    const state = this.#state;
    const before = state.outputs[index];
    if (before === undefined) throw new GpuError("EINVAL", `there is no output ${index}`, { device: this.label });
    const after = toDeviceOutput(layout, before);
    if (isSameLayout(before, after)) return;
    state.edids[index] = state.setup.edidOf(after);
    state.outputs[index] = after;
    state.events |= GpuEvent.DISPLAY;
    state.host?.configChanged();
  }

  /** Tells another sink (or none) from now on, beginning with what is shown at the moment. */
  setSink(sink: DisplaySink | null): void {
    this.#state.tell(sink);
    this.#present();
  }

  /**
   * What an output shows: of a 2D resource the host's copy, of a blob the guest's memory at this moment. Null when it is
   * off. Throws GpuError EINVAL when there is no such output.
   */
  screenshot(output: number): Screenshot | null {
    const scanout = this.#state.scanouts[output];
    if (scanout === undefined) throw new GpuError("EINVAL", `there is no output ${output}`, { device: this.label });
    if (scanout === null) return null;
    const { width, height } = scanout;
    const stride = width * BYTES_PER_PIXEL;
    const rgba = new Uint8Array(stride * height);
    scanout.readRgba({ x: 0, y: 0, width, height }, rgba, 0, stride);
    return { width, height, rgba };
  }

  /**
   * All that the device knows, as plain data that stays as it is. Throws GpuError EBUSY in the middle of a command or while
   * fences are pending, ENOTSUP where the guest uses 3D and the renderer can't be saved.
   */
  save(): GpuDeviceState {
    this.#refuseWhileBusy("saved");
    return saveState(this.#state);
  }

  /**
   * Takes over what {@link VirtioGpuDevice.save} gave, here or elsewhere, on a device with as many outputs and at least
   * these features, attached to memory with the guest's old contents. All of it is checked first: throws GpuError EINVAL,
   * having changed nothing. The sink is told of what is shown. Rings and status are the machinery's to restore.
   */
  restore(saved: unknown): void {
    const state = this.#state;
    this.#refuseWhileBusy("restored");
    assert(state.host !== null, "a device is attached before it is restored");
    const checked = readState(state, saved);
    state.life += 1;
    this.#startWork();
    applyState(state, checked);
  }

  attach(host: DeviceHost): void {
    assert(this.#state.host === null, "a device is attached once");
    this.#state.host = host;
    this.#startWork();
  }

  readConfig8(offset: number): number {
    if (offset < 0 || offset >= this.configBytes) return 0;
    const { setup, events, outputs } = this.#state;
    const shift = (offset % 4) * 8;
    switch (offset - (offset % 4)) {
      case GpuConfig.EVENTS_READ:
        return (events >>> shift) & 0xff;
      case GpuConfig.NUM_SCANOUTS:
        return (outputs.length >>> shift) & 0xff;
      case GpuConfig.NUM_CAPSETS:
        return ((setup.renderer?.capsets.length ?? 0) >>> shift) & 0xff;
      case GpuConfig.BLOB_ALIGNMENT:
        return (setup.blobAlignment >>> shift) & 0xff;
      default:
        return 0;
    }
  }

  /** Only `events_clear` can be written: what it names is cleared in `events_read`. */
  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    const shift = offset - GpuConfig.EVENTS_CLEAR;
    if (shift < 0 || shift + width > 4) return;
    this.#state.events &= ~(value << (shift * 8));
  }

  activate(features: bigint): void {
    this.#state.negotiated = Number(features & this.features & FEATURE_MASK);
  }

  process(index: number, queue: DeviceQueue): void {
    const work = this.#work[index];
    if (work === undefined) return;
    if (work.busy) {
      work.next = queue;
      return;
    }
    work.busy = true;
    try {
      for (let ring: DeviceQueue | null = queue; ring !== null; ring = takeNext(work, ring)) {
        if (!this.#processRing(index, work, ring)) return;
      }
    } finally {
      work.busy = false;
    }
  }

  reset(): void {
    const state = this.#state;
    state.life += 1;
    state.negotiated = 0;
    state.pendingFences = 0;
    this.#startWork();
    if (state.setup.keepResourcesOverReset) return;
    const { resources } = state;
    state.resources = new Map();
    state.hostBytes = 0;
    state.entries = 0;
    const { maps } = state;
    state.maps = [];
    for (const resource of maps) unmap(state, resource);
    state.contexts.clear();
    state.setup.renderer?.reset();
    for (const output of state.scanouts.keys()) disableScanout(state, output);
    for (const resource of resources.values()) resource.dropHostCopy(state.pixelMemory);
  }

  /** Works off everything available in a ring; false when the device's life ended meanwhile. */
  #processRing(index: number, work: QueueWork, queue: DeviceQueue): boolean {
    const state = this.#state;
    const { life } = state;
    const isControl = index === GpuQueue.CONTROL;
    try {
      do {
        queue.disableNotifications();
        while (queue.pop(work.lane.chain)) {
          const { lane } = work;
          const written = isControl ? this.#control(work, queue) : this.#cursor(work);
          if (state.life !== life) return false;
          if (written !== DEFERRED) queue.push(lane.chain, written);
        }
        this.#deliver(index, queue);
        if (state.life !== life) return false;
      } while (queue.enableNotifications());
      return true;
    } finally {
      if (state.life === life) {
        // After a violation: what was done before it is returned.
        this.#deliver(index, queue);
        work.lane.forget();
        state.access?.forget();
      }
    }
  }

  #deliver(index: number, queue: DeviceQueue): void {
    if (queue.flush()) this.#state.host?.queueInterrupt(index);
  }

  /** Executes a command of the control queue; returns the bytes of its reply. */
  #control(work: QueueWork, queue: DeviceQueue): number {
    const state = this.#state;
    const { life } = state;
    const { lane } = work;
    work.sequence += 1;
    const { sequence } = work;
    const isRead = lane.read();
    const { tracer } = state.setup;
    if (tracer.enabled) this.#traceCommand("control", sequence, lane);
    const reply = isRead ? controlCommand(state, lane) : GpuReply.ERR_UNSPEC;
    // The reply's buffer is the driver's again when it reset the device, or this queue, meanwhile.
    if (state.life !== life || queue.closed) return DEFERRED;
    if (state.setup.renderer?.hasFences === true) {
      if (this.#defer(work, queue, reply) || state.life !== life || queue.closed) return DEFERRED;
    }
    return this.#answer(lane, sequence, reply);
  }

  #answer(lane: CommandLane, sequence: number, reply: number): number {
    const state = this.#state;
    const { tracer } = state.setup;
    if (tracer.enabled) {
      const type = lane.request[Header.TYPE] ?? 0;
      tracer.trace({ kind: "reply", device: this.label, queue: "control", sequence, type, reply });
    }
    return lane.answer(reply, state.hasNegotiated(GpuFeature.CONTEXT_INIT));
  }

  /** Executes a command of the cursor queue, which is never answered. */
  #cursor(work: QueueWork): number {
    work.sequence += 1;
    const { lane } = work;
    const isRead = lane.read();
    if (this.#state.setup.tracer.enabled) this.#traceCommand("cursor", work.sequence, lane);
    if (isRead) cursorCommand(this.#state, lane);
    return 0;
  }

  /**
   * A fenced command's reply waits for the renderer. True when it comes later: then the command has gone with its lane,
   * and the queue has a new one.
   */
  #defer(work: QueueWork, queue: DeviceQueue, reply: number): boolean {
    const state = this.#state;
    const { lane, sequence } = work;
    const flags = lane.request[Header.FLAGS] ?? 0;
    const isFenced = (flags & HeaderFlag.FENCE) !== 0 && reply < GpuReply.ERR_UNSPEC;
    if (!isFenced || !state.hasNegotiated(GpuFeature.VIRGL)) return false;
    const hasRing = (flags & HeaderFlag.INFO_RING_IDX) !== 0 && state.hasNegotiated(GpuFeature.CONTEXT_INIT);
    const ringIndex = hasRing ? (lane.request[Header.RING_INDEX] ?? 0) & 0xff : null;
    const { life } = state;
    let phase: "asked" | "waiting" | "done" = "asked";
    const signal = (): void => {
      if (phase === "waiting" && state.life === life) this.#answerLate(lane, queue, sequence, reply);
      phase = "done";
    };
    state.setup.renderer?.fence(lane.request[Header.CONTEXT_ID] ?? 0, ringIndex, signal);
    if (isDone(phase) || state.life !== life) return false;
    phase = "waiting";
    state.pendingFences += 1;
    work.lane = this.#lanes.pop() ?? new CommandLane(state.memory);
    return true;
  }

  #answerLate(lane: CommandLane, queue: DeviceQueue, sequence: number, reply: number): void {
    const state = this.#state;
    const { life } = state;
    state.pendingFences -= 1;
    if (queue.closed) return;
    const written = this.#answer(lane, sequence, reply);
    if (state.life !== life) return;
    queue.push(lane.chain, written);
    this.#deliver(GpuQueue.CONTROL, queue);
    lane.forget();
    if (state.life === life) this.#lanes.push(lane);
  }

  #traceCommand(queue: "control" | "cursor", sequence: number, lane: CommandLane): void {
    const type = lane.request[Header.TYPE] ?? 0;
    const object = objectOf(lane.request, type);
    this.#state.setup.tracer.trace({ kind: "command", device: this.label, queue, sequence, type, object });
  }

  /** A new life begins with lanes of its own: what is still under way in the old one can't disturb them. */
  #startWork(): void {
    const { host, setup } = this.#state;
    if (host === null) return;
    this.#lanes = [];
    this.#work = setup.queueSizes.map(() => new QueueWork(new CommandLane(host.memory)));
  }

  #refuseWhileBusy(what: string): void {
    if (!this.#work.some(({ busy }) => busy)) return;
    throw new GpuError("EBUSY", `a device can't be ${what} in the middle of a command`, { device: this.label });
  }

  #present(): void {
    const state = this.#state;
    for (const [output, scanout] of state.scanouts.entries()) state.sink?.scanout(output, scanout);
    presentCursors(state);
  }
}

function takeNext(work: QueueWork, done: DeviceQueue): DeviceQueue | null {
  const { next } = work;
  work.next = null;
  return next === done ? null : next;
}

/** A function, since the compiler can't know that a callback has written it. */
function isDone(phase: string): boolean {
  return phase === "done";
}

function isSameLayout(one: DeviceOutput, other: DeviceOutput): boolean {
  return (
    one.enabled === other.enabled &&
    one.width === other.width &&
    one.height === other.height &&
    one.refreshHz === other.refreshHz &&
    one.widthMm === other.widthMm &&
    one.heightMm === other.heightMm &&
    one.name === other.name
  );
}

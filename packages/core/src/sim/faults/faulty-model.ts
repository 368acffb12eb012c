/**
 * A device model whose commands go wrong by a plan ({@link CommandFaults}): stands in for the model it wraps.
 */
import { assert } from "../../base/assert.ts";
import type { Clock } from "../../base/clock.ts";
import type { DeviceHost, DeviceModel, DeviceSharedMemory } from "../../virtio/device-model.ts";
import type { DeviceQueue } from "../../virtio/queue.ts";
import { CommandFaults, type SeenCommand } from "./command-faults.ts";
import { FaultyDeviceQueue } from "./faulty-queue.ts";

/** What a {@link FaultyModel} is made of. */
export interface FaultyModelOptions {
  /** The plan and the log. One may outlive many models: a host that is powered on again. Default: a new one. */
  readonly faults?: CommandFaults | undefined;
  /** For a new plan: needed for whatever takes milliseconds. */
  readonly clock?: Clock | undefined;
  /** The host's process ends: a fault of the kind `die`. */
  readonly onDie?: ((command: SeenCommand) => void) | undefined;
}

/** See the file's head. */
export class FaultyModel implements DeviceModel {
  readonly faults: CommandFaults;
  readonly #inner: DeviceModel;
  readonly #onDie: (command: SeenCommand) => void;
  readonly #queues: Map<number, { readonly inner: DeviceQueue; readonly faulty: FaultyDeviceQueue }> = new Map();
  #host: DeviceHost | null = null;

  constructor(inner: DeviceModel, options: FaultyModelOptions = {}) {
    this.#inner = inner;
    this.faults = options.faults ?? new CommandFaults(options.clock);
    this.#onDie = options.onDie ?? (() => {});
  }

  /** The real model's. */
  get deviceId(): number {
    return this.#inner.deviceId;
  }

  get features(): bigint {
    return this.#inner.features;
  }

  get queueSizes(): readonly number[] {
    return this.#inner.queueSizes;
  }

  /** The real model's. */
  get configBytes(): number {
    return this.#inner.configBytes;
  }

  /** The real model's. */
  get sharedMemory(): readonly DeviceSharedMemory[] {
    return this.#inner.sharedMemory;
  }

  /** Commands taken from the rings and not answered, for a plan's reasons. */
  get pending(): number {
    return [...this.#queues.values()].reduce((sum, { faulty }) => sum + faulty.pending, 0);
  }

  attach(host: DeviceHost): void {
    this.#host = host;
    this.#inner.attach(host);
  }

  readConfig8(offset: number): number {
    return this.#inner.readConfig8(offset);
  }

  writeConfig(offset: number, width: 1 | 2 | 4, value: number): void {
    this.#inner.writeConfig(offset, width, value);
  }

  activate(features: bigint): void {
    this.#inner.activate(features);
  }

  process(index: number, queue: DeviceQueue): void {
    const faulty = this.#faulty(index, queue);
    this.#inner.process(index, faulty);
    // Refused commands were answered behind the model's back.
    if (queue.flush()) this.#host?.queueInterrupt(index);
  }

  reset(): void {
    for (const index of this.#queues.keys()) this.closeQueue(index);
    this.#inner.reset();
  }

  /** The wrapped model's state alone: a plan of faults is no part of the machine. */
  save(): unknown {
    return this.#inner.save?.() ?? null;
  }

  restore(state: unknown): void {
    this.#inner.restore?.(state);
  }

  /** One queue was reset (RING_RESET), which a model is not told of: nothing held back on it may touch memory any more. */
  closeQueue(index: number): void {
    this.#queues.get(index)?.faulty.close();
    this.#queues.delete(index);
  }

  /** The host answers again: what hung is carried out, what was held is answered. Faults still planned stay planned. */
  release(): void {
    for (const [index, { inner, faulty }] of this.#queues) {
      if (faulty.release()) this.process(index, inner);
    }
  }

  #faulty(index: number, inner: DeviceQueue): FaultyDeviceQueue {
    const known = this.#queues.get(index);
    if (known?.inner === inner) return known.faulty;
    this.closeQueue(index);
    const host = this.#host;
    assert(host !== null, "a model is attached before it processes anything");
    const faulty = new FaultyDeviceQueue(inner, {
      memory: host.memory,
      index,
      faults: this.faults,
      interrupt: () => host.queueInterrupt(index),
      die: this.#onDie,
      breakDown: (reason) => host.needsReset(reason),
    });
    this.#queues.set(index, { inner, faulty });
    return faulty;
  }
}

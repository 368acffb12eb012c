/**
 * A transport that misbehaves as told: slow or stuck resets, interrupts lost, late or out of nowhere, a device that is gone,
 * kicks nobody hears, registers that lie. What it does is set in {@link FaultyTransport.faults}, which a test may change at
 * any moment; where nothing is set, all goes through.
 */
import type { Clock } from "../../base/clock.ts";
import { assert } from "../../base/assert.ts";
import { GpuError } from "../../base/errors.ts";
import type {
  ConfigAccess,
  FunctionPower,
  InterruptHandler,
  QueueAddresses,
  QueueRegisters,
  SharedMemoryRegion,
  Transport,
} from "../../virtio/transport.ts";
import { DeviceStatus } from "../../wire/virtio.ts";

/** How a reset goes: at once, after so many reads of the status, after so many milliseconds, or never. */
export type ResetFault =
  | { readonly kind: "reads"; readonly reads: number }
  | { readonly kind: "ms"; readonly ms: number }
  | { readonly kind: "never" };

/** What a register that lies says instead of `real`. */
export interface RegisterLies {
  /** The device status. */
  readonly status?: (real: number) => number;
  /** The features offered. */
  readonly deviceFeatures?: (real: bigint) => bigint;
  /** A queue's maximum size. */
  readonly queueSizeMax?: (queue: number, real: number) => number;
  /** What is read back of a queue. */
  readonly queue?: (queue: number, real: QueueRegisters) => QueueRegisters;
  /** Whether a queue's reset has ended. */
  readonly queueResetDone?: (queue: number, real: boolean) => boolean;
  /** A read of the configuration, of any width: `offset` is the access's. */
  readonly config?: (offset: number, real: number) => number;
  /** The configuration's generation. */
  readonly generation?: (real: number) => number;
}

/** What a {@link FaultyTransport} does wrong now. */
export interface TransportFaults {
  /** The device is gone: every access throws ENODEV. */
  gone: boolean;
  /** The device goes at this access, counted from 1 since the transport was made. */
  goneFromAccess: number;
  /** This one access alone throws ENODEV. */
  failAccess: number;
  /** How resets go. The device goes on with everything until the reset is done. */
  reset: ResetFault | null;
  /** Interrupts that get lost, from now: that many, counted down. */
  loseInterrupts: number;
  /** Interrupts arrive this much later. */
  delayInterruptsMs: number;
  /** Kicks do not reach the device; {@link FaultyTransport.resume} delivers them. */
  swallowKicks: boolean;
  lies: RegisterLies;
}

/** What a {@link FaultyTransport} is made of. */
export interface FaultyTransportOptions {
  /** Needed for whatever takes milliseconds. */
  readonly clock?: Clock | undefined;
  readonly faults?: Partial<TransportFaults> | undefined;
  /** Told when the driver asks for the reset of one queue. */
  readonly onQueueReset?: ((queue: number) => void) | undefined;
}

interface ConfigChange {
  readonly offset: number;
  readonly value: number;
  readonly afterReads: number;
}

/** See the file's head. */
export class FaultyTransport implements Transport {
  readonly faults: TransportFaults;
  readonly config: ConfigAccess;
  /** Called before each access with its name and number: the moment to change {@link FaultyTransport.faults}. */
  onAccess: ((name: string, access: number) => void) | null = null;
  readonly #inner: Transport;
  readonly #clock: Clock | undefined;
  readonly #onQueueReset: ((queue: number) => void) | undefined;
  readonly #relay: InterruptHandler;
  readonly #addresses: Map<number, QueueAddresses> = new Map();
  #handler: InterruptHandler | null = null;
  #lastHandler: InterruptHandler | null = null;
  #accesses = 0;
  #resets = 0;
  #configReads = 0;
  #changes: ConfigChange[] = [];
  #swallowed: { readonly queue: number; readonly data: number | undefined }[] = [];
  #interruptsLost = 0;
  #pendingConfig = false;
  #stickyBits = 0;
  // The reset under way: reads it still takes, or null when none is.
  #resetReads: number | null = null;
  #early = 0;

  constructor(inner: Transport, options: FaultyTransportOptions = {}) {
    this.#inner = inner;
    this.#clock = options.clock;
    this.#onQueueReset = options.onQueueReset;
    this.faults = {
      gone: false,
      goneFromAccess: Infinity,
      failAccess: 0,
      reset: null,
      loseInterrupts: 0,
      delayInterruptsMs: 0,
      swallowKicks: false,
      lies: {},
      ...options.faults,
    };
    this.config = this.#makeConfig();
    this.#relay = { onQueue: (queue) => this.#interrupt({ queue }), onConfig: () => this.#interrupt("config") };
  }

  get label(): string {
    return this.#inner.label;
  }

  get deviceId(): number {
    return this.#inner.deviceId;
  }

  get completion(): "interrupts" | "polled" {
    return this.#inner.completion;
  }

  /** Register accesses so far. */
  get accesses(): number {
    return this.#accesses;
  }

  /** Resets asked for so far. */
  get resets(): number {
    return this.#resets;
  }

  /** Interrupts that were kept from the driver so far. */
  get interruptsLost(): number {
    return this.#interruptsLost;
  }

  /** Kicks swallowed and not yet delivered. */
  get kicksSwallowed(): number {
    return this.#swallowed.length;
  }

  /** Status writes other than 0 while a reset was not yet done: a driver that did not wait. */
  get earlyStatusWrites(): number {
    return this.#early;
  }

  /** Whether a reset was asked for and is not done. */
  get resetPending(): boolean {
    return this.#resetReads !== null;
  }

  /** Where the driver last put a queue, as long as the device was not reset since. */
  queueAddresses(queue: number): QueueAddresses | undefined {
    return this.#addresses.get(queue);
  }

  readStatus(): number {
    this.#access("readStatus");
    if (this.#resetReads !== null) {
      // Something else may have reset the device meanwhile, e.g. a change of its power state: then there is no more to it.
      if (this.#resetReads > 0 && this.#inner.readStatus() !== 0) this.#resetReads -= 1;
      else this.#finishReset();
    }
    const real = this.#inner.readStatus() | this.#stickyBits;
    return this.faults.lies.status?.(real) ?? real;
  }

  writeStatus(status: number): void {
    this.#access("writeStatus");
    if (status === 0) {
      this.#startReset();
    } else if (this.#resetReads === null) {
      this.#inner.writeStatus(status);
    } else {
      this.#early += 1;
    }
  }

  readDeviceFeatures(): bigint {
    this.#access("readDeviceFeatures");
    const real = this.#inner.readDeviceFeatures();
    return this.faults.lies.deviceFeatures?.(real) ?? real;
  }

  writeDriverFeatures(features: bigint): void {
    this.#access("writeDriverFeatures");
    this.#inner.writeDriverFeatures(features);
  }

  queueSizeMax(queue: number): number {
    this.#access("queueSizeMax");
    const real = this.#inner.queueSizeMax(queue);
    return this.faults.lies.queueSizeMax?.(queue, real) ?? real;
  }

  enableQueue(queue: number, addresses: QueueAddresses): void {
    this.#access("enableQueue");
    this.#inner.enableQueue(queue, addresses);
    this.#addresses.set(queue, addresses);
  }

  readQueue(queue: number): QueueRegisters {
    this.#access("readQueue");
    const real = this.#inner.readQueue(queue);
    return this.faults.lies.queue?.(queue, real) ?? real;
  }

  resetQueue(queue: number): void {
    this.#access("resetQueue");
    this.#inner.resetQueue(queue);
    this.#onQueueReset?.(queue);
    this.#addresses.delete(queue);
  }

  queueResetDone(queue: number): boolean {
    this.#access("queueResetDone");
    const real = this.#inner.queueResetDone(queue);
    return this.faults.lies.queueResetDone?.(queue, real) ?? real;
  }

  notify(queue: number, data?: number): void {
    this.#access("notify");
    if (this.faults.swallowKicks) this.#swallowed.push({ queue, data });
    else this.#inner.notify(queue, data);
  }

  sharedMemory(id: number): SharedMemoryRegion | null {
    this.#access("sharedMemory");
    return this.#inner.sharedMemory(id);
  }

  /** No access to the device: works when that is gone. */
  setInterruptHandler(handler: InterruptHandler | null): void {
    this.#handler = handler;
    this.#lastHandler = handler ?? this.#lastHandler;
    this.#inner.setInterruptHandler(handler === null ? null : this.#relay);
  }

  pollConfig(): boolean {
    this.#access("pollConfig");
    const spurious = this.#pendingConfig;
    this.#pendingConfig = false;
    return this.#inner.pollConfig() || spurious;
  }

  reattach(): void {
    this.#access("reattach");
    this.#inner.reattach();
  }

  detach(): void {
    this.#access("detach");
    this.#inner.detach();
  }

  /** The real transport's, with its faults; null where that has none. */
  get power(): FunctionPower | null {
    const inner = this.#inner.power;
    if (inner === null) return null;
    return {
      noSoftReset: inner.noSoftReset,
      enterD3hot: () => {
        this.#access("enterD3hot");
        inner.enterD3hot();
      },
      enterD0: () => {
        this.#access("enterD0");
        inner.enterD0();
      },
    };
  }

  /** A queue interrupt out of nowhere. `stale`: it reaches the handler even after that was removed, as a late worker does. */
  spuriousQueueInterrupt(queue: number | undefined, options: { readonly stale?: boolean } = {}): void {
    this.#target(options.stale)?.onQueue(queue);
  }

  /** A configuration interrupt out of nowhere; on a polled transport, the next poll finds it. */
  spuriousConfigInterrupt(options: { readonly stale?: boolean } = {}): void {
    if (this.completion === "polled") this.#pendingConfig = true;
    else this.#target(options.stale)?.onConfig();
  }

  /** Sets status bits, e.g. NEEDS_RESET or FAILED, until the next reset is done, and tells the driver. */
  raiseStatusBits(bits: number = DeviceStatus.NEEDS_RESET): void {
    this.#stickyBits |= bits;
    this.#interrupt("config");
  }

  /** After `afterReads` more reads of the configuration, the 32 bits at `offset` read `value`, and the generation is another. */
  changeConfig(offset: number, value: number, afterReads: number = 0): void {
    this.#changes.push({ offset, value, afterReads: this.#configReads + afterReads });
  }

  /** Hears kicks again, and those that were swallowed. */
  resume(): void {
    this.faults.swallowKicks = false;
    const kicks = this.#swallowed;
    this.#swallowed = [];
    for (const { queue, data } of kicks) this.#inner.notify(queue, data);
  }

  /** Ends a reset that would otherwise take longer, or never end. */
  finishReset(): void {
    if (this.#resetReads !== null) this.#finishReset();
  }

  /** Another device, or the same after the machine's reset: no reset is under way, no status bit is left of the last one. */
  deviceReplaced(): void {
    this.#resetReads = null;
    this.#stickyBits = 0;
    this.#addresses.clear();
  }

  #target(stale: boolean | undefined): InterruptHandler | null {
    return stale === true ? this.#lastHandler : this.#handler;
  }

  #access(name: string): void {
    this.#accesses += 1;
    const { faults } = this;
    this.onAccess?.(name, this.#accesses);
    if (this.#accesses >= faults.goneFromAccess) faults.gone = true;
    if (faults.gone || this.#accesses === faults.failAccess) {
      throw new GpuError("ENODEV", `the device did not answer (${name})`, { device: this.label });
    }
  }

  #startReset(): void {
    this.#resets += 1;
    const fault = this.faults.reset;
    if (this.#resetReads !== null) return;
    this.#resetReads = 0;
    // A device that is reset already can't be seen to be slow about it: the status reads 0.
    if (fault === null || (this.#inner.readStatus() | this.#stickyBits) === 0) {
      this.#finishReset();
    } else if (fault.kind === "reads") {
      this.#resetReads = fault.reads;
    } else {
      this.#resetReads = Infinity;
      if (fault.kind === "ms") this.#after(fault.ms, () => this.#finishResetLate());
    }
  }

  #finishReset(): void {
    this.#resetReads = null;
    this.#stickyBits = 0;
    this.#addresses.clear();
    // The device went: whoever waits for the reset finds that out by the next access.
    if (!this.faults.gone) this.#inner.writeStatus(0);
  }

  /** The device may have died meanwhile: that is nobody's error. */
  #finishResetLate(): void {
    try {
      this.finishReset();
    } catch (error) {
      if (!(error instanceof GpuError) || error.code !== "ENODEV") throw error;
    }
  }

  #interrupt(what: "config" | { readonly queue: number | undefined }): void {
    if (this.faults.gone) return;
    if (this.faults.loseInterrupts > 0) {
      this.faults.loseInterrupts -= 1;
      this.#interruptsLost += 1;
      return;
    }
    const deliver = (): void => {
      if (what === "config") this.#handler?.onConfig();
      else this.#handler?.onQueue(what.queue);
    };
    if (this.faults.delayInterruptsMs > 0) this.#after(this.faults.delayInterruptsMs, deliver);
    else deliver();
  }

  #after(ms: number, callback: () => void): void {
    assert(this.#clock !== undefined, "a fault that takes time needs a clock");
    this.#clock.after(ms, callback);
  }

  #makeConfig(): ConfigAccess {
    const { config } = this.#inner;
    return {
      read8: (offset) => this.#readConfig(offset, () => config.read8(offset)) & 0xff,
      read32: (offset) => this.#readConfig(offset, () => config.read32(offset)),
      write32: (offset, value) => {
        this.#access("writeConfig");
        config.write32(offset, value);
      },
      generation: () => {
        this.#access("readGeneration");
        const real = (config.generation() + this.#changesSeen().length) >>> 0;
        return this.faults.lies.generation?.(real) ?? real;
      },
    };
  }

  #readConfig(offset: number, read: () => number): number {
    this.#access("readConfig");
    const real = read();
    const change = this.#changesSeen().findLast((one) => offset >= one.offset && offset < one.offset + 4);
    this.#configReads += 1;
    const value = change === undefined ? real : change.value >>> ((offset - change.offset) * 8);
    return this.faults.lies.config?.(offset, value) ?? value;
  }

  #changesSeen(): readonly ConfigChange[] {
    return this.#changes.filter((change) => this.#configReads >= change.afterReads);
  }
}

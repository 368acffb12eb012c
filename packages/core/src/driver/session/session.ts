/**
 * One life of the device: from DRIVER_OK to the next reset. An identity in memory, never a number in an image
 * (contract 2): a loaded state has no session, so a cold restore can't take a new host for the old one.
 *
 * It owns the two queues, the fences and the reconciler with its host state, and knows how to begin (from any state of
 * the device, R-44), to be verified, to be suspended and to end.
 */
import type { CancelTimer, Clock } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import type { Tracer } from "../../base/tracer.ts";
import { negotiateFeatures, resetDevice, resumeDevice, suspendDevice } from "../../virtio/bring-up.ts";
import type { Transport } from "../../virtio/transport.ts";
import { DeviceStatus, GpuFeature, VirtioFeature, featureBit } from "../../wire/index.ts";
import { CapsetIds, readCapsets } from "./capsets.ts";
import type { CommandQueue } from "./command-queue.ts";
import { CommandSender } from "./command-sender.ts";
import { type SessionConfig, readSessionConfig } from "./config.ts";
import { FenceTable } from "./fences.ts";
import { RUNNING, registersAreOurs, sendCanary } from "./identity.ts";
import { type BuiltQueue, buildQueues } from "./queues.ts";
import { Reconciler, type ReconcilerParts } from "./reconciler.ts";
import type { SessionMemory } from "./session-memory.ts";

/** How often a device without interrupts is asked whether its configuration changed. */
const CONFIG_POLL_MS = 100;
/** How often it is asked for answers that did not come at once. */
const QUEUE_POLL_MS = 1;

/** What a session tells its owner. */
export interface SessionOwner {
  /** The configuration may have changed (also spuriously). */
  onConfig(session: Session): void;
  /** The host stopped answering. */
  onHung(session: Session, error: GpuError): void;
  /** It answers again. */
  onAlive(session: Session): void;
  /** The device asks for a reset, broke the ring's rules, or is gone: this life is over. */
  onBroken(session: Session, error: GpuError): void;
}

/** What a session needs from around it. */
export interface SessionParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly memory: SessionMemory;
  readonly owner: SessionOwner;
  /** For the reconciler. */
  readonly reconciling: Pick<ReconcilerParts, "desired" | "dma" | "listener" | "isLost">;
  /** How long one command may take, in milliseconds. */
  readonly deadlineMs: number;
  /** How long a reset may take, in milliseconds. */
  readonly resetDeadlineMs: number;
  /** Features of the last life, named when they are gone. */
  readonly previousFeatures: bigint | null;
  /** Feature bits not to be negotiated. */
  readonly withoutFeatures: bigint;
  /** Entries per ring, at most. */
  readonly queueSizeMax: number;
}

/** Everything this driver can make use of. */
export const WANTED_FEATURES: bigint = [
  GpuFeature.VIRGL,
  GpuFeature.EDID,
  GpuFeature.RESOURCE_UUID,
  GpuFeature.RESOURCE_BLOB,
  GpuFeature.CONTEXT_INIT,
  GpuFeature.BLOB_ALIGNMENT,
  VirtioFeature.INDIRECT_DESC,
  VirtioFeature.EVENT_IDX,
  VirtioFeature.VERSION_1,
  VirtioFeature.ACCESS_PLATFORM,
  VirtioFeature.RING_PACKED,
  VirtioFeature.ORDER_PLATFORM,
  VirtioFeature.NOTIFICATION_DATA,
  VirtioFeature.RING_RESET,
  VirtioFeature.SUSPEND,
].reduce((all, feature) => all | featureBit(feature), 0n);

/** Without it a device would take an IOMMU's addresses for physical ones. */
const BY_IOMMU = featureBit(VirtioFeature.ACCESS_PLATFORM);

/** Features that mean nothing without another (5.7.3.1). */
const FEATURE_NEEDS: readonly (readonly [number, number])[] = [
  [GpuFeature.CONTEXT_INIT, GpuFeature.VIRGL],
  [GpuFeature.BLOB_ALIGNMENT, GpuFeature.RESOURCE_BLOB],
];

/** See the file's head. */
export class Session {
  readonly features: bigint;
  readonly config: SessionConfig;
  readonly control: CommandQueue;
  readonly cursor: CommandQueue;
  readonly fences: FenceTable;
  /** Commands as promises, for whoever is not the reconciler. */
  readonly sender: CommandSender;
  readonly reconciler: Reconciler;
  /** Set once the session is over; the reason. */
  ended: GpuError | null = null;
  /** The device keeps its state and touches no queue. */
  isSuspended: boolean = false;

  readonly #parts: SessionParts;
  readonly #queues: readonly BuiltQueue[];
  #isWorkQueued = false;
  #isPumpQueued = false;
  #queuePoll: CancelTimer | null = null;
  #configPoll: CancelTimer | null = null;
  #hungPoll: CancelTimer | null = null;
  #isDraining = false;

  private constructor(parts: SessionParts, features: bigint, config: SessionConfig) {
    const { transport, clock, tracer, reconciling } = parts;
    this.#parts = parts;
    this.features = features;
    this.config = config;
    this.fences = new FenceTable(() => reconciling.desired.takeFenceId());
    const [control, cursor] = buildQueues({
      transport,
      features,
      sizeMax: parts.queueSizeMax,
      memory: parts.memory,
      clock,
      tracer,
      deadlineMs: parts.deadlineMs,
      notify: (queue, data) => this.#notify(queue, data),
      onRoom: () => this.pumpSoon(),
      onBroken: (reason) => this.#onBroken(reason),
      onHung: (error) => this.#onHung(error),
      onAlive: () => parts.owner.onAlive(this),
    });
    this.#queues = [control, cursor];
    this.control = control.queue;
    this.cursor = cursor.queue;
    this.sender = new CommandSender(this.control, () => this.pumpSoon());
    this.reconciler = new Reconciler({
      ...reconciling,
      device: transport.label,
      control: this.control,
      cursor: this.cursor,
      outputs: config.outputs,
      offer: {
        blobs: this.hasFeature(GpuFeature.RESOURCE_BLOB),
        uuids: this.hasFeature(GpuFeature.RESOURCE_UUID),
        renders: this.hasFeature(GpuFeature.VIRGL),
        choosesCapsets: this.hasFeature(GpuFeature.CONTEXT_INIT),
        capsets: new CapsetIds(() => readCapsets(this.sender, config.capsets)),
        blobAlignment: config.blobAlignment,
      },
      clock,
      tracer,
      pumpSoon: () => this.pumpSoon(),
    });
  }

  /**
   * Takes the device from any state to DRIVER_OK: reset, bounded; features; queues. Throws GpuError ETIMEDOUT
   * (the reset was never confirmed), ENODEV (gone, or features refused), EPROTO (a configuration that can't be), ENOMEM.
   */
  static async open(parts: SessionParts): Promise<Session> {
    const { transport, clock, memory } = parts;
    transport.setInterruptHandler(null);
    transport.reattach();
    await resetDevice(transport, clock, parts.resetDeadlineMs);
    memory.resetConfirmed();
    const features = negotiateFeatures(transport, {
      wanted: WANTED_FEATURES & ~parts.withoutFeatures,
      required: featureBit(VirtioFeature.VERSION_1) | (parts.reconciling.dma.translates === true ? BY_IOMMU : 0n),
      previous: parts.previousFeatures,
      needs: FEATURE_NEEDS,
    });
    try {
      const session = new Session(parts, features, readSessionConfig(transport, features));
      session.#start();
      return session;
    } catch (error) {
      await abandon(parts);
      throw error;
    }
  }

  get label(): string {
    return this.#parts.transport.label;
  }

  hasFeature(feature: number): boolean {
    return (this.features & featureBit(feature)) !== 0n;
  }

  /** Some command passed its deadline, and nothing came back since. */
  get isHung(): boolean {
    return this.control.hung || this.cursor.hung;
  }

  /** Whether the host owes an answer whose deadline passed, though it may give others: it may have forgotten that command. */
  get isOverdue(): boolean {
    return this.control.isOverdue || this.cursor.isOverdue;
  }

  #start(): void {
    const { transport, tracer } = this.#parts;
    const { features, label: device } = this;
    tracer.trace({ kind: "session", device, features, outputs: this.config.outputs });
    this.#queues.forEach(({ addresses }, queue) => transport.enableQueue(queue, addresses));
    this.#listen();
    transport.writeStatus(RUNNING);
    this.#pollConfigLater();
  }

  #listen(): void {
    this.#parts.transport.setInterruptHandler({
      onQueue: () => this.#queueWork(),
      onConfig: () => this.#configInterrupt(),
    });
  }

  // --- Work ---

  /** In a moment, and once for all that is asked until then: submits what there is room for, and kicks. */
  pumpSoon(): void {
    if (this.#isPumpQueued || this.ended !== null) return;
    this.#isPumpQueued = true;
    this.#parts.clock.defer(() => {
      this.#isPumpQueued = false;
      this.pump();
    });
  }

  /** Submits what there is room for, and kicks. */
  pump(): void {
    if (this.ended !== null || this.isSuspended || this.#isDraining) return;
    this.sender.pump();
    this.reconciler.pump();
    this.kick();
  }

  kick(): void {
    if (this.ended !== null || this.isSuspended) return;
    const hasControl = this.control.kick();
    const hasCursor = this.cursor.kick();
    if (hasControl || hasCursor) this.#pollSoon(0);
  }

  #notify(queue: number, data: number): void {
    this.#guard(() => {
      if (this.hasFeature(VirtioFeature.NOTIFICATION_DATA)) this.#parts.transport.notify(queue, data);
      else this.#parts.transport.notify(queue);
    });
  }

  /** An access to a device that vanished ends the session instead of throwing into somebody's interrupt. */
  #guard(access: () => void): void {
    try {
      access();
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#parts.clock.defer(() => this.#fail(error));
    }
  }

  /** The interrupt's bottom half, queued once however many interrupts come. */
  #queueWork(): void {
    if (this.#isWorkQueued || this.ended !== null) return;
    this.#isWorkQueued = true;
    this.#parts.clock.defer(() => {
      this.#isWorkQueued = false;
      this.#work();
    });
  }

  #work(): void {
    if (this.ended !== null || this.isSuspended) return;
    this.control.process();
    this.cursor.process();
    this.pump();
  }

  /** A configuration interrupt also announces DEVICE_NEEDS_RESET (2.1.2). */
  #configInterrupt(): void {
    if (this.ended !== null) return;
    this.#parts.clock.defer(() => {
      if (this.ended !== null || this.isSuspended) return;
      this.#guard(() => {
        if (this.needsReset()) this.#fail(new GpuError("EIO", "the device asks for a reset", { device: this.label }));
        else this.#parts.owner.onConfig(this);
      });
    });
  }

  /** Transports without interrupts: look at the rings while something is outstanding. */
  #pollSoon(delayMs: number): void {
    const { transport, clock } = this.#parts;
    if (transport.completion !== "polled" || this.ended !== null) return;
    this.#queuePoll?.();
    this.#queuePoll = clock.after(delayMs, () => {
      this.#queuePoll = null;
      this.#work();
      if (this.#queuePoll === null && this.#outstanding > 0) this.#pollSoon(QUEUE_POLL_MS);
    });
  }

  get #outstanding(): number {
    return this.control.outstanding + this.cursor.outstanding;
  }

  /** Transports without interrupts: now and then, whether the configuration changed. Not what a process should live for. */
  #pollConfigLater(): void {
    const { transport, clock } = this.#parts;
    if (transport.completion !== "polled") return;
    const look = (): void => {
      this.#guard(() => {
        if (!this.isSuspended && (transport.pollConfig() || this.needsReset())) this.#configInterrupt();
      });
      this.#pollConfigLater();
    };
    this.#configPoll = clock.after(CONFIG_POLL_MS, look, { background: true });
  }

  #onHung(error: GpuError): void {
    this.#lookAtHungHost();
    if (this.ended !== null) return;
    this.sender.failWaiting(error);
    this.reconciler.failWaiters(error);
    this.#parts.owner.onHung(this, error);
  }

  /** A host that is gone, or was reset behind our back, will never answer: its registers say so. Looked at until it does. */
  #lookAtHungHost(): void {
    if (this.ended !== null || !this.isHung) return;
    try {
      if (!registersAreOurs(this.#parts.transport, this.#queues))
        this.#fail(new GpuError("ESTALE", "the host was reset meanwhile", { device: this.label }));
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#fail(error);
    }
    if (this.ended !== null) return;
    this.#hungPoll?.();
    this.#hungPoll = this.#parts.clock.after(this.#parts.deadlineMs, () => this.#lookAtHungHost());
  }

  #onBroken(reason: string): void {
    this.#fail(new GpuError("EPROTO", `the device broke the rules of its ring: ${reason}`, { device: this.label }));
  }

  #fail(error: GpuError): void {
    if (this.ended === null) this.#parts.owner.onBroken(this, error);
  }

  /** Whether the device asked for a reset. Read from its status. */
  needsReset(): boolean {
    const status = this.#parts.transport.readStatus();
    return (status & (DeviceStatus.NEEDS_RESET | DeviceStatus.FAILED)) !== 0 && status !== ALL_ONES;
  }

  // --- Verifying, suspending, ending ---

  /**
   * Whether this host is still ours (contract 3, R-12, R-43..R-45): status, every queue and its addresses read as we
   * wrote them, it owes no answer, and one canary command comes back, which says that what we made is there. Never throws.
   */
  async verify(): Promise<boolean> {
    if (this.ended !== null) return false;
    try {
      if (!registersAreOurs(this.#parts.transport, this.#queues)) return false;
      // What it may have forgotten stays unknown until a reset.
      if (this.isOverdue) return false;
      return (await sendCanary(this.sender, this.reconciler)) && this.ended === null;
    } catch (error) {
      if (error instanceof GpuError) return false;
      throw error;
    }
  }

  /**
   * Nothing outstanding and the workers idle (contract 11, R-02, R-04). ETIMEDOUT otherwise. From its start on nothing
   * new is submitted, so that the answer to the last command brings no further one; {@link goOn} ends that.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#isDraining = true;
    this.kick();
    await Promise.all([this.control.drain(deadlineMs), this.cursor.drain(deadlineMs)]);
  }

  /** The drain came to nothing: commands are submitted again. */
  goOn(): void {
    this.#isDraining = false;
    this.pumpSoon();
  }

  /**
   * After {@link drain}: the device keeps everything and does nothing, by VIRTIO_F_SUSPEND where negotiated (1.4, 2.1.1),
   * and by D3hot with No_Soft_Reset, without which a platform may reset it all the same. No interrupt is listened to from
   * now on.
   */
  async suspend(): Promise<void> {
    const { transport, clock, resetDeadlineMs } = this.#parts;
    transport.setInterruptHandler(null);
    this.isSuspended = true;
    try {
      if (this.hasFeature(VirtioFeature.SUSPEND)) {
        await suspendDevice(transport, clock, resetDeadlineMs, () => this.ended);
      }
      if (this.ended !== null) throw this.ended;
      if (transport.power?.noSoftReset === true) transport.power.enterD3hot();
    } catch (error) {
      // Once this life is over the interrupts are somebody else's, or nobody's.
      if (this.ended === null) {
        this.isSuspended = false;
        this.#listen();
      }
      throw error;
    }
  }

  /** After {@link suspend}: true when it is still the same host and it goes on. Never throws. */
  async resume(): Promise<boolean> {
    const { transport, clock, resetDeadlineMs } = this.#parts;
    if (this.ended !== null) return false;
    try {
      transport.power?.enterD0();
      if (this.hasFeature(VirtioFeature.SUSPEND)) {
        if (!this.#isStillSuspended()) return false;
        await resumeDevice(transport, clock, resetDeadlineMs, () => this.ended);
        if (this.ended !== null) return false;
      }
      this.isSuspended = false;
      this.#isDraining = false;
      this.#listen();
      this.#work();
      return await this.verify();
    } catch (error) {
      if (error instanceof GpuError) return false;
      throw error;
    }
  }

  #isStillSuspended(): boolean {
    return (this.#parts.transport.readStatus() & DeviceStatus.SUSPEND) !== 0;
  }

  /**
   * Ends this life: reset first, then the rings. Every awaiter gets `reason`. True when the reset was confirmed;
   * if not, all that the device could still write to stays quarantined.
   */
  async close(reason: GpuError): Promise<boolean> {
    if (this.ended !== null) return false;
    this.#retire(reason);
    const isConfirmed = await abandon(this.#parts);
    return isConfirmed;
  }

  /** What the device held of guest memory may go, once no device can write to it. */
  #retire(reason: GpuError): void {
    this.ended = reason;
    this.isSuspended = false;
    this.#queuePoll?.();
    this.#configPoll?.();
    this.#hungPoll?.();
    this.reconciler.end(reason);
    this.control.close(reason);
    this.cursor.close(reason);
    this.sender.close(reason);
    this.fences.close(reason);
    const { memory } = this.#parts;
    for (const host of this.reconciler.resources.values()) {
      if (host.unmapBacking !== null) memory.afterReset(() => host.releaseBacking());
    }
  }
}

/** What a device that is gone from the bus reads as. */
const ALL_ONES = 0xff;

/** Resets the device and gives the session's memory back, or into quarantine. */
async function abandon({ transport, clock, memory, resetDeadlineMs }: SessionParts): Promise<boolean> {
  let isConfirmed = false;
  try {
    transport.setInterruptHandler(null);
    await resetDevice(transport, clock, resetDeadlineMs);
    transport.detach();
    isConfirmed = true;
  } catch (error) {
    if (!(error instanceof GpuError)) throw error;
    // A device that is gone from the bus does no DMA either.
    isConfirmed = error.code === "ENODEV";
  }
  memory.release(isConfirmed);
  return isConfirmed;
}

/**
 * What the driver's faces (buffers, outputs, contexts, power) stand on: the desired state, the session that there is or
 * is not, who waits, and what was lost. Sessions come and go here; nothing else in the driver opens or ends one.
 */
import type { Clock } from "../base/clock.ts";
import { GpuError } from "../base/errors.ts";
import { Guard } from "../base/guard.ts";
import type { Tracer } from "../base/tracer.ts";
import type { DmaMap, PageAllocator } from "../memory/pages.ts";
import type { Transport } from "../virtio/transport.ts";
import { GpuFeature, featureBit, readResourceUuidReply } from "../wire/index.ts";
import { type Rect, unionRect } from "./desired/geometry.ts";
import { DesiredState } from "./desired/desired-state.ts";
import {
  type ContextObject,
  type DesiredObject,
  NO_CURSOR,
  type ResourceObject,
  backingOf,
  isRecoverable,
  objectName,
  sameScanout,
} from "./desired/objects.ts";
import type { Signal } from "./listeners.ts";
import { Listeners } from "./listeners.ts";
import { type DriverEvent, type DriverState, nextDriverState, refusal } from "./power/state.ts";
import { Fact, type HostEntity, type HostResource, Step } from "./session/host-state.ts";
import { Session } from "./session/session.ts";
import { SessionMemory } from "./session/session-memory.ts";
import { isFlushed } from "./session/steps.ts";
import { type WaitKey, Waiters, keyOf, keyOfEntity, nameOfEntity } from "./waiters.ts";

/** How long things may take, in milliseconds. */
export interface Deadlines {
  /** One command, from its kick. Default 5,000, as Linux. */
  readonly commandMs: number;
  /** A device reset, and a suspend. Default 5,000. */
  readonly resetMs: number;
  /** What a freeze may spend on bringing the host down. Default 5,000 per queue, as the Linux series. */
  readonly freezeMs: number;
  /** What the policy `wait` may spend on unrecoverable objects. Default 30,000. */
  readonly policyMs: number;
}

/** What the core is made of. */
export interface CoreParts {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  readonly tracer: Tracer;
  readonly deadlines: Deadlines;
  readonly withoutFeatures: bigint;
  readonly queueSizeMax: number;
}

/** Ids to remember of objects that were destroyed while no host could be told, at most. */
const ORPHANS_MAX = 65_536;
/** Times in a row that a broken device is reset before it counts as lost. */
const RECOVERIES_MAX = 3;

/** See the file's head. */
export class GpuCore {
  readonly parts: CoreParts;
  readonly desired: DesiredState;
  readonly memory: SessionMemory;
  readonly waiters: Waiters = new Waiters();
  /** Runs what the user gave us. */
  readonly guard: Guard;
  /** Contents that no host can give back, and why. Entries go with their objects. */
  readonly losses: Map<DesiredObject, GpuError> = new Map();
  /** UUIDs as last assigned, by resource id. */
  readonly uuids: Map<number, Uint8Array> = new Map();

  /** A session began. */
  readonly onSession: Signal<Session> = new Listeners<Session>();
  /** A session ended, and why: what it was to answer never comes. */
  readonly onSessionEnd: Signal<GpuError> = new Listeners<GpuError>();
  /** The configuration may have changed. */
  readonly onConfig: Signal<Session> = new Listeners<Session>();
  /** An object was lost for good. */
  readonly onLost: Signal<DesiredObject>;
  /** A resource has a UUID, maybe another one than before. */
  readonly onUuid: Signal<number>;
  /** An object was destroyed by its user. */
  readonly onDestroyed: Signal<DesiredObject> = new Listeners<DesiredObject>();
  readonly onState: Signal<DriverState>;

  /** The life of the device that there is; null while it sleeps, is lost or was removed. */
  session: Session | null = null;
  /** The end of the last one: while it lasts, that still resets the device. Never rejects. */
  closing: Promise<unknown> = Promise.resolve();
  /** Why the device is lost; null unless it is. */
  lastError: GpuError | null = null;
  #state: DriverState = "closed";
  #features: bigint | null = null;
  #recoveries = 0;
  /** Destroyed while no host could be told: a host that keeps resources may still have them (contract 8). */
  readonly #orphans: Set<ResourceObject> = new Set();
  /** Mends a broken device: the power face's restore. */
  recover: () => void = () => {};

  constructor(parts: CoreParts, desired: DesiredState = new DesiredState()) {
    this.parts = parts;
    this.desired = desired;
    this.guard = new Guard(parts.transport.label, parts.tracer);
    this.onLost = new Listeners(this.guard, "listener of losses");
    this.onUuid = new Listeners(this.guard, "listener of UUIDs");
    this.onState = new Listeners(this.guard, "listener of states");
    this.memory = new SessionMemory(parts.allocator, parts.dma);
  }

  get label(): string {
    return this.parts.transport.label;
  }

  get state(): DriverState {
    return this.#state;
  }

  /** Features of the session, or of the last one. */
  get features(): bigint {
    return this.#features ?? 0n;
  }

  /** Makes a move of the state machine, or throws EBUSY / ENODEV. */
  move(event: DriverEvent): void {
    const next = nextDriverState(this.#state, event);
    if (next === null) throw refusal(this.#state, event, this.label);
    const from = this.#state;
    this.#state = next;
    const { tracer } = this.parts;
    if (tracer.enabled) tracer.trace({ kind: "state", device: this.label, from, to: next, event });
    this.onState.emit(next);
  }

  /** Whether the state has moved on, e.g. by a removal while something was awaited. */
  is(state: DriverState): boolean {
    return this.#state === state;
  }

  /** Throws unless the device can be talked to, now or after a restore. */
  assertUsable(): void {
    if (this.#state === "removed") throw refusal("removed", "restore", this.label);
    if (this.#state === "lost" && this.lastError !== null) throw this.lastError;
  }

  /** The session, for calls that need one now. Throws EBUSY while the device sleeps, ENODEV when it is gone. */
  requireSession(): Session {
    this.assertUsable();
    if (this.session === null || this.session.isSuspended || this.#state !== "running") {
      throw new GpuError("EBUSY", `the device is ${this.#state}`, { device: this.label });
    }
    return this.session;
  }

  // --- Sessions ---

  /** Begins a session and has everything desired brought to the host. Throws as {@link Session.open}. */
  async openSession(): Promise<Session> {
    await this.closing;
    const { transport, clock, tracer, dma, deadlines, withoutFeatures, queueSizeMax } = this.parts;
    const session = await Session.open({
      transport,
      clock,
      tracer,
      memory: this.memory,
      reconciling: {
        desired: this.desired,
        dma,
        listener: this.#listener,
        isLost: (object) => this.losses.size > 0 && this.losses.has(object),
      },
      owner: {
        onConfig: (from) => this.onConfig.emit(from),
        onHung: (_, error) => this.#hostHangs(error),
        onAlive: (from) => {
          this.#message("info", "the host answers again");
          this.onConfig.emit(from);
        },
        onBroken: (from, error) => this.#sessionBroke(from, error),
      },
      deadlineMs: deadlines.commandMs,
      resetDeadlineMs: deadlines.resetMs,
      previousFeatures: this.#features,
      withoutFeatures,
      queueSizeMax,
    });
    this.session = session;
    this.#features = session.features;
    this.onSession.emit(session);
    if (!this.is("opening")) session.reconciler.doubtOutputs();
    this.bringUp(session);
    return session;
  }

  /** Has everything desired brought to the host, what is lit first. */
  bringUp(session: Session): void {
    session.goOn();
    session.reconciler.bringUp();
    for (const key of this.waiters.keys) this.#touchKey(session, key);
    session.reconciler.allDone().then(
      () => this.#allDone(session),
      () => {},
    );
  }

  /** Ends the session: reset, then the rings. Returns whether the reset was confirmed. */
  async closeSession(reason: GpuError): Promise<boolean> {
    const { session } = this;
    if (session === null) return true;
    this.session = null;
    this.#loseUnrecoverable(session, reason);
    this.onSessionEnd.emit(reason);
    const closing = session.close(reason);
    // After the session has let go of its mappings: first unmapped, then freed.
    for (const { wanted, object } of session.reconciler.resources.values()) {
      // An orphan's memory was given back with the session that it belonged to.
      if (!wanted && !this.#orphans.has(object)) this.#releaseUntold(object);
    }
    this.closing = closing.catch(() => {});
    return closing;
  }

  /** As `work`, but rejects as soon as the session ends: for what carries an answer of this session. */
  inThisSession<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = this.onSessionEnd.on(reject);
      work.then(resolve, reject).finally(stop);
    });
  }

  /** The device is removed for good: everybody is told, and all memory goes when no device can touch it. */
  async remove(): Promise<void> {
    if (this.is("removed")) return;
    this.move("remove");
    const gone = new GpuError("ENODEV", "the device was removed", { device: this.label });
    this.waiters.rejectAll(gone);
    await this.closeSession(gone);
    for (const object of this.desired.resources.values()) this.memory.afterReset(() => this.#freePages(object));
    this.desired.resources.clear();
    this.desired.contexts.clear();
    this.memory.dispose();
  }

  /** What the host held of things that nobody can give back is lost with the session. */
  #loseUnrecoverable(session: Session, reason: GpuError): void {
    for (const host of [...session.reconciler.contexts.values(), ...session.reconciler.resources.values()]) {
      const { object } = host;
      if (host.created === Fact.ABSENT || isRecoverable(object) || !host.wanted) continue;
      this.lose(
        object,
        new GpuError("ENOTRECOVERABLE", `its contents went with the host: ${reason.message}`, {
          device: this.label,
          object: objectName(object),
        }),
      );
    }
  }

  /** Marks an object as lost for good. */
  lose(object: DesiredObject, error: GpuError): void {
    if (this.losses.has(object)) return;
    this.losses.set(object, error);
    this.#message("warn", `${objectName(object)} is lost: ${error.message}`);
    this.waiters.reject(keyOf(object), error);
    this.onLost.emit(object);
  }

  /** A broken device is reset and all brought back (by whoever is restoring it already); one that breaks on and on is lost. */
  #sessionBroke(session: Session, error: GpuError): void {
    if (this.session !== session) return;
    this.#message("error", error.message);
    this.#recoveries += 1;
    const canRecover = error.code !== "ENODEV" && this.#recoveries <= RECOVERIES_MAX;
    if (canRecover && this.is("running")) this.recover();
    else if (canRecover && this.is("restoring")) void this.closeSession(error);
    else void this.fail(error);
  }

  /** Nobody waits for a host that hangs; what is desired is brought about once it answers again. */
  #hostHangs(error: GpuError): void {
    this.#message("warn", error.message);
    this.waiters.rejectAll(error);
  }

  /** The device can't be used any more, until somebody recovers or removes it: nobody waits any longer. */
  async fail(error: GpuError): Promise<void> {
    if (nextDriverState(this.#state, "failed") === null) return;
    this.lastError = error;
    this.move("failed");
    this.waiters.rejectAll(error);
    await this.closeSession(error);
  }

  #allDone(session: Session): void {
    if (this.session !== session) return;
    this.#recoveries = 0;
    const { reconciler } = session;
    if (reconciler.hostKeeps) for (const orphan of this.#orphans) reconciler.forgetId(orphan);
    // A host that answered no CREATE with "exists" has forgotten the others too.
    else if (reconciler.resources.size > 0) this.#orphans.clear();
  }

  /** Whether the device assigns UUIDs. */
  get hasUuid(): boolean {
    return (this.features & featureBit(GpuFeature.RESOURCE_UUID)) !== 0n;
  }

  /** An import is over for good: what showed it goes dark, and no host keeps it. */
  endImport(object: ResourceObject, error: GpuError): void {
    this.lose(object, error);
    this.#darken(object.id);
    this.touch(keyOf(object));
  }

  // --- Pixels ---

  /** The guest wrote to `rect`. The host's copy is older now; nothing is sent before somebody asks for it. */
  wrote(object: ResourceObject, rect: Rect): void {
    if (object.kind !== "image2d") return;
    object.drawn = true;
    const host = this.session?.reconciler.resources.get(object.id);
    if (host !== undefined) host.stale = unionRect(host.stale, rect);
  }

  /** Brings `rect` to the host, and to the displays that show it. Resolves when it is there. */
  async flush(object: ResourceObject, rect: Rect): Promise<void> {
    if (object.kind === "image2d") object.drawn = true;
    this.session?.reconciler.damage(object, rect);
    const shown = this.desired.scanouts.flatMap((scanout, index) => (scanout?.object === object.id ? [index] : []));
    await Promise.all([this.settled(keyOf(object)), ...shown.map((index) => this.#flushed(index))]);
  }

  /** An output that this host lacks is no failure: its picture is up to date wherever there is one. */
  async #flushed(index: number): Promise<void> {
    try {
      await this.settled(`scanout ${index}`);
    } catch (error) {
      if (this.session === null || this.session.reconciler.scanouts[index] !== undefined) throw error;
    }
  }

  // --- Objects ---

  /** A new object is wanted. Resolves when the host has it; rejects with its refusal, and the object is gone again. */
  async realise(object: DesiredObject): Promise<void> {
    const { session } = this;
    if (session !== null) {
      const { reconciler } = session;
      const host = object.kind === "context" ? reconciler.context(object) : reconciler.resource(object);
      host.fresh = true;
    }
    try {
      await this.settled(keyOf(object));
    } catch (error) {
      this.destroy(object);
      throw error;
    }
  }

  /** Resolves when everything about `key` is on the host as it is desired. */
  settled(key: WaitKey): Promise<void> {
    try {
      this.assertUsable();
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    if (this.session?.isHung === true) {
      return Promise.reject(new GpuError("ETIMEDOUT", "the host does not answer", { device: this.label }));
    }
    const done = this.waiters.wait(key);
    if (this.session !== null) this.#touchKey(this.session, key);
    return done;
  }

  /** Has the entity looked at, for something about it changed. */
  touch(key: WaitKey): void {
    if (this.session !== null) this.#touchKey(this.session, key);
  }

  /** The object is no longer desired; outputs that show it go dark. Its memory is given back when no host can touch it. */
  destroy(object: DesiredObject): void {
    this.losses.delete(object);
    if (object.kind === "context") this.#destroyContext(object);
    else this.#destroyResource(object);
    this.onDestroyed.emit(object);
  }

  #destroyContext(object: ContextObject): void {
    if (!this.desired.contexts.delete(object.id)) return;
    const host = this.session?.reconciler.contexts.get(object.id);
    if (host === undefined) return;
    host.wanted = false;
    this.session?.reconciler.touch(host);
  }

  #destroyResource(object: ResourceObject): void {
    if (!this.desired.resources.delete(object.id)) return;
    this.uuids.delete(object.id);
    this.#darken(object.id);
    this.waiters.reject(keyOf(object), new GpuError("ECANCELED", "it was destroyed", { object: objectName(object) }));
    if (this.session?.reconciler.resources.has(object.id) === true) this.session.reconciler.forget(object);
    else this.#releaseUntold(object);
  }

  /** No host could be told: the memory goes when no device can touch it, and the id is remembered (contract 8). */
  #releaseUntold(object: ResourceObject): void {
    if (this.session === null && this.#orphans.size < ORPHANS_MAX) this.#orphans.add(object);
    this.memory.afterReset(() => this.#freePages(object));
  }

  #freePages(object: ResourceObject): void {
    const backing = backingOf(object);
    if (backing?.source === "own") this.parts.allocator.free(backing.pages);
  }

  #darken(resourceId: number): void {
    for (const key of this.desired.darken(resourceId)) this.touch(key);
  }

  // --- What the reconciler tells ---

  readonly #listener = {
    onSettled: (entity: HostEntity): void => this.#entitySettled(entity),
    onFailed: (entity: HostEntity, error: GpuError): void => this.#entityFailed(entity, error),
    onGone: (host: HostResource): void => this.#resourceGone(host),
    onAnswer: (host: HostResource, step: Step, words: Uint32Array): void => this.#answered(host, step, words),
  };

  #entitySettled(entity: HostEntity): void {
    if (!this.waiters.hasFor(entity)) return;
    if (entity.kind === "scanout" && !this.#isScanoutDone(entity.index)) return;
    if (entity.kind === "cursor" && !this.#isCursorDone(entity.index)) return;
    this.waiters.resolve(keyOfEntity(entity));
  }

  #isScanoutDone(index: number): boolean {
    const host = this.session?.reconciler.scanouts[index];
    const target = this.desired.scanouts[index] ?? null;
    return host === undefined || (sameScanout(host.shown, target) && isFlushed(host));
  }

  #isCursorDone(index: number): boolean {
    const host = this.session?.reconciler.cursors[index];
    const target = this.desired.cursors[index] ?? NO_CURSOR;
    if (host === undefined) return true;
    const { object, x, y, hotX, hotY } = host.shown;
    if (object !== target.object) return false;
    // Where a hidden cursor is, is told when it is shown.
    return object === 0 || (x === target.x && y === target.y && hotX === target.hotX && hotY === target.hotY);
  }

  #entityFailed(entity: HostEntity, error: GpuError): void {
    this.#message("warn", `${nameOfEntity(entity)}: ${error.message}`);
    this.waiters.reject(keyOfEntity(entity), error);
    if (entity.kind !== "resource") return;
    for (const key of this.desired.viewers(entity.object.id)) this.waiters.reject(key, error);
  }

  #resourceGone(host: HostResource): void {
    const { object } = host;
    // An orphan's memory was given back with the session that it belonged to.
    if (!this.#orphans.delete(object)) this.#freePages(object);
  }

  #answered(host: HostResource, step: Step, words: Uint32Array): void {
    if (step !== Step.ASSIGN_UUID) return;
    const { id } = host.object;
    const uuid = readResourceUuidReply(words, 0).uuid;
    this.uuids.set(id, uuid);
    this.onUuid.emit(id);
  }

  #touchKey({ reconciler }: Session, key: WaitKey): void {
    const [kind, number] = key.split(" ");
    const id = Number(number);
    const resource = kind === "resource" ? this.desired.resources.get(id) : undefined;
    const context = kind === "context" ? this.desired.contexts.get(id) : undefined;
    const entity =
      (resource === undefined ? undefined : reconciler.resource(resource)) ??
      (context === undefined ? undefined : reconciler.context(context)) ??
      (kind === "scanout" ? reconciler.scanouts[id] : undefined) ??
      (kind === "cursor" ? reconciler.cursors[id] : undefined);
    const isOff =
      (kind === "scanout" && this.desired.scanouts[id] === null) ||
      (kind === "cursor" && this.desired.cursors[id]?.object === NO_CURSOR.object);
    const facts = { device: this.label };
    if (entity !== undefined && reconciler.isOverdue(entity))
      this.waiters.reject(key, new GpuError("ETIMEDOUT", `the host owes an answer about ${key}`, facts));
    else if (entity !== undefined) reconciler.touch(entity);
    else if (isOff) this.waiters.resolve(key);
    else this.waiters.reject(key, new GpuError("ENODEV", `this host has no ${key}`, facts));
  }

  #message(level: "debug" | "info" | "warn" | "error", text: string): void {
    const { tracer } = this.parts;
    if (tracer.enabled) tracer.trace({ kind: "message", device: this.label, level, text });
  }
}

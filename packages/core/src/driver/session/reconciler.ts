/**
 * The one writer of host state: drives what the host has to what it should have, one step per entity at a time, many
 * entities at once, and checks every reply.
 *
 *     touch(entity) -> work list -> next step (steps.ts) -> command (encode.ts) -> reply -> facts (outcome.ts) -> touch ...
 *
 * One reconciler per session. What must outlive a session (the desired state, what was lost for good, ids to forget)
 * comes in through {@link ReconcilerParts}.
 */
import type { Clock } from "../../base/clock.ts";
import { GpuError } from "../../base/errors.ts";
import type { Tracer } from "../../base/tracer.ts";
import type { DmaMap } from "../../memory/pages.ts";
import { GpuReply } from "../../wire/index.ts";
import type { DesiredState } from "../desired/desired-state.ts";
import type { Rect } from "../desired/geometry.ts";
import { intersectRect, unionRect } from "../desired/geometry.ts";
import { type ContextObject, type ResourceObject, objectName, sameScanout } from "../desired/objects.ts";
import type { CommandQueue } from "./command-queue.ts";
import { sendContextStep, sendCursor, sendFlush, sendResourceStep, sendShow } from "./encode.ts";
import {
  type EntityListener,
  Fact,
  HostContext,
  HostCursor,
  type HostEntity,
  HostResource,
  HostScanout,
  Step,
} from "./host-state.ts";
import { type HostOffer, awaitOffer, checkOffer } from "./offer.ts";
import { noteExpired, noteFailure, noteSuccess } from "./outcome.ts";
import { waitBeforeRetry } from "./reply-policy.ts";
import type { Reply } from "./reply.ts";
import {
  type Phase,
  type ResourceSurroundings,
  nextContextStep,
  nextCursorStep,
  nextResourceStep,
  nextScanoutStep,
} from "./steps.ts";
import { Targets } from "./targets.ts";
import { type Walk, walkDesired, walkHostBackwards } from "./walks.ts";
import { WorkList } from "./work-list.ts";

/** What the reconciler tells of. All may be called from within a completion. */
export interface ReconcilerListener {
  /** Nothing is left to do about it in this phase; only told while running. */
  onSettled(entity: HostEntity): void;
  /** Given up for this session. */
  onFailed(entity: HostEntity, error: GpuError): void;
  /** The host forgot a resource for good: nothing of it is used any more. */
  onGone(host: HostResource): void;
  /** A UUID was assigned, or a blob mapped: the reply's words. */
  onAnswer(host: HostResource, step: Step, words: Uint32Array): void;
}

/** What a reconciler works with. */
export interface ReconcilerParts {
  readonly device: string;
  readonly desired: DesiredState;
  readonly control: CommandQueue;
  readonly cursor: CommandQueue;
  readonly outputs: number;
  /** What this host can be made to hold. */
  readonly offer: HostOffer;
  readonly dma: DmaMap;
  readonly clock: Clock;
  readonly tracer: Tracer;
  readonly listener: ReconcilerListener;
  /** Objects whose contents are lost for good: they are not brought to this host. */
  isLost: (this: void, object: ResourceObject | ContextObject) => boolean;
  /** Soon, once for many calls: {@link Reconciler.pump}. */
  pumpSoon(): void;
}

/** See the file's head. */
export class Reconciler implements EntityListener {
  readonly resources: Map<number, HostResource> = new Map();
  readonly contexts: Map<number, HostContext> = new Map();
  readonly scanouts: readonly HostScanout[];
  readonly cursors: readonly HostCursor[];
  /** The host answered CREATE with "exists": it keeps resources over a reset. */
  hostKeeps: boolean = false;
  readonly #parts: ReconcilerParts;
  readonly #work = new WorkList();
  /** Resources that wait for a scanout or cursor to let go of them. */
  readonly #leaving: Set<HostResource> = new Set();
  readonly #cursorsWaiting: HostCursor[] = [];
  /** One for all questions: there are many. */
  readonly #around: ResourceSurroundings;
  readonly #targets: Targets;
  #ended: GpuError | null = null;

  constructor(parts: ReconcilerParts) {
    this.#parts = parts;
    this.#targets = new Targets(parts, this.resources);
    this.#around = { phase: "running", inUse: false, awaited: false, isLost: false, uuids: parts.offer.uuids };
    this.scanouts = Array.from({ length: parts.outputs }, (_, index) => new HostScanout(this, index));
    this.cursors = Array.from({ length: parts.outputs }, (_, index) => new HostCursor(this, index));
  }

  get phase(): Phase {
    return this.#targets.phase;
  }

  /** The host's side of a resource; made on first use. */
  resource(object: ResourceObject): HostResource {
    let host = this.resources.get(object.id);
    if (host === undefined) {
      host = new HostResource(this, object);
      this.resources.set(object.id, host);
    }
    return host;
  }

  /** The host's side of a context; made on first use. */
  context(object: ContextObject): HostContext {
    let host = this.contexts.get(object.id);
    if (host === undefined) {
      host = new HostContext(this, object);
      this.contexts.set(object.id, host);
    }
    return host;
  }

  // --- What changes the target ---

  /** Everything desired is to be on the host. What is lit comes first. */
  bringUp(): void {
    this.#targets.phase = "running";
    for (const entity of this.#lit()) this.#touchAfresh(entity);
    this.#startWalk(walkDesired(this, this.#parts.desired));
    this.#parts.pumpSoon();
  }

  /**
   * Whoever drove the device meanwhile may have lit outputs, and a host that keeps things shows them still.
   * Its cursors outlive a reset on QEMU too.
   */
  doubtOutputs(): void {
    for (const viewer of [...this.scanouts, ...this.cursors]) viewer.fact = Fact.UNKNOWN;
  }

  /** Nothing recoverable is to be on the host: scanouts and cursors off, then resources, newest first (QEMU's list is quadratic). */
  takeDown(): void {
    this.#targets.phase = "down";
    for (const entity of [...this.scanouts, ...this.cursors]) this.#touchAfresh(entity);
    this.#startWalk(walkHostBackwards(this));
    this.#parts.pumpSoon();
  }

  /** The user changed something about it: what failed is tried again. */
  touch(entity: HostEntity): void {
    this.#touchAfresh(entity);
    this.#parts.pumpSoon();
  }

  /** The guest's pixels of `rect` are newer than the host's, and than what the display shows. */
  damage(object: ResourceObject, rect: Rect): void {
    const host = this.resource(object);
    if (object.kind === "image2d") {
      host.stale = unionRect(host.stale, rect);
      this.#touchAfresh(host);
    }
    for (const scanout of this.scanouts) {
      if (this.#targets.scanout(scanout)?.object !== object.id) continue;
      const visible = intersectRect(rect, this.#targets.scanout(scanout)?.rect ?? rect);
      if (visible === null) continue;
      scanout.damage(visible);
      this.#touchAfresh(scanout);
    }
    this.#parts.pumpSoon();
  }

  /** The user destroyed a resource: it has to go from the host. */
  forget(object: ResourceObject): void {
    const host = this.resources.get(object.id);
    if (host === undefined) return;
    host.wanted = false;
    this.touch(host);
  }

  /** An id that an earlier life may have left on a host that keeps resources (contract 8). */
  forgetId(object: ResourceObject): void {
    const host = this.resource(object);
    host.wanted = false;
    host.created = Fact.UNKNOWN;
    this.touch(host);
  }

  /** See {@link Targets.isOverdue}. */
  isOverdue(entity: HostEntity): boolean {
    return this.#targets.isOverdue(entity);
  }

  // --- Waiting ---

  /** Resolves when what is lit shows what it should, or is known not to. */
  urgentDone(): Promise<void> {
    return this.#ended === null ? this.#work.urgentDone() : Promise.reject(this.#ended);
  }

  /** Resolves when every entity is where it should be, or is known not to get there. */
  allDone(): Promise<void> {
    return this.whenAllDone(() => {});
  }

  /** As {@link allDone}, with what `take` gives at that moment: later somebody may have asked for more. */
  whenAllDone<T>(take: () => T): Promise<T> {
    return this.#ended === null ? this.#work.allDone(take) : Promise.reject(this.#ended);
  }

  /** Nothing will come of the waiting: the host hangs, or a later request overtook it. */
  failWaiters(error: GpuError): void {
    this.#work.fail(error);
  }

  /** The session is over. */
  end(error: GpuError): void {
    this.#ended = error;
    for (const entity of this.#entities()) entity.ended();
    this.#work.fail(error);
  }

  // --- Work ---

  /** Sends as many next steps as there is room for. The caller kicks. */
  pump(): void {
    if (this.#ended !== null) return;
    const { control, cursor } = this.#parts;
    if (cursor.room > 0) for (const waiting of this.#cursorsWaiting.splice(0)) this.#work.touch(waiting, true);
    while (control.room > 0) {
      const entity = this.#work.take();
      if (entity === null) break;
      if (this.#advance(entity)) continue;
      this.#work.putBack(entity);
      break;
    }
    this.#work.announce();
  }

  /** Takes the entity's next step. False: it found no room. */
  #advance(entity: HostEntity): boolean {
    if (entity.sent !== Step.NONE) return true;
    try {
      const step = this.#nextStep(entity);
      if (step !== Step.NONE) return this.#send(entity, step);
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#fail(entity, error);
      return true;
    }
    const isWaiting = entity.retry !== null || (entity.kind === "resource" && this.#leaving.has(entity));
    if (!isWaiting) this.#settle(entity);
    return true;
  }

  #nextStep(entity: HostEntity): Step {
    if (entity.retry !== null) return Step.NONE;
    switch (entity.kind) {
      case "resource":
        return this.#nextResourceStep(entity);
      case "context":
        return nextContextStep(entity, this.#targets.phase, this.#parts.isLost(entity.object));
      case "scanout": {
        const target = this.#targets.scanout(entity);
        return nextScanoutStep(entity, target, target === null ? undefined : this.resources.get(target.object));
      }
      case "cursor": {
        const target = this.#targets.cursor(entity);
        return nextCursorStep(entity, target, this.resources.get(target.object));
      }
    }
  }

  #nextResourceStep(host: HostResource): Step {
    const { id } = host.object;
    const isLost = this.#parts.isLost(host.object);
    let inUse = false;
    let awaited = false;
    for (const scanout of this.scanouts) {
      const shows = scanout.shown?.object === id || (scanout.sent === Step.SHOW && scanout.showing?.object === id);
      inUse ||= shows;
      awaited ||= this.#targets.scanout(scanout)?.object === id && !this.#isShown(scanout);
    }
    for (const cursor of this.cursors) {
      inUse ||= cursor.shown.object === id || (cursor.sent !== Step.NONE && cursor.showing.object === id);
    }
    if (inUse && host.created !== Fact.ABSENT && this.#targets.isGoing(host)) this.#leave(host);
    const around = this.#around;
    around.phase = this.#targets.phase;
    around.inUse = inUse;
    around.awaited = awaited;
    around.isLost = isLost;
    return nextResourceStep(host, around);
  }

  /** It waits for whoever shows it. */
  #leave(host: HostResource): void {
    this.#leaving.add(host);
    const { id } = host.object;
    for (const scanout of this.scanouts) if (scanout.shown?.object === id) this.#work.touch(scanout, true);
    for (const cursor of this.cursors) if (cursor.shown.object === id) this.#work.touch(cursor, true);
  }

  /** Whether a scanout shows what it should, that part of it and no other, or is about to. */
  #isShown(scanout: HostScanout): boolean {
    const { sent, shown, showing } = scanout;
    return sameScanout(sent === Step.SHOW ? showing : shown, this.#targets.scanout(scanout));
  }

  #send(entity: HostEntity, step: Step): boolean {
    const { control, cursor } = this.#parts;
    switch (entity.kind) {
      case "resource":
        if (step === Step.CREATE) checkOffer(this.#parts.offer, entity.object);
        return sendResourceStep(control, this.#parts, entity, step);
      case "context":
        if (step === Step.CREATE && awaitOffer(this.#parts.offer, entity, () => this.#retryNow(entity))) return true;
        if (step === Step.CREATE) checkOffer(this.#parts.offer, entity.object);
        return sendContextStep(control, entity, step);
      case "scanout":
        return step === Step.FLUSH
          ? sendFlush(control, entity)
          : sendShow(control, entity, this.#targets.scanout(entity));
      case "cursor":
        // The cursor's queue is full: that must not hold up the other one.
        if (!sendCursor(cursor, entity, step, this.#targets.cursor(entity))) this.#cursorsWaiting.push(entity);
        return true;
    }
  }

  // --- Replies ---

  replied(entity: HostEntity, step: Step, reply: Reply): void {
    const { error } = reply;
    if (error === null) {
      noteSuccess(entity, step);
      if (entity.kind === "resource") this.#resourceSucceeded(entity, step, reply.words);
      this.#touchDependents(entity, step);
    } else {
      const isDone = noteFailure(entity, step, error);
      const exists = error.reply === GpuReply.ERR_INVALID_RESOURCE_ID;
      if (step === Step.CREATE && exists && entity.kind === "resource") this.#hostKeepsThings();
      if (isDone) this.#touchDependents(entity, step);
      else this.#retryOrFail(entity, error);
    }
    if (entity.failed === null && entity.retry === null) this.#work.touch(entity, entity.urgent);
  }

  expired(entity: HostEntity, step: Step): void {
    noteExpired(entity, step);
  }

  #resourceSucceeded(host: HostResource, step: Step, words: Uint32Array): void {
    host.fresh = false;
    if (step === Step.UNREF) this.#doubtViewersOf(host.object.id);
    if (step === Step.ASSIGN_UUID || step === Step.MAP) this.#parts.listener.onAnswer(host, step, words);
  }

  /** A host takes down with a resource what shows it. */
  #doubtViewersOf(id: number): void {
    for (const scanout of this.scanouts) if (scanout.shown?.object === id) scanout.fact = Fact.UNKNOWN;
  }

  /** On "exists": scanouts that we believe dark, and cursors that we believe hidden, may be there too. */
  #hostKeepsThings(): void {
    if (this.hostKeeps) return;
    this.hostKeeps = true;
    for (const viewer of [...this.scanouts, ...this.cursors]) {
      const isBlank = viewer.kind === "scanout" ? viewer.shown === null : viewer.shown.object === 0;
      if (isBlank && viewer.sent === Step.NONE) viewer.fact = Fact.UNKNOWN;
      this.#work.touch(viewer, true);
    }
  }

  #retryOrFail(entity: HostEntity, error: GpuError): void {
    entity.attempts += 1;
    const isFirst = (entity.kind === "resource" || entity.kind === "context") && entity.fresh;
    const isExisting = entity.kind === "resource" && entity.created === Fact.UNKNOWN && entity.attempts === 1;
    const waitMs = isFirst && !isExisting ? null : waitBeforeRetry(error, entity.attempts);
    if (waitMs === null) this.#fail(entity, error);
    else if (waitMs > 0) this.#retryLater(entity, waitMs);
  }

  #retryLater(entity: HostEntity, waitMs: number): void {
    entity.retry = this.#parts.clock.after(waitMs, () => this.#retryNow(entity));
  }

  #retryNow(entity: HostEntity): void {
    entity.retry = null;
    this.#work.touch(entity, entity.urgent);
    this.#parts.pumpSoon();
  }

  #fail(entity: HostEntity, error: GpuError): void {
    entity.failed = error;
    this.#trace(entity, `given up: ${error.message}`);
    this.#parts.listener.onFailed(entity, error);
    this.#work.settle(entity);
    if (entity.kind !== "resource") return;
    for (const viewer of [...this.scanouts, ...this.cursors]) this.#work.touch(viewer, true);
  }

  #settle(entity: HostEntity): void {
    this.#work.settle(entity);
    entity.attempts = 0;
    if (entity.kind === "resource" && entity.created === Fact.ABSENT && !entity.wanted) {
      // Looked at twice, it is gone once.
      if (this.resources.delete(entity.object.id)) this.#parts.listener.onGone(entity);
    } else if (entity.kind === "context" && entity.created === Fact.ABSENT && !entity.wanted) {
      this.contexts.delete(entity.object.id);
    } else if (this.#targets.phase === "running") {
      this.#parts.listener.onSettled(entity);
    }
  }

  /** Whoever waited for this step. */
  #touchDependents(entity: HostEntity, step: Step): void {
    if (entity.kind === "resource") this.#touchViewers(entity, step);
    if (entity.kind === "scanout" && step === Step.SHOW) this.#touchResourcesInUse(entity.shown?.object ?? 0);
    if (entity.kind === "cursor") this.#touchResourcesInUse(entity.shown.object);
  }

  #touchViewers(host: HostResource, step: Step): void {
    if (this.#targets.phase === "down") return;
    const { id } = host.object;
    for (const scanout of this.scanouts) {
      if (this.#targets.scanout(scanout)?.object === id) this.#work.touch(scanout, true);
    }
    for (const cursor of this.cursors) {
      if (this.#targets.cursor(cursor).object !== id) continue;
      if (step === Step.UPLOAD) cursor.imageStale = true;
      this.#work.touch(cursor, true);
    }
  }

  /** A scanout or cursor moved on: what it showed may be waiting to go, what it shows to be detached. */
  #touchResourcesInUse(shown: number): void {
    const now = this.resources.get(shown);
    if (now !== undefined) this.#work.touch(now, now.urgent);
    const leaving = [...this.#leaving];
    this.#leaving.clear();
    for (const host of leaving) this.#work.touch(host, host.urgent);
  }

  // --- Lists ---

  *#lit(): Generator<HostEntity> {
    const { desired } = this.#parts;
    for (const id of desired.shownResources()) {
      const object = desired.resources.get(id);
      if (object !== undefined) yield this.resource(object);
    }
    yield* this.scanouts;
    yield* this.cursors;
  }

  *#entities(): Generator<HostEntity> {
    yield* this.scanouts;
    yield* this.cursors;
    yield* this.contexts.values();
    yield* this.resources.values();
  }

  #touchAfresh(entity: HostEntity): void {
    this.#work.touch(this.#revive(entity), true);
  }

  #startWalk(walk: Walk): void {
    this.#work.startWalk(() => {
      const entity = walk();
      return entity === null ? null : this.#revive(entity);
    });
  }

  /** A new target is a new chance. */
  #revive<Entity extends HostEntity>(entity: Entity): Entity {
    if (entity.kind === "resource" && this.#leaving.size > 0) this.#leaving.delete(entity);
    entity.retry?.();
    entity.retry = null;
    entity.failed = null;
    entity.attempts = 0;
    return entity;
  }

  #trace(entity: HostEntity, what: string): void {
    const { tracer, device } = this.#parts;
    if (!tracer.enabled) return;
    const object = entity.kind === "resource" || entity.kind === "context" ? entity.object.id : entity.index;
    const name = entity.kind === "resource" || entity.kind === "context" ? objectName(entity.object) : entity.kind;
    tracer.trace({ kind: "object", device, object, what: `${name}: ${what}` });
  }
}

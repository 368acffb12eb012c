/**
 * What this host is known to have, in this session. Written by the reconciler alone, from the host's own replies; gone
 * with the session (contract 2: an identity in memory, never in an image).
 *
 * Each entity is the owner of its commands: one is with the host at a time, so that every next step is decided on
 * facts, and an answer needs no search.
 */
import type { CancelTimer } from "../../base/clock.ts";
import type { GpuError } from "../../base/errors.ts";
import type { ScatterList } from "../../memory/pages.ts";
import { type Rect, unionRect } from "../desired/geometry.ts";
import {
  type ContextObject,
  type DesiredCursor,
  type DesiredScanout,
  NO_CURSOR,
  type ResourceObject,
} from "../desired/objects.ts";
import type { CommandOwner } from "./command-queue.ts";
import type { Reply } from "./reply.ts";

/**
 * One fact about the host (contract 1). UNKNOWN: a command about it passed its deadline and is still with the host, or
 * was answered with nonsense; the late reply, a corrective step, or the end of the session decides.
 */
export const Fact = { ABSENT: 0, PRESENT: 1, IN_FLIGHT: 2, UNKNOWN: 3 } as const;
export type Fact = (typeof Fact)[keyof typeof Fact];

/** One command towards the target. NONE: the entity is where it should be, or has to wait. */
export const Step = {
  NONE: 0,
  CREATE: 1,
  ATTACH: 2,
  UPLOAD: 3,
  DETACH: 4,
  ASSIGN_UUID: 5,
  MAP: 6,
  UNMAP: 7,
  UNREF: 8,
  SHOW: 9,
  FLUSH: 10,
  CURSOR_IMAGE: 11,
  CURSOR_MOVE: 12,
} as const;
export type Step = (typeof Step)[keyof typeof Step];

/** Hears what became of entities' commands. */
export interface EntityListener {
  replied(entity: HostEntity, step: Step, reply: Reply): void;
  expired(entity: HostEntity, step: Step, error: GpuError): void;
}

/** What all entities share: the command in flight, and how often it went wrong. */
abstract class Entity implements CommandOwner {
  readonly #listener: EntityListener;
  /** The command that is with the host. */
  sent: Step = Step.NONE;
  /** It passed its deadline. */
  overdue: boolean = false;
  /** In a work list. */
  queued: boolean = false;
  /** Counted among those that still have something to do. */
  active: boolean = false;
  urgent: boolean = false;
  attempts: number = 0;
  /** Given up for this session; the last refusal. */
  failed: GpuError | null = null;
  retry: CancelTimer | null = null;

  constructor(listener: EntityListener) {
    this.#listener = listener;
  }

  replied(step: number, reply: Reply): void {
    this.sent = Step.NONE;
    this.overdue = false;
    this.#listener.replied(this.self(), step as Step, reply);
  }

  expired(step: number, error: GpuError): void {
    this.overdue = true;
    this.#listener.expired(this.self(), step as Step, error);
  }

  /** The session is over, and this with it. */
  ended(): void {
    this.retry?.();
    this.retry = null;
  }

  protected abstract self(): HostEntity;
}

/** What the host has of one resource. */
export class HostResource extends Entity {
  readonly kind = "resource" as const;
  readonly object: ResourceObject;
  /** False once the user destroyed it: then it only has to go. */
  wanted: boolean = true;
  /** Never yet confirmed, in any session: its first refusal goes to its creator. */
  fresh: boolean = false;
  created: Fact = Fact.ABSENT;
  attached: Fact = Fact.ABSENT;
  uuid: Fact = Fact.ABSENT;
  mapped: Fact = Fact.ABSENT;
  /** Where the host's copy differs from the guest's (2D only), besides what is on its way. */
  stale: Rect | null;
  /** What is on its way. */
  uploading: Rect | null = null;
  /** Takes the bus mapping of the backing back; null while there is none. */
  unmapBacking: (() => void) | null = null;
  /** The bus ranges of the backing while it is mapped. */
  ranges: ScatterList | null = null;
  #onBackingReleased: (() => void)[] | null = null;
  /** The window offset that was mapped. */
  mapOffset: number = 0;

  constructor(listener: EntityListener, object: ResourceObject) {
    super(listener);
    this.object = object;
    const isBlank = object.kind !== "image2d" || !object.drawn;
    this.stale = isBlank ? null : { x: 0, y: 0, width: object.width, height: object.height };
  }

  /** Whether the host holds its guest memory's contents, or will have read them before any later command of the queue. */
  get hasPixels(): boolean {
    return this.created === Fact.PRESENT && this.attached === Fact.PRESENT && this.stale === null;
  }

  /** The device no longer reads the backing: its bus mapping may end. */
  releaseBacking(): void {
    this.unmapBacking?.();
    this.unmapBacking = null;
    this.ranges = null;
    const waiting = this.#onBackingReleased;
    this.#onBackingReleased = null;
    if (waiting !== null) for (const tell of waiting) tell();
  }

  /** Calls back, once, at the next {@link releaseBacking}. */
  whenBackingReleased(tell: () => void): void {
    this.#onBackingReleased ??= [];
    this.#onBackingReleased.push(tell);
  }

  protected override self(): HostResource {
    return this;
  }
}

/** What the host has of one context. */
export class HostContext extends Entity {
  readonly kind = "context" as const;
  readonly object: ContextObject;
  wanted: boolean = true;
  fresh: boolean = false;
  created: Fact = Fact.ABSENT;

  constructor(listener: EntityListener, object: ContextObject) {
    super(listener);
    this.object = object;
  }

  protected override self(): HostContext {
    return this;
  }
}

/** One scanout, as last confirmed. */
export class HostScanout extends Entity {
  readonly kind = "scanout" as const;
  readonly index: number;
  /** UNKNOWN until a SET_SCANOUT was confirmed, where the host may show something of an older life. */
  fact: Fact = Fact.PRESENT;
  shown: DesiredScanout | null = null;
  /** What the SET_SCANOUT that is with the host asks for. */
  showing: DesiredScanout | null = null;
  /** Where the display is older than the host's copy, in pixels of the resource. */
  unflushed: Rect | null = null;
  flushing: Rect | null = null;

  constructor(listener: EntityListener, index: number) {
    super(listener);
    this.index = index;
  }

  damage(rect: Rect): void {
    this.unflushed = unionRect(this.unflushed, rect);
  }

  protected override self(): HostScanout {
    return this;
  }
}

/** One cursor, as last sent (the cursor queue has no replies; a returned buffer is all the confirmation there is). */
export class HostCursor extends Entity {
  readonly kind = "cursor" as const;
  readonly index: number;
  /** UNKNOWN until a command about it was taken, where the host may show one of an older life. */
  fact: Fact = Fact.PRESENT;
  shown: DesiredCursor = NO_CURSOR;
  showing: DesiredCursor = NO_CURSOR;
  /** The picture that the host took is older than its resource. */
  imageStale: boolean = false;

  constructor(listener: EntityListener, index: number) {
    super(listener);
    this.index = index;
  }

  protected override self(): HostCursor {
    return this;
  }
}

/** Whatever the reconciler takes care of. */
export type HostEntity = HostResource | HostContext | HostScanout | HostCursor;

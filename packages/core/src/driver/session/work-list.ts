/**
 * What still has something to do, in order of need: what is on a lit output or in a cursor first, the rest behind it.
 * The rest is not listed beforehand but walked, so that the way to the picture does not depend on how many objects there
 * are.
 */
import type { GpuError } from "../../base/errors.ts";
import type { HostEntity } from "./host-state.ts";

interface Waiter {
  resolve(): void;
  reject(error: GpuError): void;
}

/** A queue that does not move its elements. */
class Fifo {
  #items: HostEntity[] = [];
  #head = 0;

  push(entity: HostEntity): void {
    this.#items.push(entity);
  }

  shift(): HostEntity | undefined {
    const entity = this.#items[this.#head];
    if (entity === undefined) return undefined;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    }
    return entity;
  }

  unshift(entity: HostEntity): void {
    if (this.#head > 0) {
      this.#head -= 1;
      this.#items[this.#head] = entity;
    } else {
      this.#items.unshift(entity);
    }
  }
}

/** Resolves many when a condition comes true. */
class Gate {
  readonly #waiters: Set<Waiter> = new Set();

  /** `take`: what is to be told of the moment when it opens, before anything else happens. */
  wait<T>(take: () => T): Promise<T> {
    return new Promise((resolve, reject) => this.#waiters.add({ resolve: () => resolve(take()), reject }));
  }

  open(): void {
    for (const waiter of this.#waiters) waiter.resolve();
    this.#waiters.clear();
  }

  fail(error: GpuError): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }
}

/** See the file's head. */
export class WorkList {
  readonly #urgent = new Fifo();
  readonly #ordinary = new Fifo();
  readonly #urgentGate = new Gate();
  readonly #allGate = new Gate();
  #urgentActive = 0;
  #active = 0;
  #walk: (() => HostEntity | null) | null = null;
  /** A new target, whose urgent part goes alone; behind it, an output that changes all the time holds up nobody. */
  #isUrgentAlone = false;

  /** True when nothing urgent is left to do. */
  get isUrgentDone(): boolean {
    return this.#urgentActive === 0;
  }

  /** True when nothing at all is left to do. */
  get isDone(): boolean {
    return this.#active === 0 && this.#walk === null;
  }

  /** Has the entity looked at. An urgent one stays urgent until it is settled. */
  touch(entity: HostEntity, urgent: boolean): void {
    this.activate(entity, urgent);
    if (entity.queued) return;
    entity.queued = true;
    (entity.urgent ? this.#urgent : this.#ordinary).push(entity);
  }

  activate(entity: HostEntity, urgent: boolean): void {
    if (!entity.active) {
      entity.active = true;
      entity.urgent = urgent;
      this.#active += 1;
      if (urgent) this.#urgentActive += 1;
    } else if (urgent && !entity.urgent) {
      entity.urgent = true;
      this.#urgentActive += 1;
      // It may wait in the other list: there it would be looked at too late. Twice looked at does no harm.
      if (entity.queued) this.#urgent.push(entity);
    }
  }

  /** The entity has nothing to do. */
  settle(entity: HostEntity): void {
    if (!entity.active) return;
    entity.active = false;
    this.#active -= 1;
    if (entity.urgent) this.#urgentActive -= 1;
    if (this.isUrgentDone) this.#isUrgentAlone = false;
    entity.urgent = false;
  }

  /** Walks what nobody touched: `next` gives entities that may have something to do, null at its end. */
  startWalk(next: () => HostEntity | null): void {
    this.#walk = next;
    this.#isUrgentAlone = !this.isUrgentDone;
  }

  /** The next entity to look at, or null. */
  take(): HostEntity | null {
    const entity = this.#urgent.shift() ?? (this.#isUrgentAlone ? null : this.#takeOrdinary());
    if (entity !== null) entity.queued = false;
    return entity;
  }

  /** Puts an entity back that found no room. */
  putBack(entity: HostEntity): void {
    if (entity.queued) return;
    entity.queued = true;
    (entity.urgent ? this.#urgent : this.#ordinary).unshift(entity);
  }

  #takeOrdinary(): HostEntity | null {
    const listed = this.#ordinary.shift();
    if (listed !== undefined || this.#walk === null) return listed ?? null;
    const walked = this.#walk();
    if (walked === null) this.#walk = null;
    else this.activate(walked, false);
    return walked;
  }

  /** Resolves when nothing urgent is left. */
  urgentDone(): Promise<void> {
    return this.isUrgentDone ? Promise.resolve() : this.#urgentGate.wait(() => {});
  }

  /** Resolves when nothing is left, with what `take` gives at that moment. */
  allDone<T>(take: () => T): Promise<T> {
    return this.isDone ? Promise.resolve(take()) : this.#allGate.wait(take);
  }

  /** Tells whoever waits; after each round of work. */
  announce(): void {
    if (this.isUrgentDone) this.#urgentGate.open();
    if (this.isDone) this.#allGate.open();
  }

  /** Nothing will come of the waiting. */
  fail(error: GpuError): void {
    this.#urgentGate.fail(error);
    this.#allGate.fail(error);
  }
}

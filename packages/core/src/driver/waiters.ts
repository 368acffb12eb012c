/**
 * Who waits for what is desired to be on the host. Level-triggered, and kept over sessions: a call made while the device
 * sleeps is answered after the restore. What carries an answer of one session (commands, fences, UUIDs) waits elsewhere.
 */
import type { GpuError } from "../base/errors.ts";
import { type DesiredObject, objectName } from "./desired/objects.ts";
import type { HostEntity } from "./session/host-state.ts";

/** What is waited for. */
export type WaitKey = `resource ${number}` | `context ${number}` | `scanout ${number}` | `cursor ${number}`;

interface Waiter {
  resolve(): void;
  reject(error: GpuError): void;
}

/** See the file's head. */
export class Waiters {
  readonly #waiting: Map<WaitKey, Waiter[]> = new Map();

  wait(key: WaitKey): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter = { resolve, reject };
      const others = this.#waiting.get(key);
      if (others === undefined) this.#waiting.set(key, [waiter]);
      else others.push(waiter);
    });
  }

  /** What somebody waits for. */
  get keys(): readonly WaitKey[] {
    return [...this.#waiting.keys()];
  }

  /** Whether somebody waits for what became of it. */
  hasFor(entity: HostEntity): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(keyOfEntity(entity));
  }

  resolve(key: WaitKey): void {
    for (const waiter of this.#take(key)) waiter.resolve();
  }

  reject(key: WaitKey, error: GpuError): void {
    for (const waiter of this.#take(key)) waiter.reject(error);
  }

  rejectAll(error: GpuError): void {
    for (const key of this.keys) this.reject(key, error);
  }

  #take(key: WaitKey): readonly Waiter[] {
    const waiters = this.#waiting.get(key) ?? [];
    this.#waiting.delete(key);
    return waiters;
  }
}

/** What is waited for about an object. */
export function keyOf(object: DesiredObject): WaitKey {
  return object.kind === "context" ? `context ${object.id}` : `resource ${object.id}`;
}

/** What is waited for about an entity. */
export function keyOfEntity(entity: HostEntity): WaitKey {
  return entity.kind === "resource" || entity.kind === "context"
    ? keyOf(entity.object)
    : `${entity.kind} ${entity.index}`;
}

/** Names an entity in a message. */
export function nameOfEntity(entity: HostEntity): string {
  return entity.kind === "resource" || entity.kind === "context"
    ? objectName(entity.object)
    : `${entity.kind} ${entity.index}`;
}

/** What a host should have in the phase that a session is in: what is desired, as far as that can be, or nothing. */
import type { DesiredState } from "../desired/desired-state.ts";
import { type DesiredCursor, type DesiredScanout, NO_CURSOR, type ResourceObject } from "../desired/objects.ts";
import type { HostCursor, HostEntity, HostResource, HostScanout } from "./host-state.ts";
import type { Phase } from "./steps.ts";

/** What is wanted, and what is lost for good. */
export interface TargetParts {
  readonly desired: DesiredState;
  isLost: (this: void, object: ResourceObject) => boolean;
}

/** See the file's head. */
export class Targets {
  phase: Phase = "running";
  readonly #desired: DesiredState;
  readonly #isLost: TargetParts["isLost"];
  readonly #resources: ReadonlyMap<number, HostResource>;

  constructor({ desired, isLost }: TargetParts, resources: ReadonlyMap<number, HostResource>) {
    this.#desired = desired;
    this.#isLost = isLost;
    this.#resources = resources;
  }

  /** Whether a resource is to go from the host. */
  isGoing({ wanted, object }: HostResource): boolean {
    return !wanted || this.phase === "down" || this.#isLost(object);
  }

  /** What a scanout should show. */
  scanout({ index, shown }: HostScanout): DesiredScanout | null {
    const wanted = this.phase === "running" ? (this.#desired.scanouts[index] ?? null) : null;
    return wanted === null || this.#isStuck(wanted.object, shown?.object ?? 0) ? null : wanted;
  }

  /** What a cursor should be. */
  cursor({ index, shown }: HostCursor): DesiredCursor {
    const wanted = this.#desired.cursors[index] ?? NO_CURSOR;
    const isShown = this.phase === "running" && !this.#isStuck(wanted.object, shown.object);
    return isShown ? wanted : { ...wanted, object: 0 };
  }

  /** Whether the host owes an answer about it, or about what it is to show, and may have forgotten that. */
  isOverdue(entity: HostEntity): boolean {
    if (entity.overdue || entity.kind === "resource" || entity.kind === "context") return entity.overdue;
    const wanted = entity.kind === "scanout" ? this.scanout(entity)?.object : this.cursor(entity).object;
    return this.#resources.get(wanted ?? 0)?.overdue === true;
  }

  /** What should be shown was given up, and what is shown has to go: then nothing is. */
  #isStuck(wanted: number, shown: number): boolean {
    if (shown === 0 || shown === wanted) return false;
    const old = this.#resources.get(shown);
    if (old === undefined || !this.isGoing(old)) return false;
    return (this.#resources.get(wanted)?.failed ?? null) !== null;
  }
}

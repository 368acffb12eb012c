/**
 * The whole desired state of one device: objects, outputs, cursors, and the high-water marks of everything that counts
 * up. See `saved-state.ts` for its way into an image and back.
 */
import { MAX_SCANOUTS } from "../../wire/index.ts";
import type {
  ContextObject,
  DesiredCursor,
  DesiredObject,
  DesiredScanout,
  LostObject,
  ResourceObject,
} from "./objects.ts";
import { NO_CURSOR } from "./objects.ts";

/** An output, or the cursor of one. */
export type ViewerKey = `scanout ${number}` | `cursor ${number}`;

/** See the file's head. Only the public faces (buffers, outputs, cursors, contexts) change it. */
export class DesiredState {
  /** In the order of creation. */
  readonly resources: Map<number, ResourceObject> = new Map();
  readonly contexts: Map<number, ContextObject> = new Map();
  readonly scanouts: (DesiredScanout | null)[] = new Array<DesiredScanout | null>(MAX_SCANOUTS).fill(null);
  readonly cursors: DesiredCursor[] = new Array<DesiredCursor>(MAX_SCANOUTS).fill(NO_CURSOR);
  /** What an earlier process had and no host could give back: in a loaded state, until its user says he is done claiming. */
  readonly lostBefore: LostObject[] = [];
  /** The next id to give out. Ids are never used twice, not even after a hibernation. */
  nextResourceId: number = 1;
  nextContextId: number = 1;
  nextFenceId: number = 1;

  /** Every object, contexts first. */
  objects(): readonly DesiredObject[] {
    return [...this.contexts.values(), ...this.resources.values()];
  }

  /** The resources that some output shows or some cursor is made of. */
  shownResources(): Set<number> {
    const shown = new Set<number>();
    for (const scanout of this.scanouts) if (scanout !== null) shown.add(scanout.object);
    for (const cursor of this.cursors) if (cursor.object !== 0) shown.add(cursor.object);
    return shown;
  }

  /** The outputs and cursors that show a resource. */
  viewers(resourceId: number): readonly ViewerKey[] {
    const viewers: ViewerKey[] = [];
    this.scanouts.forEach((scanout, index) => {
      if (scanout?.object === resourceId) viewers.push(`scanout ${index}`);
    });
    this.cursors.forEach((cursor, index) => {
      if (cursor.object === resourceId) viewers.push(`cursor ${index}`);
    });
    return viewers;
  }

  /** Those that show a resource are switched off; returns which. */
  darken(resourceId: number): readonly ViewerKey[] {
    const viewers = this.viewers(resourceId);
    this.scanouts.forEach((scanout, index) => {
      if (scanout?.object === resourceId) this.scanouts[index] = null;
    });
    this.cursors.forEach((cursor, index) => {
      if (cursor.object === resourceId) this.cursors[index] = { ...cursor, object: NO_CURSOR.object };
    });
    return viewers;
  }

  takeResourceId(): number {
    this.nextResourceId += 1;
    return this.nextResourceId - 1;
  }

  takeContextId(): number {
    this.nextContextId += 1;
    return this.nextContextId - 1;
  }

  takeFenceId(): number {
    this.nextFenceId += 1;
    return this.nextFenceId - 1;
  }
}

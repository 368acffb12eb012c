/**
 * Before and after, compared byte for byte: what each output shows, each cursor, each object.
 */
import { createHash } from "node:crypto";
import type { Inventory, InventoryObject } from "../../guests/machine/protocol.ts";
import type { HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { ObjectRecord } from "../../report/run-record.ts";
import type { SceneKind } from "../scene/scene-state.ts";

/** Two pictures of the same place. */
export interface PictureComparison {
  readonly output: number;
  readonly isSame: boolean;
  /** Hashes of size and pixels; null: dark. */
  readonly before: string | null;
  readonly after: string | null;
}

/** See the file's head. */
export interface Comparison {
  readonly outputs: readonly PictureComparison[];
  readonly cursors: readonly PictureComparison[];
  readonly objects: readonly ObjectRecord[];
}

/** What is kept of an inventory to hold another one against it: hashes, no pictures. */
export interface Remembered {
  /** By output: size and pixels; null: dark. */
  readonly outputs: readonly (string | null)[];
  /** The same, with hot spot and place. */
  readonly cursors: readonly (string | null)[];
  readonly objects: readonly InventoryObject[];
}

/** Boils an inventory down. */
export function remember({ outputs, cursors, objects }: Pick<Inventory, keyof Remembered>): Remembered {
  return {
    outputs: outputs.map((picture) => (picture === null ? null : hashPicture(picture))),
    cursors: cursors.map((cursor) => (cursor === null ? null : hashCursor(cursor))),
    objects,
  };
}

/** Holds what there is against what there was. */
export function compareInventories(before: Remembered, after: Remembered): Comparison {
  const pair = (one: readonly (string | null)[], other: readonly (string | null)[]): PictureComparison[] =>
    Array.from({ length: Math.max(one.length, other.length) }, (_, output) => {
      const [then, now] = [one[output] ?? null, other[output] ?? null];
      return { output, isSame: then === now, before: then, after: now };
    });
  const found = new Map(after.objects.map((object) => [object.key, object]));
  return {
    outputs: pair(before.outputs, after.outputs),
    cursors: pair(before.cursors, after.cursors).filter(({ before: had, after: has }) => had !== null || has !== null),
    objects: before.objects.map((object) => compareObjects(object, found.get(object.key))),
  };
}

function compareObjects(before: InventoryObject, after: InventoryObject | undefined): ObjectRecord {
  const { key, kind, bytes } = before;
  const reason = lossOf(before, after);
  return {
    key,
    kind,
    bytes,
    storage: STORAGE[kind],
    attached: !kind.startsWith("detached") && kind !== "context",
    before: before.host,
    after: after?.host ?? "absent",
    state: reason === null ? "restored" : "lost",
    reason,
  };
}

/** Where an object's pixels live, by its kind. */
const STORAGE: Readonly<Record<SceneKind, string>> = {
  image: "guest pages, host copy",
  "detached image": "host copy, guest pages behind the scenes",
  blob: "guest pages",
  "detached blob": "guest pages",
  import: "lent pages",
  cursor: "guest pages, host copy",
  context: "host",
};

function lossOf(before: InventoryObject, after: InventoryObject | undefined): string | null {
  if (after === undefined) return "nobody has it any more";
  if (after.guest !== before.guest) return "the guest's memory of it is not what it was";
  if (after.host === before.host) return null;
  return after.host === "absent" ? "the host knows no such object" : "the host has other contents";
}

function hashPicture({ width, height, rgba }: HostPicture): string {
  return `${width}x${height} ${createHash("sha256").update(rgba).digest("hex")}`;
}

function hashCursor(cursor: HostCursor): string {
  const { hotX, hotY, place } = cursor;
  return `${hashPicture(cursor)}, hot spot ${hotX},${hotY}${place === null ? "" : ` at ${place.x},${place.y}`}`;
}

/** Pixels of an output that differ; null where that can't be said. */
export function differingPixels(before: HostPicture | null, after: HostPicture | null): number | null {
  if (before === null || after === null || before.width !== after.width || before.height !== after.height) return null;
  const [one, other] = [before.rgba, after.rgba];
  let differing = 0;
  for (let at = 0; at < one.length; at += 4) {
    if (one[at] !== other[at] || one[at + 1] !== other[at + 1] || one[at + 2] !== other[at + 2]) differing += 1;
  }
  return differing;
}

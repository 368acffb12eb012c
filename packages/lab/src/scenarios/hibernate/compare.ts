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
  /** Pixels that differ; null where the sizes do. */
  readonly differing: number | null;
}

/** See the file's head. */
export interface Comparison {
  readonly outputs: readonly PictureComparison[];
  readonly cursors: readonly PictureComparison[];
  readonly objects: readonly ObjectRecord[];
}

/** Compares two inventories. */
export function compareInventories(before: Inventory, after: Inventory): Comparison {
  const pairs = <T>(of: (inventory: Inventory) => readonly (T | null)[]): (readonly [T | null, T | null])[] =>
    Array.from({ length: Math.max(of(before).length, of(after).length) }, (_, index) => [
      of(before)[index] ?? null,
      of(after)[index] ?? null,
    ]);
  const outputs = pairs(({ outputs }) => outputs).map(([one, other], output) => comparePictures(output, one, other));
  const cursors = pairs(({ cursors }) => cursors)
    .map(([one, other], output) => compareCursors(output, one, other))
    .filter(({ before: had, after: has }) => had !== null || has !== null);
  const found = new Map(after.objects.map((object) => [object.key, object]));
  const objects = before.objects.map((object) => compareObjects(object, found.get(object.key)));
  return { outputs, cursors, objects };
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

/** Names a picture: its size and what is in it. */
export function hashPicture({ width, height, rgba }: HostPicture): string {
  return `${width}x${height} ${createHash("sha256").update(rgba).digest("hex").slice(0, 32)}`;
}

function comparePictures(output: number, before: HostPicture | null, after: HostPicture | null): PictureComparison {
  const [one, other] = [before, after].map((picture) => (picture === null ? null : hashPicture(picture)));
  return {
    output,
    isSame: one === other,
    before: one ?? null,
    after: other ?? null,
    differing: one === other ? 0 : differingPixels(before, after),
  };
}

function compareCursors(output: number, before: HostCursor | null, after: HostCursor | null): PictureComparison {
  const pictures = comparePictures(output, before, after);
  const place = (cursor: HostCursor | null): string =>
    JSON.stringify([cursor?.hotX, cursor?.hotY, cursor?.place?.x, cursor?.place?.y]);
  return { ...pictures, isSame: pictures.isSame && place(before) === place(after) };
}

function differingPixels(before: HostPicture | null, after: HostPicture | null): number | null {
  if (before === null || after === null || before.width !== after.width || before.height !== after.height) return null;
  let differing = 0;
  for (let at = 0; at < before.rgba.length; at += 4) {
    const same = [0, 1, 2].every((channel) => before.rgba[at + channel] === after.rgba[at + channel]);
    if (!same) differing += 1;
  }
  return differing;
}

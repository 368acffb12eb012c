/**
 * The desired state as plain data for an image, and back (contract 6). What comes back is hostile until checked: one
 * wrong field refuses the whole, before anything is built.
 *
 * | field of the live state | |
 * | --- | --- |
 * | resources, unused contexts, scanouts, cursors | saved |
 * | nextResourceId, nextContextId, nextFenceId | saved: ids stay unique over hibernations (R-25) |
 * | pages behind buffers | their allocation records; the bytes are the memory image's |
 * | what can't be brought back, and objects that were lost | key and reason, so that whoever asks is told |
 * | exporters of imports | their keys; they are claimed again |
 * | session, host state, waiters, UUIDs | not needed: a loaded state has no session (contract 2) |
 */
import { GpuError } from "../../base/errors.ts";
import type { PageAllocator, Pages, PagesRecord } from "../../memory/pages.ts";
import { MAX_SCANOUTS } from "../../wire/index.ts";
import { DesiredState } from "./desired-state.ts";
import type {
  Backing,
  BlobLayout,
  ContextObject,
  DesiredCursor,
  DesiredObject,
  DesiredScanout,
  GuestBlobObject,
  Image2dObject,
  ResourceObject,
} from "./objects.ts";
import { isFormat, isRecoverable, objectName, strideOf } from "./objects.ts";

/** The format's number: a reader refuses all others. */
export const SAVED_STATE_VERSION = 1;

/** A backing as data. */
export type SavedBacking =
  | { readonly source: "own"; readonly pages: PagesRecord; readonly byteLength: number }
  | { readonly source: "import"; readonly key: string; readonly byteLength: number };

/** A buffer as data. `layout` is how its user reads a blob; null for images. */
export interface SavedBuffer {
  readonly kind: "image2d" | "guestBlob";
  readonly id: number;
  readonly key: string | null;
  readonly holder: string;
  readonly uuidWanted: boolean;
  readonly attached: boolean;
  readonly drawn: boolean;
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly flags: number;
  readonly backing: SavedBacking;
  readonly layout: BlobLayout | null;
}

/** Everything, as JSON can carry it. */
export interface SavedState {
  readonly version: number;
  readonly buffers: readonly SavedBuffer[];
  readonly contexts: readonly Omit<ContextObject, "used" | "kind">[];
  readonly scanouts: readonly (DesiredScanout | null)[];
  readonly cursors: readonly DesiredCursor[];
  readonly lost: readonly { readonly key: string | null; readonly name: string; readonly reason: string }[];
  readonly nextResourceId: number;
  readonly nextContextId: number;
  readonly nextFenceId: number;
}

/** What {@link saveState} needs besides the state. */
export interface SaveParts {
  readonly allocator: PageAllocator;
  readonly losses: ReadonlyMap<DesiredObject, GpuError>;
  /** How the user reads a blob. */
  readonly layoutOf: (object: GuestBlobObject) => BlobLayout | null;
}

/** The desired state as plain data. Take it at the snapshot point, with the memory's contents. */
export function saveState(desired: DesiredState, parts: SaveParts): SavedState {
  const records = new Map(parts.allocator.save().map((record) => [record.key, record]));
  const buffers: SavedBuffer[] = [];
  const lost: { key: string | null; name: string; reason: string }[] = [];
  for (const object of desired.resources.values()) {
    const reason = parts.losses.get(object)?.message ?? (isRecoverable(object) ? null : "no host can give it back");
    if (reason !== null) lost.push({ key: object.key, name: objectName(object), reason });
    else if (object.kind === "image2d" || object.kind === "guestBlob") buffers.push(saveBuffer(object, records, parts));
  }
  const contexts = [...desired.contexts.values()].filter(
    (context) => isRecoverable(context) && !parts.losses.has(context),
  );
  return {
    version: SAVED_STATE_VERSION,
    buffers,
    contexts: contexts.map(({ id, key, holder, name, capset }) => ({ id, key, holder, name, capset })),
    scanouts: [...desired.scanouts],
    cursors: [...desired.cursors],
    lost,
    nextResourceId: desired.nextResourceId,
    nextContextId: desired.nextContextId,
    nextFenceId: desired.nextFenceId,
  };
}

function saveBuffer(
  object: Image2dObject | GuestBlobObject,
  records: ReadonlyMap<number, PagesRecord>,
  parts: SaveParts,
): SavedBuffer {
  const { kind, id, key, holder, uuidWanted, attached } = object;
  const isImage = object.kind === "image2d";
  return {
    kind,
    id,
    key,
    holder,
    uuidWanted,
    attached,
    drawn: isImage && object.drawn,
    format: isImage ? object.format : 0,
    width: isImage ? object.width : 0,
    height: isImage ? object.height : 0,
    flags: isImage ? 0 : object.flags,
    backing: saveBacking(object.backing, records),
    layout: isImage ? null : parts.layoutOf(object),
  };
}

function saveBacking(backing: Backing, records: ReadonlyMap<number, PagesRecord>): SavedBacking {
  const { byteLength } = backing;
  if (backing.source === "import") return { source: "import", key: backing.key, byteLength };
  const pages = records.get(backing.pages.key);
  if (pages === undefined) throw new GpuError("EINVAL", `the allocator knows no pages ${backing.pages.key}`);
  return { source: "own", pages, byteLength };
}

/** A loaded state: what {@link loadState} gives. */
export interface LoadedState {
  readonly desired: DesiredState;
  readonly layouts: ReadonlyMap<number, BlobLayout>;
  readonly lost: ReadonlyMap<string, string>;
}

/** Checks `saved` and builds a desired state from it, taking its pages over. Throws GpuError EINVAL that says what is wrong; then no page is taken. */
export function loadState(saved: unknown, allocator: PageAllocator): LoadedState {
  const state = checkState(saved);
  const taken: Pages[] = [];
  try {
    return build(state, (record) => {
      const pages = allocator.adopt(record);
      taken.push(pages);
      return pages;
    });
  } catch (error) {
    for (const pages of taken) allocator.free(pages);
    throw error;
  }
}

function build(state: SavedState, adopt: (record: PagesRecord) => Pages): LoadedState {
  const desired = new DesiredState();
  const layouts = new Map<number, BlobLayout>();
  for (const buffer of state.buffers) {
    desired.resources.set(buffer.id, buildBuffer(buffer, adopt));
    if (buffer.layout !== null) layouts.set(buffer.id, buffer.layout);
  }
  for (const context of state.contexts) desired.contexts.set(context.id, { ...context, kind: "context", used: false });
  state.scanouts.forEach((scanout, index) => (desired.scanouts[index] = scanout));
  state.cursors.forEach((cursor, index) => (desired.cursors[index] = cursor));
  desired.nextResourceId = state.nextResourceId;
  desired.nextContextId = state.nextContextId;
  desired.nextFenceId = state.nextFenceId;
  const lost = new Map(state.lost.flatMap(({ key, reason }) => (key === null ? [] : [[key, reason] as const])));
  return { desired, layouts, lost };
}

function buildBuffer(saved: SavedBuffer, adopt: (record: PagesRecord) => Pages): ResourceObject {
  const { id, key, holder, uuidWanted, attached, drawn, width, height, flags } = saved;
  const backing = buildBacking(saved.backing, adopt);
  const base = { id, key, holder, uuidWanted, attached, backing };
  if (saved.kind === "guestBlob") return { ...base, kind: "guestBlob", byteLength: backing.byteLength, flags };
  if (!isFormat(saved.format)) throw wrong(`buffer ${id} has no known format`);
  return { ...base, kind: "image2d", format: saved.format, width, height, drawn };
}

function buildBacking(saved: SavedBacking, adopt: (record: PagesRecord) => Pages): Backing {
  const { byteLength } = saved;
  if (saved.source === "import") return { source: "import", key: saved.key, byteLength, exporter: null, moving: false };
  const pages = adopt(saved.pages);
  if (pages.byteLength < byteLength) throw wrong(`pages ${pages.key} are too few for ${byteLength} bytes`);
  return { source: "own", pages, byteLength };
}

// --- Checks ---

function wrong(what: string): GpuError {
  return new GpuError("EINVAL", `the saved driver state is not sound: ${what}`);
}

type Fields = Readonly<Record<string, unknown>>;

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(`${what} is no record`);
  return value as Fields;
}

function list(value: unknown, lengthMax: number, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > lengthMax) throw wrong(`${what} is no list of at most ${lengthMax}`);
  return value;
}

function count(from: Fields, name: string, max: number, what: string): number {
  const value = from[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw wrong(`${what} has ${String(value)} as ${name}`);
  }
  return value;
}

function integer(from: Fields, name: string, what: string): number {
  const value = from[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw wrong(`${what} has ${String(value)} as ${name}`);
  return value;
}

function flag(from: Fields, name: string, what: string): boolean {
  const value = from[name];
  if (typeof value !== "boolean") throw wrong(`${what} has ${String(value)} as ${name}`);
  return value;
}

function text(from: Fields, name: string, what: string): string {
  const value = from[name];
  if (typeof value !== "string" || value.length > TEXT_MAX) throw wrong(`${what} has no ${name}`);
  return value;
}

const optionalText = (from: Fields, name: string, what: string): string | null =>
  from[name] === null ? null : text(from, name, what);

const U32_MAX = 0xffff_ffff;
const TEXT_MAX = 65_536;
const OBJECTS_MAX = 10_000_000;

function checkState(value: unknown): SavedState {
  const from = fields(value, "it");
  if (from["version"] !== SAVED_STATE_VERSION) {
    throw wrong(`it has version ${String(from["version"])}, this program reads ${SAVED_STATE_VERSION}`);
  }
  const nextResourceId = count(from, "nextResourceId", U32_MAX, "it");
  const nextContextId = count(from, "nextContextId", U32_MAX, "it");
  const buffers = list(from["buffers"], OBJECTS_MAX, "buffers").map((entry) => checkBuffer(entry, nextResourceId));
  const contexts = list(from["contexts"], OBJECTS_MAX, "contexts").map((entry) => checkContext(entry, nextContextId));
  const byId = unique(buffers, "buffer");
  unique(contexts, "context");
  return {
    version: SAVED_STATE_VERSION,
    buffers,
    contexts,
    scanouts: list(from["scanouts"], MAX_SCANOUTS, "scanouts").map((entry) => checkScanout(entry, byId)),
    cursors: list(from["cursors"], MAX_SCANOUTS, "cursors").map((entry) => checkCursor(entry, byId)),
    lost: list(from["lost"], OBJECTS_MAX, "lost").map(checkLost),
    nextResourceId,
    nextContextId,
    nextFenceId: count(from, "nextFenceId", Number.MAX_SAFE_INTEGER, "it"),
  };
}

function unique<T extends { readonly id: number; readonly key: string | null }>(
  entries: readonly T[],
  what: string,
): ReadonlyMap<number, T> {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  if (byId.size !== entries.length) throw wrong(`two ${what}s have one id`);
  const keys = entries.flatMap(({ key }) => (key === null ? [] : [key]));
  if (new Set(keys).size !== keys.length) throw wrong(`two ${what}s have one key`);
  return byId;
}

function checkBuffer(value: unknown, nextId: number): SavedBuffer {
  const from = fields(value, "a buffer");
  const id = count(from, "id", nextId - 1, "a buffer");
  const what = `buffer ${id}`;
  const { kind } = from;
  if (id === 0 || (kind !== "image2d" && kind !== "guestBlob")) throw wrong(`${what} is of no known kind`);
  const backing = checkBacking(from["backing"], what);
  const width = count(from, "width", U32_MAX, what);
  const height = count(from, "height", U32_MAX, what);
  if (kind === "image2d" && strideOf(width) * height > backing.byteLength)
    throw wrong(`${what} is larger than its memory`);
  if (kind === "image2d" && !isFormat(from["format"])) throw wrong(`${what} has no known format`);
  return {
    kind,
    id,
    key: optionalText(from, "key", what),
    holder: text(from, "holder", what),
    uuidWanted: flag(from, "uuidWanted", what),
    attached: flag(from, "attached", what),
    drawn: flag(from, "drawn", what),
    format: count(from, "format", U32_MAX, what),
    width,
    height,
    flags: count(from, "flags", U32_MAX, what),
    backing,
    layout: from["layout"] === null ? null : checkLayout(from["layout"], what),
  };
}

function checkBacking(value: unknown, what: string): SavedBacking {
  const from = fields(value, `the memory of ${what}`);
  const byteLength = count(from, "byteLength", Number.MAX_SAFE_INTEGER, what);
  if (from["source"] === "import") return { source: "import", key: text(from, "key", what), byteLength };
  if (from["source"] !== "own") throw wrong(`the memory of ${what} is nobody's`);
  const pages = fields(from["pages"], `the pages of ${what}`);
  const frames = list(pages["frames"], OBJECTS_MAX, `the frames of ${what}`);
  // The allocator checks each of them: it alone knows which there are.
  const record: PagesRecord = {
    key: count(pages, "key", Number.MAX_SAFE_INTEGER, what),
    byteLength: count(pages, "byteLength", Number.MAX_SAFE_INTEGER, what),
    contiguous: flag(pages, "contiguous", what),
    frames: frames.map((frame) => (typeof frame === "number" ? frame : -1)),
  };
  return { source: "own", pages: record, byteLength };
}

function checkLayout(value: unknown, what: string): BlobLayout {
  const from = fields(value, `the layout of ${what}`);
  const format = count(from, "format", U32_MAX, what);
  if (!isFormat(format)) throw wrong(`${what} has no known format`);
  return {
    width: count(from, "width", U32_MAX, what),
    height: count(from, "height", U32_MAX, what),
    format,
    stride: count(from, "stride", U32_MAX, what),
    offset: count(from, "offset", U32_MAX, what),
  };
}

function checkContext(value: unknown, nextId: number): Omit<ContextObject, "used" | "kind"> {
  const from = fields(value, "a context");
  const id = count(from, "id", nextId - 1, "a context");
  const what = `context ${id}`;
  return {
    id,
    key: optionalText(from, "key", what),
    holder: text(from, "holder", what),
    name: text(from, "name", what),
    capset: count(from, "capset", 0xff, what),
  };
}

function checkScanout(value: unknown, buffers: ReadonlyMap<number, SavedBuffer>): DesiredScanout | null {
  if (value === null) return null;
  const from = fields(value, "a scanout");
  const object = count(from, "object", U32_MAX, "a scanout");
  // What it showed may have been lost: the output is then dark.
  if (!buffers.has(object)) return null;
  const rect = fields(from["rect"], "a scanout's rectangle");
  const [x, y, width, height] = ["x", "y", "width", "height"].map((name) => count(rect, name, U32_MAX, "a scanout"));
  const layout = from["layout"] === null ? null : checkLayout(from["layout"], "a scanout");
  return { object, rect: { x: x ?? 0, y: y ?? 0, width: width ?? 0, height: height ?? 0 }, layout };
}

function checkCursor(value: unknown, buffers: ReadonlyMap<number, SavedBuffer>): DesiredCursor {
  const from = fields(value, "a cursor");
  const object = count(from, "object", U32_MAX, "a cursor");
  return {
    object: buffers.has(object) ? object : 0,
    hotX: count(from, "hotX", U32_MAX, "a cursor"),
    hotY: count(from, "hotY", U32_MAX, "a cursor"),
    x: integer(from, "x", "a cursor"),
    y: integer(from, "y", "a cursor"),
  };
}

function checkLost(value: unknown): { key: string | null; name: string; reason: string } {
  const from = fields(value, "a lost object");
  return {
    key: optionalText(from, "key", "a lost object"),
    name: text(from, "name", "a lost object"),
    reason: text(from, "reason", "a lost object"),
  };
}

/**
 * The desired state as plain data for an image, and back (contract 6). What comes back is hostile until checked: one
 * wrong field refuses the whole, before anything is built.
 *
 * | field of the live state | |
 * | --- | --- |
 * | resources, contexts, scanouts, cursors | saved, as far as they can be brought back |
 * | nextResourceId, nextContextId, nextFenceId | saved: ids stay unique over hibernations (R-25) |
 * | lostBefore, and all objects that are lost or can't be brought back | key, name and reason: whoever asks is told |
 * | of those: contextId, parameters, blobMemory, blobId, mapOffset | not saved: no other host has what they mean |
 * | used, of a context | not saved: a used one is lost |
 * | pages of a backing | their allocation record; the bytes are the memory image's |
 * | exporter of an import | its key; it is claimed again |
 * | moving, of an import | not saved: a new exporter says itself when it moves |
 * | the rectangles and layouts of buffers and scanouts | saved |
 * | session, host state, waiters, UUIDs | not saved: a loaded state has no session (contract 2) |
 */
import { GpuError } from "../../base/errors.ts";
import type { PageAllocator, Pages, PagesRecord } from "../../memory/pages.ts";
import { PAGE_BYTES } from "../../memory/pages.ts";
import { BlobFlag, CURSOR_SIZE, MAX_SCANOUTS, SCANOUT_SIZE_MIN } from "../../wire/index.ts";
import { DesiredState } from "./desired-state.ts";
import { isInside } from "./geometry.ts";
import type {
  Backing,
  BlobLayout,
  ContextObject,
  DesiredCursor,
  DesiredObject,
  DesiredScanout,
  GuestBlobObject,
  Image2dObject,
  LostObject,
  ResourceObject,
} from "./objects.ts";
import { NO_CURSOR, isFormat, isRecoverable, objectName, sameScanout, strideOf } from "./objects.ts";

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

/** A context as data. */
export type SavedContext = Omit<ContextObject, "used" | "kind">;

/** Everything, as JSON can carry it. */
export interface SavedState {
  readonly version: number;
  readonly buffers: readonly SavedBuffer[];
  readonly contexts: readonly SavedContext[];
  readonly scanouts: readonly (DesiredScanout | null)[];
  readonly cursors: readonly DesiredCursor[];
  readonly lost: readonly LostObject[];
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
  const contexts: SavedContext[] = [];
  const lost: LostObject[] = [...desired.lostBefore];
  for (const object of desired.objects()) {
    const reason = parts.losses.get(object)?.message ?? (isRecoverable(object) ? null : "no host can give it back");
    if (reason !== null) lost.push({ key: object.key, name: objectName(object), reason });
    else if (object.kind === "context") contexts.push(saveContext(object));
    else if (object.kind === "image2d" || object.kind === "guestBlob") buffers.push(saveBuffer(object, records, parts));
  }
  const saved = new Set(buffers.map(({ id }) => id));
  return {
    version: SAVED_STATE_VERSION,
    buffers,
    contexts,
    scanouts: desired.scanouts.map((scanout) => (scanout !== null && saved.has(scanout.object) ? scanout : null)),
    cursors: desired.cursors.map((cursor) => (saved.has(cursor.object) ? cursor : { ...cursor, object: 0 })),
    lost,
    nextResourceId: desired.nextResourceId,
    nextContextId: desired.nextContextId,
    nextFenceId: desired.nextFenceId,
  };
}

function saveContext({ id, key, holder, name, capset }: ContextObject): SavedContext {
  return { id, key, holder, name, capset };
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
  /** How blobs are read, by resource id. */
  readonly layouts: ReadonlyMap<number, BlobLayout>;
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
  desired.lostBefore.push(...state.lost);
  return { desired, layouts };
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
  return { source: "own", pages: adopt(saved.pages), byteLength };
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

function count(from: Fields, name: string, max: number, what: string, min = 0): number {
  const value = from[name];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < min || value > max) {
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
const BLOB_FLAGS = BlobFlag.USE_MAPPABLE | BlobFlag.USE_SHAREABLE | BlobFlag.USE_CROSS_DEVICE;

function checkState(value: unknown): SavedState {
  const from = fields(value, "it");
  if (from["version"] !== SAVED_STATE_VERSION) {
    throw wrong(`it has version ${String(from["version"])}, this program reads ${SAVED_STATE_VERSION}`);
  }
  const nextResourceId = count(from, "nextResourceId", U32_MAX, "it", 1);
  const nextContextId = count(from, "nextContextId", U32_MAX, "it", 1);
  const buffers = list(from["buffers"], OBJECTS_MAX, "buffers").map((entry) => checkBuffer(entry, nextResourceId));
  const contexts = list(from["contexts"], OBJECTS_MAX, "contexts").map((entry) => checkContext(entry, nextContextId));
  const byId = unique(buffers, "buffer");
  unique(contexts, "context");
  return {
    version: SAVED_STATE_VERSION,
    buffers,
    contexts,
    scanouts: planes(from["scanouts"], "scanouts").map((entry) => checkScanout(entry, byId)),
    cursors: planes(from["cursors"], "cursors").map((entry) => checkCursor(entry, byId)),
    lost: list(from["lost"], OBJECTS_MAX, "lost").map(checkLost),
    nextResourceId,
    nextContextId,
    nextFenceId: count(from, "nextFenceId", Number.MAX_SAFE_INTEGER, "it", 1),
  };
}

function planes(value: unknown, what: string): readonly unknown[] {
  const entries = list(value, MAX_SCANOUTS, what);
  if (entries.length !== MAX_SCANOUTS) throw wrong(`there are ${entries.length} ${what}`);
  return entries;
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
  const id = count(from, "id", nextId - 1, "a buffer", 1);
  const what = `buffer ${id}`;
  const { kind } = from;
  if (kind !== "image2d" && kind !== "guestBlob") throw wrong(`${what} is of no known kind`);
  const buffer: SavedBuffer = {
    kind,
    id,
    key: optionalText(from, "key", what),
    holder: text(from, "holder", what),
    uuidWanted: flag(from, "uuidWanted", what),
    attached: flag(from, "attached", what),
    drawn: flag(from, "drawn", what),
    format: count(from, "format", U32_MAX, what),
    width: count(from, "width", U32_MAX, what),
    height: count(from, "height", U32_MAX, what),
    flags: count(from, "flags", U32_MAX, what),
    backing: checkBacking(from["backing"], what),
    layout: from["layout"] === null ? null : checkLayout(from["layout"], what),
  };
  if (kind === "image2d") checkImage(buffer, what);
  else checkBlob(buffer, what);
  return buffer;
}

function checkImage({ format, width, height, flags, backing, layout }: SavedBuffer, what: string): void {
  if (!isFormat(format)) throw wrong(`${what} has no known format`);
  if (width === 0 || height === 0 || flags !== 0 || layout !== null) throw wrong(`${what} is no image`);
  const byteLength = strideOf(width) * height;
  const isRoom = backing.source === "own" ? backing.byteLength === byteLength : backing.byteLength >= byteLength;
  if (!isRoom) throw wrong(`${what} does not have the size of its memory`);
}

function checkBlob({ drawn, format, width, height, flags, backing, layout }: SavedBuffer, what: string): void {
  const isBlob = !drawn && format === 0 && width === 0 && height === 0 && (flags & ~BLOB_FLAGS) === 0;
  if (!isBlob || layout === null) throw wrong(`${what} is no blob`);
  const lastRow = layout.offset + layout.stride * (layout.height - 1);
  const isLayout = layout.width > 0 && layout.height > 0 && layout.stride % 4 === 0 && layout.offset % 4 === 0;
  if (!isLayout || layout.stride < strideOf(layout.width) || lastRow + strideOf(layout.width) > backing.byteLength) {
    throw wrong(`${what} can't be read as a picture`);
  }
}

function checkBacking(value: unknown, what: string): SavedBacking {
  const from = fields(value, `the memory of ${what}`);
  const byteLength = count(from, "byteLength", Number.MAX_SAFE_INTEGER, what, 1);
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
  if (record.byteLength !== Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES) {
    throw wrong(`${what} has ${record.byteLength} bytes of pages for ${byteLength}`);
  }
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

function checkContext(value: unknown, nextId: number): SavedContext {
  const from = fields(value, "a context");
  const id = count(from, "id", nextId - 1, "a context", 1);
  const what = `context ${id}`;
  return {
    id,
    key: optionalText(from, "key", what),
    holder: text(from, "holder", what),
    name: text(from, "name", what),
    capset: count(from, "capset", 0xff, what),
  };
}

/** What an output shows is all there, and is read as its buffer is. */
function checkScanout(value: unknown, buffers: ReadonlyMap<number, SavedBuffer>): DesiredScanout | null {
  if (value === null) return null;
  const what = "a scanout";
  const from = fields(value, what);
  const object = count(from, "object", U32_MAX, what);
  const buffer = buffers.get(object);
  if (buffer === undefined) throw wrong(`${what} shows buffer ${object}, which is not there`);
  const side = fields(from["rect"], `${what}'s rectangle`);
  const rect = {
    x: count(side, "x", U32_MAX, what),
    y: count(side, "y", U32_MAX, what),
    width: count(side, "width", U32_MAX, what, SCANOUT_SIZE_MIN),
    height: count(side, "height", U32_MAX, what, SCANOUT_SIZE_MIN),
  };
  const layout = from["layout"] === null ? null : checkLayout(from["layout"], what);
  const { width, height } = buffer.layout ?? buffer;
  if (!isInside(rect, width, height)) throw wrong(`${what} shows more than there is of buffer ${object}`);
  const scanout = { object, rect, layout };
  if (!sameScanout(scanout, { ...scanout, layout: buffer.layout })) throw wrong(`${what} reads its buffer otherwise`);
  return scanout;
}

function checkCursor(value: unknown, buffers: ReadonlyMap<number, SavedBuffer>): DesiredCursor {
  const what = "a cursor";
  const from = fields(value, what);
  const object = count(from, "object", U32_MAX, what);
  const buffer = buffers.get(object);
  const isPicture = buffer?.kind === "image2d" && buffer.width === CURSOR_SIZE && buffer.height === CURSOR_SIZE;
  if (object !== NO_CURSOR.object && !isPicture) throw wrong(`${what} can't look like buffer ${object}`);
  return {
    object,
    hotX: count(from, "hotX", CURSOR_SIZE - 1, what),
    hotY: count(from, "hotY", CURSOR_SIZE - 1, what),
    x: integer(from, "x", what),
    y: integer(from, "y", what),
  };
}

function checkLost(value: unknown): LostObject {
  const from = fields(value, "a lost object");
  return {
    key: optionalText(from, "key", "a lost object"),
    name: text(from, "name", "a lost object"),
    reason: text(from, "reason", "a lost object"),
  };
}

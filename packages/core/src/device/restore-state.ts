/**
 * From a saved state (not trusted) to a device's state. {@link readState} checks all of it and changes nothing;
 * {@link applyState} can't fail.
 */
import type { ScatterList } from "../memory/pages.ts";
import { BlobMemory, BYTES_PER_PIXEL, FORMATS, GpuEvent, GpuFeature } from "../wire/gpu.ts";
import { MEMORY_ENTRY_BYTES, writeMemoryEntry } from "../wire/gpu.gen.ts";
import { packEntries } from "./backing.ts";
import { FLAGS_KNOWN, mapPlace, unmap } from "./blobs.ts";
import { presentCursors } from "./cursors.ts";
import { isBlobFramebuffer, isScanoutRect } from "./display.ts";
import { Cursor, type GpuState } from "./gpu-state.ts";
import { type DeviceOutput, toDeviceOutput } from "./options.ts";
import { type BlobFacts, Resource, type ResourceKind } from "./resource.ts";
import { CURSOR_BYTES, GPU_DEVICE_STATE_VERSION, isResourceShape } from "./saved-state.ts";
import { Scanout } from "./scanout.ts";
import { StateReader } from "./state-reader.ts";

const U32_MAX = 0xffff_ffff;
const IMAGE_BYTES_MAX = U32_MAX;
const KINDS: readonly ResourceKind[] = ["2d", "3d", "blob"];
const UUID_BYTES = 16;
const NAME_LENGTH_MAX = 64;

/** A state that was checked, ready to be applied. */
export interface CheckedState {
  readonly negotiated: number;
  readonly events: number;
  readonly outputs: DeviceOutput[];
  readonly edids: Uint8Array[];
  readonly resources: Map<number, Resource>;
  /** What each output shows; null: nothing. */
  readonly scanouts: readonly (Scanout | null)[];
  readonly cursors: readonly Cursor[];
  readonly contexts: ReadonlySet<number>;
  readonly hostBytes: number;
  readonly entries: number;
  readonly maps: Resource[];
  /** The renderer has taken its part over. */
  readonly hasRenderer: boolean;
}

/** Checks a saved state against what this device is. Throws GpuError EINVAL; changes nothing but, at the end, the renderer. */
export function readState(state: GpuState, saved: unknown): CheckedState {
  const reader = new StateReader(saved, "root");
  reader.integer("version", GPU_DEVICE_STATE_VERSION, GPU_DEVICE_STATE_VERSION);
  const negotiated = reader.integer("features", 0, U32_MAX);
  if ((negotiated & ~state.setup.features) !== 0) reader.fail("has features that this device does not offer");
  const outputs = exactly(state, reader, "outputs", readOutput);
  const edids = outputs.map((output) => state.setup.edidOf(output));
  const table = readResources(state, reader);
  const checked: Omit<CheckedState, "hasRenderer"> = {
    negotiated,
    events: reader.integer("events", 0, GpuEvent.DISPLAY),
    outputs,
    edids,
    ...table,
    scanouts: exactly(state, reader, "scanouts", (entry) => readScanout(state, entry, table.resources)),
    cursors: exactly(state, reader, "cursors", readCursor),
    contexts: readContexts(state, reader),
    maps: readMaps(state, reader, table.resources),
  };
  return { ...checked, hasRenderer: restoreRenderer(state, reader, table.resources) };
}

/** Makes a checked state the device's. The sink is told of everything. */
export function applyState(state: GpuState, checked: CheckedState): void {
  const { negotiated, events, outputs, edids, resources, hostBytes, entries } = checked;
  clearMaps(state, checked.hasRenderer);
  Object.assign(state, { negotiated, events, outputs, edids, resources, hostBytes, entries, pendingFences: 0 });
  state.contexts.clear();
  for (const id of checked.contexts) state.contexts.add(id);
  for (const [index, cursor] of checked.cursors.entries()) {
    const { x, y, hotX, hotY, visible, rgba } = cursor;
    const target = state.cursors[index];
    if (target === undefined) continue;
    Object.assign(target, { x, y, hotX, hotY, visible });
    target.rgba.set(rgba);
  }
  mapAll(state, checked.maps);
  state.maps = checked.maps;
  for (const [output, scanout] of checked.scanouts.entries()) {
    state.scanouts[output] = scanout;
    if (scanout !== null) scanout.resource.shownOn |= 1 << output;
  }
  for (const [output, scanout] of checked.scanouts.entries()) state.sink?.scanout(output, scanout);
  presentCursors(state);
}

/** A list with one entry for each output. */
function exactly<Entry>(
  state: GpuState,
  reader: StateReader,
  key: string,
  read: (entry: StateReader, index: number) => Entry,
): Entry[] {
  const count = state.outputs.length;
  const list = reader.list(key, count, read);
  return list.length === count ? list : reader.field(key).fail(`has ${list.length} entries for ${count} outputs`);
}

function readOutput(reader: StateReader): DeviceOutput {
  const layout = {
    width: reader.integer("width", 0, U32_MAX),
    height: reader.integer("height", 0, U32_MAX),
    refreshHz: reader.number("refreshHz", 0, 1e6),
    widthMm: reader.integer("widthMm", 0, U32_MAX),
    heightMm: reader.integer("heightMm", 0, U32_MAX),
    name: reader.text("name", NAME_LENGTH_MAX),
  };
  return { ...toDeviceOutput(layout), enabled: reader.boolean("enabled") };
}

function readResources(
  state: GpuState,
  reader: StateReader,
): Pick<CheckedState, "resources" | "hostBytes" | "entries"> {
  const { limits } = state.setup;
  const resources = new Map<number, Resource>();
  let hostBytes = 0;
  let entries = 0;
  reader.list("resources", limits.resourcesMax, (entry) => {
    const resource = readResource(state, entry, limits.hostMemoryBytesMax - hostBytes);
    if (resources.has(resource.id)) entry.fail(`has the id ${resource.id} a second time`);
    resources.set(resource.id, resource);
    hostBytes += resource.hostBytes;
    entries += resource.backing?.count ?? 0;
    if (entries > limits.entriesTotalMax) entry.fail("has more memory entries than there may be");
  });
  return { resources, hostBytes, entries };
}

function readResource(state: GpuState, reader: StateReader, hostBytesLeft: number): Resource {
  const kindText = reader.text("kind", 4);
  const kind = KINDS.find((known) => known === kindText) ?? reader.field("kind").fail("is no kind of resource");
  const facts = reader.fieldOrNull("blob");
  const blob: BlobFacts | null = facts === null ? null : readBlob(state, facts);
  const format = reader.integer("format", 0, U32_MAX);
  if (!isResourceShape(kind, format, blob)) reader.fail("is no resource that there could be");
  const side = kind === "blob" ? 0 : U32_MAX;
  const shape = { format, width: reader.integer("width", 0, side), height: reader.integer("height", 0, side) };
  const resource = new Resource(reader.integer("id", 1, U32_MAX), kind, blob === null ? shape : { ...shape, blob });
  if (resource.hostBytes >= hostBytesLeft || resource.hostBytes > IMAGE_BYTES_MAX)
    reader.fail("needs more host memory than there may be");
  if (resource.hasHostStorage && state.setup.renderer === null) reader.fail("needs a renderer");
  if (kind !== "2d" && reader.fieldOrNull("pixels") !== null)
    reader.field("pixels").fail("belongs to 2D resources only");
  resource.pixels = reader.bytesOrNull("pixels", resource.hostBytes);
  resource.uuid = reader.bytesOrNull("uuid", UUID_BYTES);
  resource.backing = readEntries(state, reader);
  resource.mapOffset = reader.integer("mapOffset", -1, state.window.byteLength);
  return resource;
}

function readBlob(state: GpuState, reader: StateReader): BlobFacts {
  if (!state.offers(GpuFeature.RESOURCE_BLOB)) reader.fail("needs blobs, which this device does not offer");
  return {
    memory: reader.integer("memory", BlobMemory.GUEST, BlobMemory.HOST3D_GUEST),
    flags: reader.integer("flags", 0, FLAGS_KNOWN),
    size: reader.integer("size", 0, Number.MAX_SAFE_INTEGER),
  };
}

function readEntries(state: GpuState, reader: StateReader): ScatterList | null {
  const list = reader.list("entries", state.setup.limits.entriesMax, (entry) => ({
    address: entry.integer("address", 0, Number.MAX_SAFE_INTEGER),
    byteLength: entry.integer("byteLength", 1, U32_MAX),
  }));
  if (list.length === 0) return null;
  const words = new Uint32Array((list.length * MEMORY_ENTRY_BYTES) >> 2);
  for (const [index, { address, byteLength }] of list.entries())
    writeMemoryEntry(words, index * 4, address, byteLength);
  return packEntries(state.memory, words, list.length) ?? reader.field("entries").fail("lie outside guest memory");
}

function readScanout(state: GpuState, reader: StateReader, resources: ReadonlyMap<number, Resource>): Scanout | null {
  if (reader.value === null) return null;
  const resource =
    resources.get(reader.integer("resourceId", 1, U32_MAX)) ?? reader.fail("shows a resource that is not there");
  const rect = readNumbers(reader.field("rect"), ["x", "y", "width", "height"]);
  const framebuffer = readNumbers(reader.field("framebuffer"), ["format", "width", "height", "stride", "offset"]);
  if (!isScanoutRect(rect, framebuffer.width, framebuffer.height)) reader.fail("shows what is not in the picture");
  const isPicture =
    resource.kind === "blob"
      ? isBlobFramebuffer(resource, framebuffer, rect)
      : FORMATS.has(framebuffer.format) &&
        framebuffer.format === resource.format &&
        framebuffer.width === resource.width &&
        framebuffer.height === resource.height &&
        framebuffer.offset === 0 &&
        (resource.kind === "2d" ? framebuffer.stride === resource.pitch : isStride(framebuffer.stride, resource));
  return isPicture ? new Scanout(state, resource, rect, framebuffer) : reader.fail("shows a picture that is not there");
}

function isStride(stride: number, { width }: Resource): boolean {
  return stride >= width * BYTES_PER_PIXEL && stride % BYTES_PER_PIXEL === 0;
}

function readNumbers<Key extends string>(reader: StateReader, keys: readonly Key[]): Record<Key, number> {
  const numbers: Partial<Record<Key, number>> = {};
  for (const key of keys) numbers[key] = reader.integer(key, 0, U32_MAX);
  return numbers as Record<Key, number>;
}

function readCursor(reader: StateReader): Cursor {
  const cursor = new Cursor();
  cursor.x = reader.integer("x", -0x8000_0000, 0x7fff_ffff);
  cursor.y = reader.integer("y", -0x8000_0000, 0x7fff_ffff);
  cursor.hotX = reader.integer("hotX", 0, U32_MAX);
  cursor.hotY = reader.integer("hotY", 0, U32_MAX);
  cursor.visible = reader.boolean("visible");
  cursor.rgba.set(reader.bytes("rgba", CURSOR_BYTES));
  return cursor;
}

function readContexts(state: GpuState, reader: StateReader): ReadonlySet<number> {
  const contexts = reader.fieldOrNull("contexts");
  if (contexts === null) return new Set();
  if (state.setup.renderer?.canBeSaved !== true) return contexts.fail("need a renderer that can be restored");
  const ids = contexts.list("ids", state.setup.limits.contextsMax, (id) => id.integerSelf(1, U32_MAX));
  const unique = new Set(ids);
  return unique.size === ids.length ? unique : contexts.fail("have an id twice");
}

/** The maps in order. They are checked as the guest's own were. */
function readMaps(state: GpuState, reader: StateReader, resources: ReadonlyMap<number, Resource>): Resource[] {
  const mapped = [...resources.values()].filter(({ mapOffset }) => mapOffset >= 0);
  const maps: Resource[] = [];
  for (const resource of mapped) {
    const { blob, mapOffset, hasHostStorage } = resource;
    const place =
      blob === null || !hasHostStorage
        ? -1
        : mapPlace({ setup: state.setup, window: state.window, maps }, mapOffset, blob.size);
    if (place < 0) reader.fail(`has resource ${resource.id} mapped where it can't be`);
    maps.splice(place, 0, resource);
  }
  return maps;
}

/** The renderer's own part, put back if it does not fit the rest. Returns whether there is one. */
function restoreRenderer(state: GpuState, reader: StateReader, resources: ReadonlyMap<number, Resource>): boolean {
  const { renderer } = state.setup;
  const hosted = [...resources.values()].filter(({ hasHostStorage }) => hasHostStorage);
  const contexts = reader.fieldOrNull("contexts");
  if (contexts === null) return hosted.length === 0 ? false : reader.fail("has no renderer for its resources");
  const saved = contexts.field("renderer");
  const before = renderer?.save();
  renderer?.restore(saved.value);
  if (hosted.every(({ id }) => renderer?.hasResource(id) === true)) return true;
  renderer?.restore(before);
  mapAll(state, state.maps);
  return saved.fail("does not have all of the saved resources");
}

function mapAll(state: GpuState, maps: readonly Resource[]): void {
  for (const { id, mapOffset, blob } of maps) {
    state.setup.renderer?.mapBlob(id, state.window.subarray(mapOffset, mapOffset + (blob?.size ?? 0)));
  }
}

/** What the renderer has is gone, or is the saved state's already; the region forgets the old maps. */
function clearMaps(state: GpuState, hasRenderer: boolean): void {
  const { maps, window } = state;
  state.maps = [];
  for (const resource of maps) {
    if (hasRenderer) window.fill(0, resource.mapOffset, resource.mapOffset + (resource.blob?.size ?? 0));
    else unmap(state, resource);
  }
  if (!hasRenderer) state.setup.renderer?.reset();
}

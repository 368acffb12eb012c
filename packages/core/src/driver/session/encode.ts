/**
 * Each step as the command that takes it (VIRTIO 1.2 section 5.7.6.8), written straight into the queue. False: there is
 * no room now; nothing was changed.
 */
import { GpuError } from "../../base/errors.ts";
import { assert } from "../../base/assert.ts";
import type { DmaMap, ScatterList } from "../../memory/pages.ts";
import {
  BYTES_PER_PIXEL,
  BlobMemory,
  CTX_CREATE_BYTES,
  CTX_DESTROY_BYTES,
  ENTRIES_MAX,
  GpuCommand,
  HEADER_BYTES,
  MAP_INFO_REPLY_BYTES,
  MEMORY_ENTRY_BYTES,
  RESOURCE_ASSIGN_UUID_BYTES,
  RESOURCE_ATTACH_BACKING_BYTES,
  RESOURCE_CREATE_2D_BYTES,
  RESOURCE_CREATE_3D_BYTES,
  RESOURCE_CREATE_BLOB_BYTES,
  RESOURCE_DETACH_BACKING_BYTES,
  RESOURCE_FLUSH_BYTES,
  RESOURCE_MAP_BLOB_BYTES,
  RESOURCE_UNMAP_BLOB_BYTES,
  RESOURCE_UNREF_BYTES,
  RESOURCE_UUID_REPLY_BYTES,
  SET_SCANOUT_BLOB_BYTES,
  SET_SCANOUT_BYTES,
  TRANSFER_TO_HOST_2D_BYTES,
  UPDATE_CURSOR_BYTES,
  highWord,
  lowWord,
  writeCtxCreate,
  writeHeader,
  writeMemoryEntry,
  writeResourceAssignUuid,
  writeResourceAttachBacking,
  writeResourceCreate2d,
  writeResourceCreate3d,
  writeResourceCreateBlob,
  writeResourceDetachBacking,
  writeResourceFlush,
  writeResourceMapBlob,
  writeResourceUnmapBlob,
  writeResourceUnref,
  writeSetScanout,
  writeSetScanoutBlob,
  writeTransferToHost2d,
  writeUpdateCursor,
} from "../../wire/index.ts";
import {
  type Backing,
  type DesiredCursor,
  type DesiredScanout,
  type GuestBlobObject,
  type HostBlobObject,
  type Resource3dObject,
  backingOf,
  strideOf,
} from "../desired/objects.ts";
import type { CommandQueue } from "./command-queue.ts";
import { type HostContext, type HostCursor, type HostResource, type HostScanout, Step } from "./host-state.ts";
import { type HostOffer, blobBytes } from "./offer.ts";

/** What a resource's commands depend on besides itself. */
export interface Surroundings {
  readonly dma: DmaMap;
  readonly offer: HostOffer;
}

/** Sends the step of a resource. Throws GpuError where a backing can't be mapped or is too scattered. */
export function sendResourceStep(queue: CommandQueue, around: Surroundings, host: HostResource, step: Step): boolean {
  switch (step) {
    case Step.CREATE:
      return sendCreate(queue, around, host);
    case Step.ATTACH:
      return sendAttach(queue, around, host);
    case Step.UPLOAD:
      return sendUpload(queue, host);
    case Step.DETACH:
      return sendById(queue, host, step, GpuCommand.RESOURCE_DETACH_BACKING);
    case Step.ASSIGN_UUID:
      return sendById(queue, host, step, GpuCommand.RESOURCE_ASSIGN_UUID);
    case Step.MAP:
      return sendMap(queue, host);
    case Step.UNMAP:
      return sendById(queue, host, step, GpuCommand.RESOURCE_UNMAP_BLOB);
    default:
      assert(step === Step.UNREF, `a resource has no step ${step}`);
      return sendById(queue, host, step, GpuCommand.RESOURCE_UNREF);
  }
}

function submit(queue: CommandQueue, host: HostResource, step: Step): true {
  host.sent = step;
  queue.submit(host, step, host.object.id);
  return true;
}

function sendCreate(queue: CommandQueue, around: Surroundings, host: HostResource): boolean {
  const { object } = host;
  switch (object.kind) {
    case "image2d": {
      if (!queue.begin(RESOURCE_CREATE_2D_BYTES, HEADER_BYTES)) return false;
      writeHeader(queue.u32, queue.at, GpuCommand.RESOURCE_CREATE_2D, 0, 0, 0, 0, 0);
      writeResourceCreate2d(queue.u32, queue.at, object.id, object.format, object.width, object.height);
      return submit(queue, host, Step.CREATE);
    }
    case "guestBlob":
      return sendCreateGuestBlob(queue, around, host, object);
    case "hostBlob":
      return sendCreateHostBlob(queue, host, object);
    case "resource3d":
      return sendCreate3d(queue, host, object);
  }
}

function sendCreateGuestBlob(
  queue: CommandQueue,
  around: Surroundings,
  host: HostResource,
  object: GuestBlobObject,
): boolean {
  const byteLength = blobBytes(around.offer, object);
  const list = object.attached ? mapBacking(around.dma, host, object.backing) : NO_ENTRIES;
  if (!queue.begin(RESOURCE_CREATE_BLOB_BYTES + list.count * MEMORY_ENTRY_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  writeHeader(u32, at, GpuCommand.RESOURCE_CREATE_BLOB, 0, 0, 0, 0, 0);
  writeResourceCreateBlob(u32, at, object.id, BlobMemory.GUEST, object.flags, list.count, 0, 0, byteLength);
  writeEntries(u32, at + (RESOURCE_CREATE_BLOB_BYTES >> 2), list);
  return submit(queue, host, Step.CREATE);
}

function sendCreateHostBlob(queue: CommandQueue, host: HostResource, object: HostBlobObject): boolean {
  if (!queue.begin(RESOURCE_CREATE_BLOB_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  const { id, blobMemory, flags, blobId, byteLength } = object;
  writeHeader(u32, at, GpuCommand.RESOURCE_CREATE_BLOB, 0, 0, 0, object.contextId, 0);
  writeResourceCreateBlob(u32, at, id, blobMemory, flags, 0, lowWord(blobId), highWord(blobId), byteLength);
  return submit(queue, host, Step.CREATE);
}

function sendCreate3d(queue: CommandQueue, host: HostResource, object: Resource3dObject): boolean {
  if (!queue.begin(RESOURCE_CREATE_3D_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  const p = object.parameters;
  writeHeader(u32, at, GpuCommand.RESOURCE_CREATE_3D, 0, 0, 0, object.contextId, 0);
  writeResourceCreate3d(
    u32,
    at,
    object.id,
    p.target,
    p.format,
    p.bind,
    p.width,
    p.height,
    p.depth,
    p.arraySize,
    p.lastLevel,
    p.sampleCount,
    p.flags,
  );
  return submit(queue, host, Step.CREATE);
}

function sendAttach(queue: CommandQueue, around: Surroundings, host: HostResource): boolean {
  const backing = backingOf(host.object);
  assert(backing !== null, "only guest memory is attached");
  const list = mapBacking(around.dma, host, backing);
  if (!queue.begin(RESOURCE_ATTACH_BACKING_BYTES + list.count * MEMORY_ENTRY_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  writeHeader(u32, at, GpuCommand.RESOURCE_ATTACH_BACKING, 0, 0, 0, 0, 0);
  writeResourceAttachBacking(u32, at, host.object.id, list.count);
  writeEntries(u32, at + (RESOURCE_ATTACH_BACKING_BYTES >> 2), list);
  return submit(queue, host, Step.ATTACH);
}

/** `offset` is that of the rectangle's first pixel; rows follow at the resource's own stride (5.7.6.8, QEMU). */
function sendUpload(queue: CommandQueue, host: HostResource): boolean {
  const { object, stale } = host;
  assert(object.kind === "image2d" && stale !== null, "only a stale image is uploaded");
  if (!queue.begin(TRANSFER_TO_HOST_2D_BYTES, HEADER_BYTES)) return false;
  const offset = stale.y * strideOf(object.width) + stale.x * BYTES_PER_PIXEL;
  writeHeader(queue.u32, queue.at, GpuCommand.TRANSFER_TO_HOST_2D, 0, 0, 0, 0, 0);
  writeTransferToHost2d(queue.u32, queue.at, stale.x, stale.y, stale.width, stale.height, offset, object.id);
  host.uploading = stale;
  host.stale = null;
  return submit(queue, host, Step.UPLOAD);
}

function sendMap(queue: CommandQueue, host: HostResource): boolean {
  const { object } = host;
  assert(object.kind === "hostBlob" && object.mapOffset !== null, "only a host blob with a place is mapped");
  if (!queue.begin(RESOURCE_MAP_BLOB_BYTES, MAP_INFO_REPLY_BYTES)) return false;
  host.mapOffset = object.mapOffset;
  writeHeader(queue.u32, queue.at, GpuCommand.RESOURCE_MAP_BLOB, 0, 0, 0, 0, 0);
  writeResourceMapBlob(queue.u32, queue.at, object.id, object.mapOffset);
  return submit(queue, host, Step.MAP);
}

type ById = "RESOURCE_UNREF" | "RESOURCE_DETACH_BACKING" | "RESOURCE_ASSIGN_UUID" | "RESOURCE_UNMAP_BLOB";
type WriteById = (u32: Uint32Array, at: number, resourceId: number) => void;

/** Commands whose body is the resource's id. */
const BY_ID: ReadonlyMap<number, { readonly bytes: number; readonly replyBytes: number; readonly write: WriteById }> =
  new Map([
    row("RESOURCE_UNREF", RESOURCE_UNREF_BYTES, HEADER_BYTES, writeResourceUnref),
    row("RESOURCE_DETACH_BACKING", RESOURCE_DETACH_BACKING_BYTES, HEADER_BYTES, writeResourceDetachBacking),
    row("RESOURCE_ASSIGN_UUID", RESOURCE_ASSIGN_UUID_BYTES, RESOURCE_UUID_REPLY_BYTES, writeResourceAssignUuid),
    row("RESOURCE_UNMAP_BLOB", RESOURCE_UNMAP_BLOB_BYTES, HEADER_BYTES, writeResourceUnmapBlob),
  ]);

function row(
  name: ById,
  bytes: number,
  replyBytes: number,
  write: WriteById,
): [number, { readonly bytes: number; readonly replyBytes: number; readonly write: WriteById }] {
  return [GpuCommand[name], { bytes, replyBytes, write }];
}

function sendById(queue: CommandQueue, host: HostResource, step: Step, command: number): boolean {
  const shape = BY_ID.get(command);
  assert(shape !== undefined, `command ${command} is not one by id`);
  if (!queue.begin(shape.bytes, shape.replyBytes)) return false;
  writeHeader(queue.u32, queue.at, command, 0, 0, 0, 0, 0);
  shape.write(queue.u32, queue.at, host.object.id);
  return submit(queue, host, step);
}

const NO_ENTRIES: ScatterList = { count: 0, addresses: new Float64Array(0), lengths: new Uint32Array(0) };

/** The bus ranges of a backing, mapped until {@link HostResource.unmapBacking} is called. */
function mapBacking(dma: DmaMap, host: HostResource, backing: Backing): ScatterList {
  if (host.ranges !== null) return host.ranges;
  const list = backing.source === "own" ? dma.map(backing.pages) : mapImport(backing);
  const unmap = backing.source === "own" ? () => dma.unmap(backing.pages) : unmapImport(backing.exporter);
  if (list.count > ENTRIES_MAX) {
    unmap();
    throw new GpuError("ENOMEM", `its memory lies in ${list.count} pieces, more than a device takes (${ENTRIES_MAX})`, {
      object: `resource ${host.object.id}`,
    });
  }
  host.unmapBacking = unmap;
  host.ranges = list;
  return list;
}

function unmapImport(exporter: { unmap(): void } | null): () => void {
  return () => exporter?.unmap();
}

/** What an exporter says is checked like any other stranger's word. */
function mapImport(backing: Backing & { source: "import" }): ScatterList {
  const { exporter } = backing;
  assert(exporter !== null, "an unclaimed import is not mapped");
  const list = exporter.map();
  let bytes = 0;
  for (let index = 0; index < list.count; index += 1) {
    const address = list.addresses[index] ?? -1;
    const length = list.lengths[index] ?? 0;
    if (!Number.isSafeInteger(address) || address < 0 || length === 0) bytes = -Infinity;
    bytes += length;
  }
  if (bytes < backing.byteLength) {
    exporter.unmap();
    throw new GpuError("EINVAL", `the exporter of "${backing.key}" gave no ${backing.byteLength} bytes of memory`);
  }
  return list;
}

function writeEntries(u32: Uint32Array, at: number, list: ScatterList): void {
  for (let index = 0; index < list.count; index += 1) {
    writeMemoryEntry(u32, at + index * (MEMORY_ENTRY_BYTES >> 2), list.addresses[index] ?? 0, list.lengths[index] ?? 0);
  }
}

/** Sends the step of a context. */
export function sendContextStep(queue: CommandQueue, host: HostContext, step: Step): boolean {
  const { object } = host;
  const isCreate = step === Step.CREATE;
  if (!queue.begin(isCreate ? CTX_CREATE_BYTES : CTX_DESTROY_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  writeHeader(u32, at, isCreate ? GpuCommand.CTX_CREATE : GpuCommand.CTX_DESTROY, 0, 0, 0, object.id, 0);
  if (isCreate) {
    const name = asciiBytes(object.name, CONTEXT_NAME_BYTES);
    writeCtxCreate(u32, at, name.length, object.capset, name);
  }
  host.sent = step;
  queue.submit(host, step, 0);
  return true;
}

const CONTEXT_NAME_BYTES = 64;

function asciiBytes(text: string, byteLengthMax: number): Uint8Array {
  return Uint8Array.from(text.slice(0, byteLengthMax), (character) => character.charCodeAt(0) & 0x7f);
}

/** Sends SET_SCANOUT(_BLOB) for `target`; null switches the scanout off. */
export function sendShow(queue: CommandQueue, host: HostScanout, target: DesiredScanout | null): boolean {
  const isBlob = target?.layout !== undefined && target.layout !== null;
  if (!queue.begin(isBlob ? SET_SCANOUT_BLOB_BYTES : SET_SCANOUT_BYTES, HEADER_BYTES)) return false;
  const { u32, at } = queue;
  const { x, y, width, height } = target?.rect ?? { x: 0, y: 0, width: 0, height: 0 };
  const object = target?.object ?? 0;
  writeHeader(u32, at, isBlob ? GpuCommand.SET_SCANOUT_BLOB : GpuCommand.SET_SCANOUT, 0, 0, 0, 0, 0);
  if (isBlob) {
    const l = target.layout;
    const strides = [l.stride, 0, 0, 0] as const;
    const offsets = [l.offset, 0, 0, 0] as const;
    writeSetScanoutBlob(
      u32,
      at,
      x,
      y,
      width,
      height,
      host.index,
      object,
      l.width,
      l.height,
      l.format,
      strides,
      offsets,
    );
  } else {
    writeSetScanout(u32, at, x, y, width, height, host.index, object);
  }
  host.showing = target;
  host.sent = Step.SHOW;
  queue.submit(host, Step.SHOW, object);
  return true;
}

/** Sends RESOURCE_FLUSH of what the display lacks. */
export function sendFlush(queue: CommandQueue, host: HostScanout): boolean {
  const { shown, unflushed } = host;
  assert(shown !== null && unflushed !== null, "only what is shown and damaged is flushed");
  if (!queue.begin(RESOURCE_FLUSH_BYTES, HEADER_BYTES)) return false;
  const { x, y, width, height } = unflushed;
  writeHeader(queue.u32, queue.at, GpuCommand.RESOURCE_FLUSH, 0, 0, 0, 0, 0);
  writeResourceFlush(queue.u32, queue.at, x, y, width, height, shown.object);
  host.flushing = unflushed;
  host.unflushed = null;
  host.sent = Step.FLUSH;
  queue.submit(host, Step.FLUSH, shown.object);
  return true;
}

/** Sends UPDATE_CURSOR or MOVE_CURSOR, without a place for a reply (QEMU writes none). */
export function sendCursor(queue: CommandQueue, host: HostCursor, step: Step, target: DesiredCursor): boolean {
  if (!queue.begin(UPDATE_CURSOR_BYTES, 0)) return false;
  const { u32, at } = queue;
  const command = step === Step.CURSOR_MOVE ? GpuCommand.MOVE_CURSOR : GpuCommand.UPDATE_CURSOR;
  writeHeader(u32, at, command, 0, 0, 0, 0, 0);
  writeUpdateCursor(u32, at, host.index, target.x >>> 0, target.y >>> 0, target.object, target.hotX, target.hotY);
  host.showing = target;
  if (step === Step.CURSOR_IMAGE) host.imageStale = false;
  host.sent = step;
  queue.submit(host, step, target.object);
  return true;
}

/**
 * Resources: CREATE_2D, UNREF, ATTACH_BACKING, DETACH_BACKING, TRANSFER_TO_HOST_2D, ASSIGN_UUID (VIRTIO 1.2 section
 * 5.7.6.8), answered in QEMU's order of tests.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import { MemoryRangeError } from "../memory/guest-memory.ts";
import type { ScatterAccess } from "../memory/scatter-list.ts";
import { BYTES_PER_PIXEL, FORMATS, GpuFeature, GpuReply } from "../wire/gpu.ts";
import {
  readResourceAttachBacking,
  readResourceCreate2d,
  RESOURCE_ATTACH_BACKING_BYTES,
  RESOURCE_UUID_REPLY_BYTES,
  writeResourceUuidReply,
} from "../wire/gpu.gen.ts";
import { HIGH_WORD } from "../wire/words.ts";
import { attachEntries, detach } from "./backing.ts";
import { unmap } from "./blobs.ts";
import { disableScanout } from "./display.ts";
import type { GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";
import { Resource } from "./resource.ts";

/** An image may have this many bytes: QEMU counts in 32 bits. */
const IMAGE_BYTES_MAX = 2 ** 32 - 1;
/** Word of the resource id in commands that begin with it. */
const RESOURCE_ID = 6;

/** RESOURCE_CREATE_2D. */
export function create2d(state: GpuState, lane: CommandLane): number {
  const { resourceId, format, width, height } = readResourceCreate2d(lane.request, 0);
  if (resourceId === 0 || state.resources.has(resourceId)) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (!FORMATS.has(format)) return GpuReply.ERR_INVALID_PARAMETER;
  const bytes = width * BYTES_PER_PIXEL * height;
  const { hostMemoryBytesMax, resourcesMax } = state.setup.limits;
  if (bytes > IMAGE_BYTES_MAX || state.hostBytes + bytes >= hostMemoryBytesMax) return GpuReply.ERR_OUT_OF_MEMORY;
  if (state.resources.size >= resourcesMax) return GpuReply.ERR_OUT_OF_MEMORY;
  state.hostBytes += bytes;
  state.pixelMemory.keepAtMost(hostMemoryBytesMax - state.hostBytes);
  state.resources.set(resourceId, new Resource(resourceId, "2d", { format, width, height }));
  return GpuReply.OK_NODATA;
}

/** RESOURCE_UNREF. What is shown, backed or mapped stops being so first. */
export function unref(state: GpuState, lane: CommandLane): number {
  const resource = state.resources.get(lane.request[RESOURCE_ID] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  destroy(state, resource);
  return GpuReply.OK_NODATA;
}

/** Ends a resource. */
export function destroy(state: GpuState, resource: Resource): void {
  // First: a sink that is told of the scanout's end finds no such resource, whatever it calls.
  state.resources.delete(resource.id);
  state.hostBytes -= resource.hostBytes;
  detach(state, resource);
  if (resource.mapOffset >= 0) unmap(state, resource);
  if (resource.hasHostStorage) state.setup.renderer?.destroyResource(resource.id);
  for (let output = 0; output < state.scanouts.length; output += 1) {
    if ((resource.shownOn & (1 << output)) !== 0) disableScanout(state, output);
  }
  resource.dropHostCopy(state.pixelMemory);
}

/** RESOURCE_ATTACH_BACKING. */
export function attachBacking(state: GpuState, lane: CommandLane): number {
  const { resourceId, entryCount } = readResourceAttachBacking(lane.request, 0);
  const resource = state.resources.get(resourceId);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.backing !== null) return GpuReply.ERR_UNSPEC;
  return attachEntries(state, lane, resource, RESOURCE_ATTACH_BACKING_BYTES, entryCount);
}

/** RESOURCE_DETACH_BACKING. */
export function detachBacking(state: GpuState, lane: CommandLane): number {
  const resource = state.resources.get(lane.request[RESOURCE_ID] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.backing === null) return GpuReply.ERR_UNSPEC;
  detach(state, resource);
  return GpuReply.OK_NODATA;
}

/**
 * TRANSFER_TO_HOST_2D. `offset` is where the rectangle's first pixel lies in the backing, rows are a resource's pitch
 * apart; the rectangle's place counts for the host's copy only. Where the backing ends, the copy ends.
 */
export function transferToHost2d(state: GpuState, lane: CommandLane): number {
  const { request } = lane;
  const resource = state.resources.get(request[12] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.backing === null) return GpuReply.ERR_UNSPEC;
  if (resource.kind === "blob") return GpuReply.OK_NODATA;
  if (resource.kind === "3d") return GpuReply.ERR_UNSPEC;
  const x = request[6] ?? 0;
  const y = request[7] ?? 0;
  const width = request[8] ?? 0;
  const height = request[9] ?? 0;
  if (x + width > resource.width || y + height > resource.height) return GpuReply.ERR_INVALID_PARAMETER;
  if (width === 0 || height === 0) return GpuReply.OK_NODATA;
  const offset = (request[10] ?? 0) + (request[11] ?? 0) * HIGH_WORD;
  try {
    const pixels = resource.hostCopy(state.pixelMemory);
    const access = state.backingAccess.use(resource.backing);
    const { pitch } = resource;
    // Whole rows follow each other without a gap on both sides.
    if (width === resource.width) access.gather(offset, pixels, y * pitch, height * pitch);
    else copyRows(access, offset, pixels, { x, y, width, height, pitch });
    return GpuReply.OK_NODATA;
  } catch (error) {
    // The host has no memory for the copy, or the guest's memory has shrunk since the backing was attached.
    if (error instanceof RangeError) return GpuReply.ERR_OUT_OF_MEMORY;
    if (error instanceof MemoryRangeError) return GpuReply.ERR_UNSPEC;
    throw error;
  }
}

function copyRows(
  access: ScatterAccess,
  offset: number,
  pixels: Uint8Array,
  { x, y, width, height, pitch }: { x: number; y: number; width: number; height: number; pitch: number },
): void {
  const rowBytes = width * BYTES_PER_PIXEL;
  let target = y * pitch + x * BYTES_PER_PIXEL;
  for (let row = 0; row < height; row += 1, target += pitch) {
    const copied = access.gather(offset + row * pitch, pixels, target, rowBytes);
    if (copied < rowBytes) return;
  }
}

/** RESOURCE_ASSIGN_UUID. Asked again, it is the same one. */
export function assignUuid(state: GpuState, lane: CommandLane): number {
  if (!state.offers(GpuFeature.RESOURCE_UUID)) return GpuReply.ERR_UNSPEC;
  const resource = state.resources.get(lane.request[RESOURCE_ID] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.uuid === null) {
    const { random } = state.setup;
    assert(random !== null, "UUIDs are only offered with a source of randomness");
    resource.uuid = uuidV4(random);
  }
  writeResourceUuidReply(lane.reply, 0, resource.uuid);
  lane.replyBytes = RESOURCE_UUID_REPLY_BYTES;
  return GpuReply.OK_RESOURCE_UUID;
}

/** A random UUID (RFC 9562 section 5.4). */
function uuidV4(random: Random): Uint8Array {
  const bytes = new Uint8Array(Uint32Array.from({ length: 4 }, () => random.nextU32()).buffer);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}

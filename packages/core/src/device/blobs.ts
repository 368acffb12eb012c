/**
 * Blobs: RESOURCE_CREATE_BLOB, and their maps in the host-visible region (VIRTIO 1.2 sections 5.7.6.8 and 5.7.6.9).
 */
import { BlobFlag, BlobMemory, GpuFeature, GpuReply } from "../wire/gpu.ts";
import {
  MAP_INFO_REPLY_BYTES,
  readResourceCreateBlob,
  readResourceMapBlob,
  type ResourceCreateBlob,
  RESOURCE_CREATE_BLOB_BYTES,
  Header,
  writeMapInfoReply,
} from "../wire/gpu.gen.ts";
import { attachEntries, detach } from "./backing.ts";
import type { GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";
import { Resource } from "./resource.ts";

/** Every flag of a blob that there is. */
export const FLAGS_KNOWN: number = BlobFlag.USE_MAPPABLE | BlobFlag.USE_SHAREABLE | BlobFlag.USE_CROSS_DEVICE;
/** Maps start and end on these where no alignment of blobs is offered. */
const MAP_UNIT = 4096;

/** RESOURCE_CREATE_BLOB. */
export function createBlob(state: GpuState, lane: CommandLane): number {
  if (!state.offers(GpuFeature.RESOURCE_BLOB)) return GpuReply.ERR_INVALID_PARAMETER;
  const command = readResourceCreateBlob(lane.request, 0);
  const { resourceId, blobMemory, blobFlags, entryCount, size } = command;
  if (resourceId === 0 || state.resources.has(resourceId)) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (!isPossible(state, command)) return GpuReply.ERR_INVALID_PARAMETER;
  if (state.resources.size >= state.setup.limits.resourcesMax) return GpuReply.ERR_OUT_OF_MEMORY;
  const blob = { memory: blobMemory, flags: blobFlags, size };
  const resource = new Resource(resourceId, "blob", { format: 0, width: 0, height: 0, blob });
  const attached = attachEntries(state, lane, resource, RESOURCE_CREATE_BLOB_BYTES, entryCount);
  if (attached !== GpuReply.OK_NODATA) return attached;
  if (resource.hasHostStorage) {
    const made = createHostBlob(state, lane, command);
    if (made !== GpuReply.OK_NODATA) {
      detach(state, resource);
      return made;
    }
  }
  state.resources.set(resourceId, resource);
  return GpuReply.OK_NODATA;
}

/** Whether there are blobs of this kind here, whoever asks. */
function isPossible(state: GpuState, { blobMemory, blobFlags, size, entryCount }: ResourceCreateBlob): boolean {
  if ((blobFlags & ~FLAGS_KNOWN) !== 0 || !Number.isFinite(size)) return false;
  const { blobAlignment } = state.setup;
  if (state.hasNegotiated(GpuFeature.BLOB_ALIGNMENT) && size % blobAlignment !== 0) return false;
  if (blobMemory === BlobMemory.GUEST) return true;
  if (!state.hasNegotiated(GpuFeature.VIRGL) || state.setup.renderer === null) return false;
  return blobMemory === BlobMemory.HOST3D ? entryCount === 0 : blobMemory === BlobMemory.HOST3D_GUEST;
}

function createHostBlob(state: GpuState, lane: CommandLane, command: ResourceCreateBlob): number {
  const contextId = lane.request[Header.CONTEXT_ID] ?? 0;
  if (contextId !== 0 && !state.contexts.has(contextId)) return GpuReply.ERR_INVALID_CONTEXT_ID;
  const { renderer } = state.setup;
  if (renderer === null) return GpuReply.ERR_UNSPEC;
  const { blobMemory, blobFlags, blobIdLow, blobIdHigh, size } = command;
  return renderer.createBlob(command.resourceId, { contextId, blobMemory, blobFlags, blobIdLow, blobIdHigh, size });
}

/** RESOURCE_MAP_BLOB: one map a blob, inside the region, over no other. */
export function mapBlob(state: GpuState, lane: CommandLane): number {
  const { renderer } = state.setup;
  if (renderer === null || !state.hasNegotiated(GpuFeature.VIRGL) || !state.hasNegotiated(GpuFeature.RESOURCE_BLOB)) {
    return GpuReply.ERR_UNSPEC;
  }
  const { resourceId, offset } = readResourceMapBlob(lane.request, 0);
  const resource = state.resources.get(resourceId);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  const { blob } = resource;
  const isMappable = blob !== null && resource.hasHostStorage && (blob.flags & BlobFlag.USE_MAPPABLE) !== 0;
  if (!isMappable) return GpuReply.ERR_INVALID_PARAMETER;
  if (resource.mapOffset >= 0) return GpuReply.ERR_UNSPEC;
  const place = mapPlace(state, offset, blob.size);
  if (place < 0) return GpuReply.ERR_INVALID_PARAMETER;
  const mapInfo = renderer.mapBlob(resourceId, state.window.subarray(offset, offset + blob.size));
  if (mapInfo === null) return GpuReply.ERR_UNSPEC;
  resource.mapOffset = offset;
  state.maps.splice(place, 0, resource);
  writeMapInfoReply(lane.reply, 0, mapInfo);
  lane.replyBytes = MAP_INFO_REPLY_BYTES;
  return GpuReply.OK_MAP_INFO;
}

/** RESOURCE_UNMAP_BLOB. */
export function unmapBlob(state: GpuState, lane: CommandLane): number {
  if (state.setup.renderer === null || !state.hasNegotiated(GpuFeature.VIRGL)) return GpuReply.ERR_UNSPEC;
  const resource = state.resources.get(lane.request[6] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.mapOffset < 0) return GpuReply.ERR_UNSPEC;
  unmap(state, resource);
  return GpuReply.OK_NODATA;
}

/** Where in the sorted list of maps this one belongs; -1 when it can't be. */
export function mapPlace(state: Pick<GpuState, "setup" | "window" | "maps">, offset: number, size: number): number {
  const unit = Math.max(MAP_UNIT, state.setup.blobAlignment);
  if (offset % unit !== 0 || size === 0 || offset + size > state.window.byteLength) return -1;
  const { maps } = state;
  let low = 0;
  let high = maps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((maps[middle]?.mapOffset ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  const before = maps[low - 1];
  const after = maps[low];
  if (before !== undefined && before.mapOffset + (before.blob?.size ?? 0) > offset) return -1;
  if (after !== undefined && offset + size > after.mapOffset) return -1;
  return low;
}

/** Ends a map; the region is zero there afterwards. */
export function unmap(state: GpuState, resource: Resource): void {
  const { mapOffset, blob } = resource;
  state.setup.renderer?.unmapBlob(resource.id);
  state.window.fill(0, mapOffset, mapOffset + (blob?.size ?? 0));
  resource.mapOffset = -1;
  const place = state.maps.indexOf(resource);
  if (place >= 0) state.maps.splice(place, 1);
}

/**
 * The control queue's commands by type (VIRTIO 1.2 section 5.7.6.7). Each handler returns the type of its reply, having
 * written the reply's body if there is one.
 */
import { GpuCommand, GpuFeature, GpuReply } from "../wire/gpu.ts";
import { COMMANDS, HEADER_BYTES } from "../wire/gpu.gen.ts";
import { attachBacking, assignUuid, create2d, detachBacking, transferToHost2d, unref } from "./resources.ts";
import { createBlob, mapBlob, unmapBlob } from "./blobs.ts";
import { command3d } from "./contexts.ts";
import { flush, setScanout, setScanoutBlob } from "./display.ts";
import type { GpuState } from "./gpu-state.ts";
import { displayInfo, edid } from "./information.ts";
import type { CommandLane } from "./lane.ts";

/** Bytes that a request of each type has at least; 0 for what is no type. */
const requestBytes = new Uint16Array(Math.max(...COMMANDS.keys()) + 1);
for (const [type, facts] of COMMANDS) requestBytes[type] = facts.queue === 0 ? facts.requestBytes : 0;

/** Executes the command in `lane`; returns the type of the reply. */
export function controlCommand(state: GpuState, lane: CommandLane): number {
  const type = lane.request[0] ?? 0;
  if (lane.requestBytes < HEADER_BYTES) return GpuReply.ERR_UNSPEC;
  if (lane.requestBytes < (requestBytes[type] ?? 0)) return refuseShort(state, type);
  switch (type) {
    case GpuCommand.RESOURCE_FLUSH:
      return flush(state, lane);
    case GpuCommand.TRANSFER_TO_HOST_2D:
      return transferToHost2d(state, lane);
    case GpuCommand.SET_SCANOUT:
      return setScanout(state, lane);
    case GpuCommand.RESOURCE_CREATE_2D:
      return create2d(state, lane);
    case GpuCommand.RESOURCE_ATTACH_BACKING:
      return attachBacking(state, lane);
    case GpuCommand.RESOURCE_DETACH_BACKING:
      return detachBacking(state, lane);
    case GpuCommand.RESOURCE_UNREF:
      return unref(state, lane);
    case GpuCommand.GET_DISPLAY_INFO:
      return displayInfo(state, lane);
    case GpuCommand.GET_EDID:
      return edid(state, lane);
    case GpuCommand.RESOURCE_ASSIGN_UUID:
      return assignUuid(state, lane);
    case GpuCommand.RESOURCE_CREATE_BLOB:
      return createBlob(state, lane);
    case GpuCommand.SET_SCANOUT_BLOB:
      return state.offers(GpuFeature.RESOURCE_BLOB) ? setScanoutBlob(state, lane) : GpuReply.ERR_INVALID_PARAMETER;
    case GpuCommand.RESOURCE_MAP_BLOB:
      return mapBlob(state, lane);
    case GpuCommand.RESOURCE_UNMAP_BLOB:
      return unmapBlob(state, lane);
    default:
      return command3d(state, lane, type);
  }
}

/** The answer to a command that ends before its structure does. */
function refuseShort(state: GpuState, type: number): number {
  const is3d = type >= GpuCommand.CTX_CREATE || type === GpuCommand.GET_CAPSET_INFO || type === GpuCommand.GET_CAPSET;
  const isUnknown =
    (is3d && !state.hasNegotiated(GpuFeature.VIRGL)) ||
    (type === GpuCommand.RESOURCE_ASSIGN_UUID && !state.offers(GpuFeature.RESOURCE_UUID));
  return isUnknown ? GpuReply.ERR_UNSPEC : GpuReply.ERR_INVALID_PARAMETER;
}

/** The object that a command names, for traces: a resource's id, else a scanout's or 0. */
export function objectOf(request: Uint32Array, type: number): number {
  switch (type) {
    case GpuCommand.SET_SCANOUT:
    case GpuCommand.SET_SCANOUT_BLOB:
      return request[11] ?? 0;
    case GpuCommand.RESOURCE_FLUSH:
    case GpuCommand.UPDATE_CURSOR:
    case GpuCommand.MOVE_CURSOR:
      return request[10] ?? 0;
    case GpuCommand.TRANSFER_TO_HOST_2D:
      return request[12] ?? 0;
    case GpuCommand.TRANSFER_TO_HOST_3D:
    case GpuCommand.TRANSFER_FROM_HOST_3D:
      return request[14] ?? 0;
    case GpuCommand.GET_DISPLAY_INFO:
    case GpuCommand.CTX_CREATE:
    case GpuCommand.CTX_DESTROY:
    case GpuCommand.SUBMIT_3D:
      return 0;
    default:
      return request[6] ?? 0;
  }
}

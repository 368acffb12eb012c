/**
 * 3D: capability sets, contexts, 3D resources, command streams (VIRTIO 1.2 section 5.7.6.9). The device checks what it can
 * and hands the rest to the renderer.
 */
import { MemoryRangeError } from "../memory/guest-memory.ts";
import type { ScatterList } from "../memory/pages.ts";
import { scatterBytes } from "../memory/scatter-list.ts";
import {
  CONTEXT_INIT_CAPSET_MASK,
  CONTEXT_RINGS_MAX,
  GpuCommand,
  GpuFeature,
  GpuReply,
  HeaderFlag,
} from "../wire/gpu.ts";
import {
  CAPSET_INFO_REPLY_BYTES,
  Header,
  readCtxCreate,
  readGetCapset,
  readResourceCreate3d,
  readSubmit3d,
  readTransferHost3d,
  SUBMIT_3D_BYTES,
  writeCapsetInfoReply,
} from "../wire/gpu.gen.ts";
import type { GpuState } from "./gpu-state.ts";
import type { GuardedRenderer } from "./guards.ts";
import type { CommandLane } from "./lane.ts";
import type { GuestBytes } from "./renderer.ts";
import { Resource } from "./resource.ts";

/** As QEMU's bound on SUBMIT_3D. */
const SUBMIT_BYTES_MAX = 4 << 20;

/** Executes a 3D command; ERR_UNSPEC where there is no 3D, as QEMU's 2D device answers. */
export function command3d(state: GpuState, lane: CommandLane, type: number): number {
  const { renderer } = state.setup;
  if (renderer === null || !state.hasNegotiated(GpuFeature.VIRGL)) return GpuReply.ERR_UNSPEC;
  if (!isRingValid(state, lane)) return GpuReply.ERR_INVALID_PARAMETER;
  switch (type) {
    case GpuCommand.GET_CAPSET_INFO:
      return capsetInfo(renderer, lane);
    case GpuCommand.GET_CAPSET:
      return capset(renderer, lane);
    case GpuCommand.CTX_CREATE:
      return createContext(state, renderer, lane);
    case GpuCommand.RESOURCE_CREATE_3D:
      return create3d(state, renderer, lane);
    case GpuCommand.TRANSFER_TO_HOST_3D:
    case GpuCommand.TRANSFER_FROM_HOST_3D:
      return transfer3d(state, renderer, lane, type === GpuCommand.TRANSFER_TO_HOST_3D);
    default:
      return contextCommand(state, renderer, lane, type);
  }
}

/** Commands of a context that exists. */
function contextCommand(state: GpuState, renderer: GuardedRenderer, lane: CommandLane, type: number): number {
  const contextId = lane.request[Header.CONTEXT_ID] ?? 0;
  if (!state.contexts.has(contextId)) return GpuReply.ERR_INVALID_CONTEXT_ID;
  if (type === GpuCommand.CTX_DESTROY) {
    state.contexts.delete(contextId);
    renderer.destroyContext(contextId);
    return GpuReply.OK_NODATA;
  }
  if (type === GpuCommand.SUBMIT_3D) return submit(renderer, lane, contextId);
  const resourceId = lane.request[6] ?? 0;
  if (!state.resources.has(resourceId)) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (type === GpuCommand.CTX_ATTACH_RESOURCE) return renderer.attachResource(contextId, resourceId);
  if (type === GpuCommand.CTX_DETACH_RESOURCE) return renderer.detachResource(contextId, resourceId);
  return GpuReply.ERR_UNSPEC;
}

/** A ring's index is below 64 where there are rings. */
function isRingValid(state: GpuState, { request }: CommandLane): boolean {
  const hasRing = ((request[Header.FLAGS] ?? 0) & HeaderFlag.INFO_RING_IDX) !== 0;
  if (!hasRing || !state.hasNegotiated(GpuFeature.CONTEXT_INIT)) return true;
  return ((request[Header.RING_INDEX] ?? 0) & 0xff) < CONTEXT_RINGS_MAX;
}

function capsetInfo(renderer: GuardedRenderer, lane: CommandLane): number {
  // A set that is not there is answered with zeros, as QEMU's 3D device does.
  const info = renderer.capsets[lane.request[6] ?? 0] ?? { id: 0, maxVersion: 0, maxSize: 0 };
  writeCapsetInfoReply(lane.reply, 0, info.id, info.maxVersion, info.maxSize);
  lane.replyBytes = CAPSET_INFO_REPLY_BYTES;
  return GpuReply.OK_CAPSET_INFO;
}

function capset(renderer: GuardedRenderer, lane: CommandLane): number {
  const { capsetId, capsetVersion } = readGetCapset(lane.request, 0);
  const info = renderer.capsets.find(({ id }) => id === capsetId);
  if (info === undefined || info.maxSize === 0 || capsetVersion > info.maxVersion)
    return GpuReply.ERR_INVALID_PARAMETER;
  // All of maxSize is the guest's to read: what the renderer does not fill is zero.
  const contents = renderer.capset(capsetId, capsetVersion);
  if (contents === null) return GpuReply.ERR_UNSPEC;
  const data = new Uint8Array(info.maxSize);
  data.set(contents.subarray(0, info.maxSize));
  lane.replyTail = data;
  return GpuReply.OK_CAPSET;
}

function createContext(state: GpuState, renderer: GuardedRenderer, lane: CommandLane): number {
  const contextId = lane.request[Header.CONTEXT_ID] ?? 0;
  if (contextId === 0 || state.contexts.has(contextId)) return GpuReply.ERR_INVALID_CONTEXT_ID;
  const parameters = readCtxCreate(lane.request, 0);
  const wanted = parameters.contextInit & CONTEXT_INIT_CAPSET_MASK;
  if (parameters.contextInit !== 0) {
    const isKnown = wanted === 0 || renderer.capsets.some(({ id }) => id === wanted);
    if (!isKnown || !state.hasNegotiated(GpuFeature.CONTEXT_INIT)) return GpuReply.ERR_INVALID_PARAMETER;
  }
  if (state.contexts.size >= state.setup.limits.contextsMax) return GpuReply.ERR_OUT_OF_MEMORY;
  const made = renderer.createContext(contextId, parameters);
  if (made === GpuReply.OK_NODATA) state.contexts.add(contextId);
  return made;
}

function create3d(state: GpuState, renderer: GuardedRenderer, lane: CommandLane): number {
  const parameters = readResourceCreate3d(lane.request, 0);
  const { resourceId, format, width, height } = parameters;
  if (resourceId === 0 || state.resources.has(resourceId)) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (state.resources.size >= state.setup.limits.resourcesMax) return GpuReply.ERR_OUT_OF_MEMORY;
  const made = renderer.createResource(parameters);
  if (made === GpuReply.OK_NODATA) {
    state.resources.set(resourceId, new Resource(resourceId, "3d", { format, width, height }));
  }
  return made;
}

function transfer3d(state: GpuState, renderer: GuardedRenderer, lane: CommandLane, toHost: boolean): number {
  const transfer = readTransferHost3d(lane.request, 0);
  const contextId = lane.request[Header.CONTEXT_ID] ?? 0;
  if (contextId !== 0 && !state.contexts.has(contextId)) return GpuReply.ERR_INVALID_CONTEXT_ID;
  const resource = state.resources.get(transfer.resourceId);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.backing === null) return GpuReply.ERR_UNSPEC;
  // The guest's memory is the contents: there is nothing to transfer.
  if (resource.kind === "blob" && !resource.hasHostStorage) return GpuReply.OK_NODATA;
  if (!resource.hasHostStorage) return GpuReply.ERR_UNSPEC;
  const guest = guestBytes(state, resource.backing);
  try {
    return toHost
      ? renderer.transferToHost(contextId, transfer, guest)
      : renderer.transferFromHost(contextId, transfer, guest);
  } catch (error) {
    if (!(error instanceof MemoryRangeError)) throw error;
    return GpuReply.ERR_UNSPEC;
  }
}

function guestBytes(state: GpuState, backing: ScatterList): GuestBytes {
  const access = state.backingAccess.use(backing);
  const byteLength = scatterBytes(backing);
  return {
    byteLength,
    read: (offset, target) => access.gather(offset, target, 0, target.byteLength),
    write: (offset, source) => access.scatter(offset, source, 0, source.byteLength),
  };
}

function submit(renderer: GuardedRenderer, lane: CommandLane, contextId: number): number {
  const { size } = readSubmit3d(lane.request, 0);
  if (size > SUBMIT_BYTES_MAX || size % 4 !== 0) return GpuReply.ERR_INVALID_PARAMETER;
  const commands = lane.copy(SUBMIT_3D_BYTES, size);
  return commands === null ? GpuReply.ERR_INVALID_PARAMETER : renderer.submit(contextId, commands);
}

/**
 * Scanouts: SET_SCANOUT, SET_SCANOUT_BLOB, RESOURCE_FLUSH (VIRTIO 1.2 section 5.7.6.8), answered in QEMU's order of tests.
 */
import { BYTES_PER_PIXEL, FORMATS, GpuReply, SCANOUT_SIZE_MIN } from "../wire/gpu.ts";
import { type SetScanout, readSetScanout, readSetScanoutBlob } from "../wire/gpu.gen.ts";
import type { GpuState } from "./gpu-state.ts";
import type { CommandLane } from "./lane.ts";
import { intersect, type PixelRect } from "./pixels.ts";
import type { Resource } from "./resource.ts";
import { type Framebuffer, Scanout } from "./scanout.ts";

/** A stride that would be negative as a C int. */
const STRIDE_MAX = 0x7fff_ffff;

/** SET_SCANOUT. */
export function setScanout(state: GpuState, lane: CommandLane): number {
  const command = readSetScanout(lane.request, 0);
  const target = scanoutTarget(state, command);
  if (typeof target === "number") return target;
  // A blob has no size in pixels, so every rectangle lies outside.
  if (!isScanoutRect(command, target.width, target.height)) return GpuReply.ERR_INVALID_PARAMETER;
  const { format, width, height } = target;
  if (!FORMATS.has(format)) return GpuReply.ERR_INVALID_PARAMETER;
  const stride = strideOf(state, target);
  if (typeof stride !== "number") return stride.refused;
  const framebuffer = { format, width, height, stride, offset: 0 };
  show(state, command.scanoutId, new Scanout(state, target, rectOf(command), framebuffer));
  return GpuReply.OK_NODATA;
}

/** SET_SCANOUT_BLOB. */
export function setScanoutBlob(state: GpuState, lane: CommandLane): number {
  const command = readSetScanoutBlob(lane.request, 0);
  const target = scanoutTarget(state, command);
  if (typeof target === "number") return target;
  const framebuffer: Framebuffer = {
    format: command.format,
    width: command.framebufferWidth,
    height: command.framebufferHeight,
    stride: command.strides[0],
    offset: command.offsets[0],
  };
  if (!isBlobFramebuffer(target, framebuffer, command)) return GpuReply.ERR_INVALID_PARAMETER;
  if (!isScanoutRect(command, framebuffer.width, framebuffer.height)) return GpuReply.ERR_INVALID_PARAMETER;
  show(state, command.scanoutId, new Scanout(state, target, rectOf(command), framebuffer));
  return GpuReply.OK_NODATA;
}

/** RESOURCE_FLUSH. Costs nothing where the resource is not shown. */
export function flush(state: GpuState, lane: CommandLane): number {
  const { request } = lane;
  const resource = state.resources.get(request[10] ?? 0);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  const x = request[6] ?? 0;
  const y = request[7] ?? 0;
  const width = request[8] ?? 0;
  const height = request[9] ?? 0;
  if (resource.blob !== null) {
    return flushScanouts(state, resource, { x, y, width, height })
      ? GpuReply.OK_NODATA
      : GpuReply.ERR_INVALID_PARAMETER;
  }
  if (x + width > resource.width || y + height > resource.height) return GpuReply.ERR_INVALID_PARAMETER;
  if (resource.shownOn !== 0) flushScanouts(state, resource, { x, y, width, height });
  return GpuReply.OK_NODATA;
}

/** Nothing is shown on an output any more. */
export function disableScanout(state: GpuState, output: number): void {
  const scanout = state.scanouts[output];
  if (scanout === null || scanout === undefined) return;
  scanout.resource.shownOn &= ~(1 << output);
  state.scanouts[output] = null;
  state.sink?.scanout(output, null);
}

/** Whether a scanout's rectangle lies in a picture of this size, and is not too small for a screen. */
export function isScanoutRect(
  { x, y, width, height }: PixelRect,
  pictureWidth: number,
  pictureHeight: number,
): boolean {
  if (width < SCANOUT_SIZE_MIN || height < SCANOUT_SIZE_MIN) return false;
  return x + width <= pictureWidth && y + height <= pictureHeight;
}

/** Whether a blob can hold this picture, as far as the rectangle of it is shown. */
export function isBlobFramebuffer(resource: Resource, framebuffer: Framebuffer, rect: PixelRect): boolean {
  const { format, width, stride, offset } = framebuffer;
  if (resource.blob === null || !FORMATS.has(format)) return false;
  if (stride < width * BYTES_PER_PIXEL || stride > STRIDE_MAX || stride % BYTES_PER_PIXEL !== 0) return false;
  return offset + stride * (rect.y + rect.height) <= resource.blob.size;
}

/** What the tests that both kinds of SET_SCANOUT share come to: the resource to show, or the answer. */
function scanoutTarget(state: GpuState, { scanoutId, resourceId }: SetScanout): Resource | number {
  if (scanoutId >= state.scanouts.length) return GpuReply.ERR_INVALID_SCANOUT_ID;
  if (resourceId === 0) {
    disableScanout(state, scanoutId);
    return GpuReply.OK_NODATA;
  }
  const resource = state.resources.get(resourceId);
  if (resource === undefined) return GpuReply.ERR_INVALID_RESOURCE_ID;
  if (resource.backing === null && !resource.hasHostStorage) return GpuReply.ERR_UNSPEC;
  return resource;
}

/** Bytes from row to row of what there is to show. */
function strideOf(state: GpuState, resource: Resource): number | { readonly refused: number } {
  if (resource.hasHostStorage) {
    return state.setup.renderer?.pixels(resource.id)?.stride ?? { refused: GpuReply.ERR_UNSPEC };
  }
  try {
    resource.hostCopy(state.pixelMemory);
    return resource.pitch;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { refused: GpuReply.ERR_OUT_OF_MEMORY };
  }
}

function show(state: GpuState, output: number, scanout: Scanout): void {
  const before = state.scanouts[output];
  if (before !== null && before !== undefined) before.resource.shownOn &= ~(1 << output);
  state.scanouts[output] = scanout;
  scanout.resource.shownOn |= 1 << output;
  state.sink?.scanout(output, scanout);
}

/** Tells the sink of each scanout that the rectangle touches; false when there is none. */
function flushScanouts(state: GpuState, resource: Resource, rect: PixelRect): boolean {
  let touched = false;
  for (let output = 0; output < state.scanouts.length; output += 1) {
    if ((resource.shownOn & (1 << output)) === 0) continue;
    const scanout = state.scanouts[output];
    if (scanout === null || scanout === undefined) continue;
    const shared = intersect(rect, scanout.rect);
    if (shared === null) continue;
    touched = true;
    const { x, y } = scanout.rect;
    state.sink?.flush(
      output,
      { x: shared.x - x, y: shared.y - y, width: shared.width, height: shared.height },
      scanout,
    );
  }
  return touched;
}

function rectOf({ x, y, width, height }: PixelRect): PixelRect {
  return { x, y, width, height };
}

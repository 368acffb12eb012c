/**
 * A device's state as plain data, and the device's state made of it again. The table in gpu-state.ts says what belongs to
 * it. A saved state comes from a file or from elsewhere: all of it is checked before anything of it is used.
 */
import { GpuError } from "../base/errors.ts";
import { BYTES_PER_PIXEL, BlobMemory, CURSOR_SIZE, FORMATS } from "../wire/gpu.ts";
import type { MemoryEntry } from "../wire/gpu.gen.ts";
import type { GpuState } from "./gpu-state.ts";
import type { DeviceOutput } from "./options.ts";
import type { PixelRect } from "./pixels.ts";
import type { BlobFacts, Resource, ResourceKind } from "./resource.ts";
import type { Framebuffer } from "./scanout.ts";

/** The format's number; counts up with every change of meaning. */
export const GPU_DEVICE_STATE_VERSION = 1;

/** A resource with its contents. */
export interface SavedResource {
  readonly id: number;
  readonly kind: ResourceKind;
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly blob: BlobFacts | null;
  /** Of a 2D resource that was ever written. */
  readonly pixels: Uint8Array | null;
  /** None: no backing. */
  readonly entries: readonly MemoryEntry[];
  readonly uuid: Uint8Array | null;
  /** -1: not mapped. */
  readonly mapOffset: number;
}

/** What an output shows. */
export interface SavedScanout {
  readonly resourceId: number;
  readonly rect: PixelRect;
  readonly framebuffer: Framebuffer;
}

/** An output's cursor. */
export interface SavedCursor {
  readonly x: number;
  readonly y: number;
  readonly hotX: number;
  readonly hotY: number;
  readonly visible: boolean;
  /** 64 x 64 RGBA. */
  readonly rgba: Uint8Array;
}

/** 3D: only where the renderer can save itself. */
export interface SavedContexts {
  readonly ids: readonly number[];
  readonly renderer: unknown;
}

/** All of it. Numbers, strings, booleans, null, lists, records and Uint8Array: nothing else. */
export interface GpuDeviceState {
  readonly version: typeof GPU_DEVICE_STATE_VERSION;
  /** Negotiated device-type feature bits. */
  readonly features: number;
  /** events_read. */
  readonly events: number;
  readonly outputs: readonly DeviceOutput[];
  readonly resources: readonly SavedResource[];
  readonly scanouts: readonly (SavedScanout | null)[];
  readonly cursors: readonly SavedCursor[];
  readonly contexts: SavedContexts | null;
}

/** The state as plain data, independent of the device from then on. Throws GpuError EBUSY or ENOTSUP where it can't be had. */
export function saveState(state: GpuState): GpuDeviceState {
  return {
    version: GPU_DEVICE_STATE_VERSION,
    features: state.negotiated,
    events: state.events,
    outputs: state.outputs.map((output) => ({ ...output })),
    resources: Array.from(state.resources.values(), saveResource),
    scanouts: state.scanouts.map((scanout) => {
      if (scanout === null) return null;
      const { resource, rect, framebuffer } = scanout;
      return { resourceId: resource.id, rect: { ...rect }, framebuffer: { ...framebuffer } };
    }),
    cursors: state.cursors.map(({ x, y, hotX, hotY, visible, rgba }) => ({
      x,
      y,
      hotX,
      hotY,
      visible,
      rgba: rgba.slice(),
    })),
    contexts: saveContexts(state),
  };
}

function saveResource({
  id,
  kind,
  format,
  width,
  height,
  blob,
  pixels,
  backing,
  uuid,
  mapOffset,
}: Resource): SavedResource {
  const entries: MemoryEntry[] = [];
  for (let index = 0; index < (backing?.count ?? 0); index += 1) {
    entries.push({ address: backing?.addresses[index] ?? 0, byteLength: backing?.lengths[index] ?? 0 });
  }
  return {
    id,
    kind,
    format,
    width,
    height,
    blob: blob === null ? null : { ...blob },
    pixels: pixels?.slice() ?? null,
    entries,
    uuid: uuid?.slice() ?? null,
    mapOffset,
  };
}

function saveContexts(state: GpuState): SavedContexts | null {
  const { renderer, label } = state.setup;
  if (state.pendingFences > 0) {
    throw new GpuError("EBUSY", `${state.pendingFences} fenced commands are under way; save when they are done`, {
      device: label,
    });
  }
  const ids = [...state.contexts];
  const hosted = [...state.resources.values()].filter(({ hasHostStorage }) => hasHostStorage);
  if (ids.length === 0 && hosted.length === 0) return null;
  if (renderer?.canBeSaved !== true) {
    const sentence = `the renderer can't be saved: the guest has ${ids.length} contexts and ${hosted.length} resources in it`;
    throw new GpuError("ENOTSUP", sentence, { device: label });
  }
  return { ids, renderer: renderer.save() };
}

/** Bytes of a cursor's picture. */
export const CURSOR_BYTES: number = CURSOR_SIZE * CURSOR_SIZE * BYTES_PER_PIXEL;

/** Whether these numbers make a kind of resource that the device makes. */
export function isResourceShape(kind: ResourceKind, format: number, blob: BlobFacts | null): boolean {
  if (kind === "blob") return blob !== null && format === 0 && blob.memory >= BlobMemory.GUEST;
  return blob === null && (kind === "3d" || FORMATS.has(format));
}

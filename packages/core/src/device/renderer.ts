/**
 * The seam to a 3D back end (VIRTIO 1.2 section 5.7.6.9 and blobs with host storage). The device checks ids and sizes,
 * keeps backing and scanouts, and hands the rest over.
 *
 * Methods that return a {@link RendererStatus} say what the guest is answered, and should not throw: then it is
 * ERR_UNSPEC, and traced.
 */
import type { CtxCreate, ResourceCreate3d, TransferHost3d } from "../wire/gpu.gen.ts";
import type { GpuReply } from "../wire/gpu.ts";

/** `OK_NODATA`, or the error to answer. */
export type RendererStatus =
  | typeof GpuReply.OK_NODATA
  | typeof GpuReply.ERR_UNSPEC
  | typeof GpuReply.ERR_OUT_OF_MEMORY
  | typeof GpuReply.ERR_INVALID_RESOURCE_ID
  | typeof GpuReply.ERR_INVALID_CONTEXT_ID
  | typeof GpuReply.ERR_INVALID_PARAMETER;

/** A capability set on offer. */
export interface CapsetInfo {
  /** A Capset; not 0. */
  readonly id: number;
  readonly maxVersion: number;
  /** Bytes. */
  readonly maxSize: number;
}

/** A resource's guest memory. Copies end where it ends; both return the bytes copied. */
export interface GuestBytes {
  readonly byteLength: number;
  /** Copies guest memory from byte `offset` to `target`. */
  read(offset: number, target: Uint8Array): number;
  /** Copies `source` to guest memory at byte `offset`. */
  write(offset: number, source: Uint8Array): number;
}

/** What a blob with host storage is made of. */
export interface HostBlob {
  readonly contextId: number;
  /** A BlobMemory: HOST3D or HOST3D_GUEST. */
  readonly blobMemory: number;
  /** Bits of BlobFlag. */
  readonly blobFlags: number;
  readonly blobIdLow: number;
  readonly blobIdHigh: number;
  /** Bytes. */
  readonly size: number;
}

/** Pixels of a renderer's resource, for a scanout. */
export interface RendererPixels {
  readonly bytes: Uint8Array;
  /** Bytes from row to row. */
  readonly stride: number;
}

/** A 3D back end. */
export interface Renderer {
  readonly capsets: readonly CapsetInfo[];
  /** The contents of a capability set: at most its `maxSize` bytes. `version` is at most its `maxVersion`. */
  capset(id: number, version: number): Uint8Array;

  /** `contextId` is not 0 and not in use. */
  createContext(contextId: number, parameters: CtxCreate): RendererStatus;
  /** CTX_DESTROY. */
  destroyContext(contextId: number): void;
  /** Lets a context use a resource: one of the renderer's own, or (unknown to it) a 2D resource or guest blob. */
  attachResource(contextId: number, resourceId: number): RendererStatus;
  /** CTX_DETACH_RESOURCE. */
  detachResource(contextId: number, resourceId: number): RendererStatus;
  /** Commands of a context: a copy, for the renderer to keep. */
  submit(contextId: number, commands: Uint8Array): RendererStatus;
  /**
   * Calls `signal` once everything handed over so far for this timeline is done, at once or later. `ringIndex` null: the one
   * global timeline. Without this method commands are done when they return.
   */
  fence?(contextId: number, ringIndex: number | null, signal: () => void): void;

  /** `parameters.resourceId` is not 0 and not in use. */
  createResource(parameters: ResourceCreate3d): RendererStatus;
  /** `resourceId` is not 0 and not in use. */
  createBlob(resourceId: number, blob: HostBlob): RendererStatus;
  /** Of what {@link Renderer.createResource} or {@link Renderer.createBlob} made. It is mapped no more. */
  destroyResource(resourceId: number): void;
  /** TRANSFER_TO_HOST_3D: from the backing to the resource. */
  transferToHost(contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus;
  /** TRANSFER_FROM_HOST_3D: from the resource to the backing. */
  transferFromHost(contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus;
  /** Whether there is such a resource, made by {@link Renderer.createResource} or {@link Renderer.createBlob}. */
  hasResource(resourceId: number): boolean;
  /** What a scanout of this resource shows (a blob: its bytes from the first on), or null where it can't be shown. */
  pixels(resourceId: number): RendererPixels | null;

  /** From now on the blob's storage is `window` (`size` bytes), with the contents it had. Returns a MapCache. */
  mapBlob(resourceId: number, window: Uint8Array): number;
  /** The blob's storage is its own again, with the contents of the window, which goes to others. */
  unmapBlob(resourceId: number): void;

  /** Forgets contexts, resources and fences. Blobs were unmapped before. */
  reset(): void;
  /** Everything, as plain data, for a saved state. Not called while a fence is pending. */
  save?(): unknown;
  /**
   * Takes a saved state over; it replaces everything, and nothing is mapped any more. Not trusted: throws GpuError EINVAL,
   * having changed nothing.
   */
  restore?(state: unknown): void;
}

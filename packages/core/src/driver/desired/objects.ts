/**
 * The desired state: what the user wants the host to have. Plain records, complete, changed only by the user's calls
 * (and by an exporter's, for what it lent); never by a freeze, a failure or a restore. What a host is known to
 * have is `session/host-state.ts`.
 */
import type { Pages, ScatterList } from "../../memory/pages.ts";
import { BYTES_PER_PIXEL, Format } from "../../wire/index.ts";
import type { Rect } from "./geometry.ts";

/**
 * Memory that somebody else owns and lends to the device (a dma-buf's exporter). Bus ranges are asked for anew in every
 * session and after every move. `map` may throw GpuError: ENOMEM means not resident now, it is tried again later; any
 * other code loses this import and no other.
 */
export interface BufferExporter {
  /** Names the buffer over a hibernation. */
  readonly key: string;
  readonly byteLength: number;
  /** Pins the buffer and gives its bus ranges, until `unmap`. */
  map(): ScatterList;
  /** The device no longer uses the ranges of the last `map`. */
  unmap(): void;
  /** Registers for the exporter's wish to move or end the buffer; returns the deregistration. */
  subscribe(listener: ImportListener): () => void;
}

/** How an exporter reaches its importer. */
export interface ImportListener {
  /**
   * The buffer is about to move: the ranges of the last `map` are not used any more once this resolves. Rejects with GpuError
   * ECANCELED where `onResident` came before that: they may still be in use.
   */
  onMove(): Promise<void>;
  /** The move is over, or the buffer is resident again: `map` may be called. */
  onResident(): void;
  /** The buffer is gone for good; its ranges are not used any more once this resolves. */
  onEnd(): Promise<void>;
}

/** The guest's own pages. */
export interface OwnBacking {
  readonly source: "own";
  readonly pages: Pages;
  readonly byteLength: number;
}

/** Lent pages. `exporter` is null until the import was claimed again in a new process. */
export interface ImportBacking {
  readonly source: "import";
  readonly key: string;
  readonly byteLength: number;
  exporter: BufferExporter | null;
  /** The exporter asked for its pages back for now: nothing may be attached. */
  moving: boolean;
}

/** Where an object's pixels live in the guest. */
export type Backing = OwnBacking | ImportBacking;

/** What every resource has. */
interface ResourceBase {
  /** The resource id; one for the object's whole life, over every session. Never reused. */
  readonly id: number;
  /** The caller's own name for it, by which a new process takes it over; null when it has none. */
  readonly key: string | null;
  /** Who is named when the object stands in the way of a sleep. */
  readonly holder: string;
  /** Whether the user asked for a UUID. */
  uuidWanted: boolean;
}

/** A resource with a copy of its own on the host (RESOURCE_CREATE_2D). */
export interface Image2dObject extends ResourceBase {
  readonly kind: "image2d";
  readonly format: Format;
  readonly width: number;
  readonly height: number;
  readonly backing: Backing;
  /** Whether the backing stays attached once the contents are over. */
  attached: boolean;
  /** Whether the guest may have written to it: a fresh host's blank copy is not enough. */
  drawn: boolean;
}

/** A blob whose storage is guest memory (RESOURCE_CREATE_BLOB, BLOB_MEM_GUEST). */
export interface GuestBlobObject extends ResourceBase {
  readonly kind: "guestBlob";
  readonly byteLength: number;
  readonly flags: number;
  readonly backing: Backing;
  attached: boolean;
}

/** A blob whose storage is the host's. Its contents can't be brought back. */
export interface HostBlobObject extends ResourceBase {
  readonly kind: "hostBlob";
  readonly blobMemory: number;
  readonly byteLength: number;
  readonly flags: number;
  readonly contextId: number;
  readonly blobId: number;
  /** Offset in the host-visible region while a mapping is wanted, else null. */
  mapOffset: number | null;
}

/** A 3D resource (RESOURCE_CREATE_3D). Its contents can't be brought back. */
export interface Resource3dObject extends ResourceBase {
  readonly kind: "resource3d";
  readonly contextId: number;
  readonly parameters: Resource3dParameters;
}

/** The fields of RESOURCE_CREATE_3D, in the order of VIRTIO 1.2 section 5.7.6.8. */
export interface Resource3dParameters {
  readonly target: number;
  readonly format: number;
  readonly bind: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly arraySize: number;
  readonly lastLevel: number;
  readonly sampleCount: number;
  readonly flags: number;
}

/** A rendering context (CTX_CREATE). It can be brought back only while nothing was done in it. */
export interface ContextObject {
  readonly kind: "context";
  /** The context id: a namespace of its own. */
  readonly id: number;
  readonly key: string | null;
  readonly holder: string;
  readonly name: string;
  readonly capset: number;
  /** Whether anything was submitted to it or attached to it. */
  used: boolean;
}

/** Whatever has a resource id. */
export type ResourceObject = Image2dObject | GuestBlobObject | HostBlobObject | Resource3dObject;
/** Whatever the host can be made to hold. */
export type DesiredObject = ResourceObject | ContextObject;

/** What an output is to show. */
export interface DesiredScanout {
  readonly object: number;
  /** The part of the framebuffer that is shown; its size is the mode's. */
  readonly rect: Rect;
  /** How to read a blob as a framebuffer; null for 2D resources. */
  readonly layout: BlobLayout | null;
}

/** SET_SCANOUT_BLOB's view of a blob. `stride` and `offset` in bytes. */
export interface BlobLayout {
  readonly width: number;
  readonly height: number;
  readonly format: Format;
  readonly stride: number;
  readonly offset: number;
}

/** A cursor plane. `object` 0: none. Positions are relative to the output, and may lie outside it. */
export interface DesiredCursor {
  readonly object: number;
  readonly hotX: number;
  readonly hotY: number;
  readonly x: number;
  readonly y: number;
}

/** What is left of an object whose contents no host can give back, in a saved state. */
export interface LostObject {
  /** Its user's name for it, or null. */
  readonly key: string | null;
  /** Names it in a message. */
  readonly name: string;
  /** Why it is lost. */
  readonly reason: string;
}

/** The cursor that is not there. */
export const NO_CURSOR: DesiredCursor = { object: 0, hotX: 0, hotY: 0, x: 0, y: 0 };

/** Whether what the object holds can be brought back on a host that has forgotten it: by its nature, not by how it was made. */
export function isRecoverable(object: DesiredObject): boolean {
  switch (object.kind) {
    case "image2d":
    case "guestBlob":
      return true;
    case "hostBlob":
    case "resource3d":
      return false;
    case "context":
      return !object.used;
  }
}

/** Names an object in a message. */
export function objectName(object: DesiredObject): string {
  const name = object.kind === "context" ? `context ${object.id}` : `resource ${object.id}`;
  return object.key === null ? name : `${name} "${object.key}"`;
}

/** The guest memory behind an object, or null where the host keeps it. */
export function backingOf(object: ResourceObject): Backing | null {
  return object.kind === "image2d" || object.kind === "guestBlob" ? object.backing : null;
}

/** Bytes of one row of an image. All formats have 4 bytes a pixel. */
export function strideOf(width: number): number {
  return width * BYTES_PER_PIXEL;
}

/** Whether this number is one of the 8 formats of VIRTIO 1.2 section 5.7.6.8. */
export function isFormat(value: unknown): value is Format {
  return (Object.values(Format) as readonly unknown[]).includes(value);
}

/** Whether both ask for the same picture. */
export function sameScanout(a: DesiredScanout | null, b: DesiredScanout | null): boolean {
  if (a === null || b === null) return a === b;
  return (
    a === b || (a.object === b.object && JSON.stringify([a.rect, a.layout]) === JSON.stringify([b.rect, b.layout]))
  );
}

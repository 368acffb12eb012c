/**
 * A resource as the device keeps it (VIRTIO 1.2 section 5.7.6.8).
 */
import type { ScatterList } from "../memory/pages.ts";
import { BlobMemory, BYTES_PER_PIXEL } from "../wire/gpu.ts";
import type { PixelMemory } from "./pixel-memory.ts";

/** What made it: RESOURCE_CREATE_2D, _3D or _BLOB. */
export type ResourceKind = "2d" | "3d" | "blob";

/** How a blob was asked for. */
export interface BlobFacts {
  /** A BlobMemory. */
  readonly memory: number;
  /** Bits of BlobFlag. */
  readonly flags: number;
  /** Bytes. */
  readonly size: number;
}

/** See the file's head. A blob has no size in pixels: 0. */
export class Resource {
  readonly id: number;
  readonly kind: ResourceKind;
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly blob: BlobFacts | null;
  /** 2D: the host's copy; null while it was never written: all zero. */
  pixels: Uint8Array | null = null;
  /** Null: nothing attached. Never of zero entries. */
  backing: ScatterList | null = null;
  uuid: Uint8Array | null = null;
  /** Bit n: output n shows it. */
  shownOn: number = 0;
  /** Where in the host-visible region it is mapped; -1: nowhere. */
  mapOffset: number = -1;

  constructor(
    id: number,
    kind: ResourceKind,
    facts: { format: number; width: number; height: number; blob?: BlobFacts },
  ) {
    this.id = id;
    this.kind = kind;
    this.format = facts.format;
    this.width = facts.width;
    this.height = facts.height;
    this.blob = facts.blob ?? null;
  }

  /** Bytes from row to row of the host's copy. */
  get pitch(): number {
    return this.width * BYTES_PER_PIXEL;
  }

  /** Its contents are the renderer's. */
  get hasHostStorage(): boolean {
    return this.kind === "3d" || (this.blob !== null && this.blob.memory !== BlobMemory.GUEST);
  }

  /** Host memory that it counts for, in bytes. */
  get hostBytes(): number {
    return this.kind === "2d" ? this.pitch * this.height : 0;
  }

  /** The host's copy. Throws RangeError where the host has no memory left. */
  hostCopy(memory: PixelMemory): Uint8Array {
    this.pixels ??= memory.take(this.hostBytes);
    return this.pixels;
  }

  /** The host's copy is nobody's any more. */
  dropHostCopy(memory: PixelMemory): void {
    if (this.pixels !== null) memory.give(this.pixels);
    this.pixels = null;
  }
}

/**
 * What an output shows: a rectangle of a 2D resource's host copy, of a blob in the guest's memory, or of a renderer's
 * resource (VIRTIO 1.2 section 5.7.6.8, SET_SCANOUT and SET_SCANOUT_BLOB).
 *
 * A blob is read where the guest has it, at the moment of reading; what its backing does not cover is zero.
 */
import { MemoryRangeError } from "../memory/guest-memory.ts";
import { BYTES_PER_PIXEL } from "../wire/gpu.ts";
import type { ScanoutPixels } from "./display-sink.ts";
import type { GpuState } from "./gpu-state.ts";
import { type ByteArray, framebufferToRgba, intersect, type PixelSource, type PixelRect } from "./pixels.ts";
import type { Resource } from "./resource.ts";

/** How the picture lies in a resource. Offsets and strides are bytes. */
export interface Framebuffer {
  readonly format: number;
  readonly width: number;
  readonly height: number;
  readonly stride: number;
  readonly offset: number;
}

/** See the file's head. */
export class Scanout implements ScanoutPixels {
  readonly resource: Resource;
  readonly rect: PixelRect;
  readonly framebuffer: Framebuffer;
  readonly #state: GpuState;

  constructor(state: GpuState, resource: Resource, rect: PixelRect, framebuffer: Framebuffer) {
    this.#state = state;
    this.resource = resource;
    this.rect = rect;
    this.framebuffer = framebuffer;
  }

  get width(): number {
    return this.rect.width;
  }

  get height(): number {
    return this.rect.height;
  }

  get format(): number {
    return this.framebuffer.format;
  }

  /** Byte offset of the scanout's first pixel. */
  get #start(): number {
    return this.framebuffer.offset + this.rect.y * this.framebuffer.stride + this.rect.x * BYTES_PER_PIXEL;
  }

  view(): PixelSource | null {
    const { stride, format } = this.framebuffer;
    const start = this.#start;
    const byteLength = stride * (this.height - 1) + this.width * BYTES_PER_PIXEL;
    const { resource } = this;
    if (resource.kind === "2d")
      return { bytes: resource.hostCopy(this.#state.pixelMemory), offset: start, stride, format };
    const storage = this.#state.setup.renderer?.pixels(resource.id)?.bytes;
    if (storage !== undefined && resource.hasHostStorage) {
      return start + byteLength <= storage.byteLength ? { bytes: storage, offset: start, stride, format } : null;
    }
    const bytes = this.#guestView(start, byteLength);
    return bytes === null ? null : { bytes, offset: 0, stride, format };
  }

  read(rect: PixelRect, target: Uint8Array, targetOffset: number, targetStride: number): void {
    const clipped = intersect(rect, { x: 0, y: 0, width: this.width, height: this.height });
    if (clipped === null) return;
    const { stride } = this.framebuffer;
    const rowBytes = clipped.width * BYTES_PER_PIXEL;
    const from = clipped.y * stride + clipped.x * BYTES_PER_PIXEL;
    const to = targetOffset + (clipped.y - rect.y) * targetStride + (clipped.x - rect.x) * BYTES_PER_PIXEL;
    const view = this.view();
    if (view === null) this.#startGather();
    for (let row = 0; row < clipped.height; row += 1) {
      const at = from + row * stride;
      const out = to + row * targetStride;
      if (view === null) this.#gather(at, target, out, rowBytes);
      else target.set(view.bytes.subarray(view.offset + at, view.offset + at + rowBytes), out);
    }
  }

  readRgba(rect: PixelRect, target: ByteArray, targetOffset: number, targetStride: number): void {
    const clipped = intersect(rect, { x: 0, y: 0, width: this.width, height: this.height });
    if (clipped === null) return;
    const offset = targetOffset + (clipped.y - rect.y) * targetStride + (clipped.x - rect.x) * BYTES_PER_PIXEL;
    framebufferToRgba(
      this.#part(clipped),
      { bytes: target, offset, stride: targetStride },
      { width: clipped.width, height: clipped.height, alpha: "opaque" },
    );
  }

  /** A rectangle that lies inside: where it is, or a copy of it. */
  #part(rect: PixelRect): PixelSource {
    const view = this.view();
    if (view !== null) return { ...view, offset: view.offset + rect.y * view.stride + rect.x * BYTES_PER_PIXEL };
    const stride = rect.width * BYTES_PER_PIXEL;
    const bytes = new Uint8Array(stride * rect.height);
    this.read(rect, bytes, 0, stride);
    return { bytes, offset: 0, stride, format: this.format };
  }

  /** A view of the guest's pages, where they lie in one piece. */
  #guestView(start: number, byteLength: number): PixelSource["bytes"] | null {
    const { backing } = this.resource;
    if (backing === null || backing.count !== 1 || start + byteLength > (backing.lengths[0] ?? 0)) return null;
    const { memory } = this.#state;
    const address = (backing.addresses[0] ?? 0) + start;
    return memory.contains(address, byteLength) ? memory.view(address, byteLength) : null;
  }

  #startGather(): void {
    const { backing } = this.resource;
    if (backing !== null) this.#state.backingAccess.use(backing);
  }

  /** Copies bytes of the scanout from the guest's pages, zero for what is not there. */
  #gather(at: number, target: Uint8Array, out: number, byteLength: number): void {
    let done = 0;
    try {
      if (this.resource.backing !== null) {
        done = this.#state.backingAccess.gather(this.#start + at, target, out, byteLength);
      }
    } catch (error) {
      if (!(error instanceof MemoryRangeError)) throw error;
    }
    target.fill(0, out + done, out + byteLength);
  }
}

/**
 * The host-visible window (shared memory region 1, VIRTIO 1.2 section 5.7.7): which blob is mapped where. Ranges of
 * blobs that were lost, unmapped or destroyed are free again.
 */
import { GpuError } from "../base/errors.ts";
import { SharedMemoryId } from "../wire/index.ts";
import type { GpuCore } from "./core.ts";
import type { HostBlobObject } from "./desired/objects.ts";

const PAGE_BYTES = 4096;

/** See the file's head. */
export class HostWindow {
  readonly #core: GpuCore;
  readonly #taken: Map<HostBlobObject, { readonly offset: number; readonly end: number }> = new Map();

  constructor(core: GpuCore) {
    this.#core = core;
    core.onLost.on((object) => {
      if (object.kind === "hostBlob") this.give(object);
    });
  }

  /** Bytes in use. */
  get takenBytes(): number {
    return [...this.#taken.values()].reduce((sum, { offset, end }) => sum + end - offset, 0);
  }

  /** The first free range that is large enough. Throws ENOTSUP without a window, ENOMEM when it is full. */
  take(blob: HostBlobObject): number {
    const region = this.#core.parts.transport.sharedMemory(SharedMemoryId.HOST_VISIBLE);
    if (region === null)
      throw new GpuError("ENOTSUP", "the device has no host-visible window", { device: this.#core.label });
    const alignment = Math.max(PAGE_BYTES, this.#core.session?.config.blobAlignment ?? 1);
    const byteLength = Math.ceil(blob.byteLength / alignment) * alignment;
    let offset = 0;
    for (const range of [...this.#taken.values()].sort((a, b) => a.offset - b.offset)) {
      if (offset + byteLength <= range.offset) break;
      offset = Math.ceil(range.end / alignment) * alignment;
    }
    if (offset + byteLength > region.byteLength) {
      throw new GpuError("ENOMEM", `the window has no ${byteLength} bytes in one piece left`, {
        device: this.#core.label,
      });
    }
    this.#taken.set(blob, { offset, end: offset + byteLength });
    return offset;
  }

  /** Frees the blob's range, and lets go of its mapping. */
  give(blob: HostBlobObject): void {
    this.#taken.delete(blob);
    blob.mapOffset = null;
  }
}

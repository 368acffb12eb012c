/**
 * 3D resources and host blobs: their handles, and the mappings of blobs in the host-visible window (VIRTIO 1.2 sections
 * 5.7.6.8 and 5.7.7). None survives the loss of its host.
 */
import { GpuError } from "../base/errors.ts";
import { SharedMemoryId } from "../wire/index.ts";
import type { GpuCore } from "./core.ts";
import { type HostBlobObject, type Resource3dObject, objectName } from "./desired/objects.ts";
import type { HostWindow } from "./host-window.ts";
import { Fact } from "./session/host-state.ts";
import { keyOf } from "./waiters.ts";

/** A resource whose contents are the host's. */
export class RenderResource {
  readonly #core: GpuCore;
  readonly #object: Resource3dObject | HostBlobObject;
  readonly #window: HostWindow;

  /** @internal */
  constructor(core: GpuCore, object: Resource3dObject | HostBlobObject, window: HostWindow) {
    this.#core = core;
    this.#object = object;
    this.#window = window;
  }

  /** The resource id: unique for the device's life, never used again. */
  get id(): number {
    return this.#object.id;
  }

  /** Why it is lost; null while it is not. */
  get lost(): GpuError | null {
    return this.#core.losses.get(this.#object) ?? null;
  }

  /** Maps a host blob into the host-visible window (RESOURCE_MAP_BLOB). Throws ENOTSUP, ENOMEM, ESTALE when the device was reset meanwhile. */
  async map(): Promise<void> {
    const blob = this.#blob();
    this.#core.requireSession();
    blob.mapOffset ??= this.#window.take(blob);
    try {
      await this.#core.inThisSession(this.#core.settled(keyOf(blob)));
    } catch (error) {
      this.#window.give(blob);
      throw error;
    }
  }

  /** Lets `use` work on the mapped bytes: good until `use` returns, never longer. Throws EBUSY unless mapped. */
  access<T>(use: (view: Uint8Array) => T): T {
    const blob = this.#blob();
    const session = this.#core.requireSession();
    const host = session.reconciler.resources.get(blob.id);
    if (blob.mapOffset === null || host?.mapped !== Fact.PRESENT) {
      throw new GpuError("EBUSY", "it is not mapped", { object: objectName(blob) });
    }
    const region = this.#core.parts.transport.sharedMemory(SharedMemoryId.HOST_VISIBLE);
    const view = region?.view(blob.mapOffset, blob.byteLength) ?? null;
    if (view === null)
      throw new GpuError("ENOTSUP", "the window can't be reached from here", { object: objectName(blob) });
    return use(view);
  }

  /** Takes the mapping back (RESOURCE_UNMAP_BLOB); its range of the window is free at once. */
  async unmap(): Promise<void> {
    const blob = this.#blob();
    this.#window.give(blob);
    await this.#core.settled(keyOf(blob));
  }

  /** Gives the resource up, with its range of the window. */
  destroy(): void {
    if (this.#object.kind === "hostBlob") this.#window.give(this.#object);
    this.#core.destroy(this.#object);
  }

  #blob(): HostBlobObject {
    const { lost } = this;
    if (lost !== null) throw lost;
    if (this.#object.kind === "hostBlob") return this.#object;
    throw new GpuError("ENOTSUP", "a 3D resource is not mapped", { object: objectName(this.#object) });
  }
}

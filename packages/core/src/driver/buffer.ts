/**
 * Buffers: pixels in guest memory that outputs and cursors can show. A handle stays valid over every sleep; what the
 * host has of it is the reconciler's business.
 */
import { GpuError } from "../base/errors.ts";
import type { Pages } from "../memory/pages.ts";
import { BYTES_PER_PIXEL, type Format } from "../wire/index.ts";
import type { GpuCore } from "./core.ts";
import { type Rect, isInside } from "./desired/geometry.ts";
import type { BlobLayout, GuestBlobObject, Image2dObject, ImportListener } from "./desired/objects.ts";
import { objectName, strideOf } from "./desired/objects.ts";
import { untilUnmapped } from "./imports.ts";
import { Fact } from "./session/host-state.ts";
import { keyOf } from "./waiters.ts";

/** What a buffer is read as. */
export interface BufferShape {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  readonly format: Format;
  /** Bytes from one row to the next; `4 * width` unless a blob says otherwise. */
  readonly stride: number;
  /** Byte of the first pixel; 0 unless a blob says otherwise. */
  readonly offset: number;
}

/** See the file's head. Made by {@link VirtioGpu.createBuffer}, {@link VirtioGpu.importBuffer} and {@link VirtioGpu.adopt}. */
export class GpuBuffer {
  readonly shape: BufferShape;
  readonly #core: GpuCore;
  readonly #object: Image2dObject | GuestBlobObject;
  #unsubscribe: () => void = () => {};
  /** Ends the waits of {@link #exporterTakesBack} that a giving again overtakes. */
  readonly #waits: Set<(error: GpuError) => void> = new Set();

  /** @internal */
  constructor(core: GpuCore, object: Image2dObject | GuestBlobObject, shape: BufferShape) {
    this.#core = core;
    this.#object = object;
    this.shape = shape;
    this.#subscribe();
  }

  /** The resource id: unique for the device's life, never used again. */
  get id(): number {
    return this.#object.id;
  }

  /** The caller's name for it, by which a new process adopts it; null when it has none. */
  get key(): string | null {
    return this.#object.key;
  }

  /** Pixels. */
  get width(): number {
    return this.shape.width;
  }

  /** Pixels. */
  get height(): number {
    return this.shape.height;
  }

  /** Bytes of its memory that hold pixels. */
  get byteLength(): number {
    return this.#object.backing.byteLength;
  }

  /** `image`: the host has a copy of its own. `blob`: the host reads guest memory. */
  get storage(): "image" | "blob" {
    return this.#object.kind === "image2d" ? "image" : "blob";
  }

  /** Why its contents are lost (an import whose exporter ended it); null while they are not. */
  get lost(): GpuError | null {
    return this.#core.losses.get(this.#object) ?? null;
  }

  /** Whether it was destroyed. */
  get isDestroyed(): boolean {
    return this.#core.desired.resources.get(this.id) !== this.#object;
  }

  /** @internal How a scanout reads it. */
  get layout(): BlobLayout | null {
    if (this.#object.kind === "image2d") return null;
    const { width, height, format, stride, offset } = this.shape;
    return { width, height, format, stride, offset };
  }

  /** @internal */
  get object(): Image2dObject | GuestBlobObject {
    return this.#object;
  }

  /** Copies memory from byte `offset` on into `target` (all of it). Throws ENOTSUP on imports, ENODEV once destroyed. */
  read(offset: number, target: Uint8Array): void {
    this.#ownPages().read(offset, target);
  }

  /**
   * Copies `bytes` to byte `offset` on. The display follows with {@link flush}. Throws EBUSY while detached, ENOTSUP on
   * imports, ENODEV once destroyed.
   */
  write(offset: number, bytes: Uint8Array): void {
    this.#writablePages().write(offset, bytes);
    if (bytes.length > 0) this.#wroteBytes(offset, bytes.length);
  }

  /**
   * Lets `use` work on all of its memory. The view is good until `use` returns, never longer: memory may be taken back.
   * Where memory is scattered the view is a copy that is written back.
   */
  map<T>(use: (view: Uint8Array) => T): T {
    const pages = this.#writablePages();
    const live = pages.view();
    const view = live ?? new Uint8Array(pages.byteLength);
    if (live === null) pages.read(0, view);
    try {
      return use(view.subarray(0, this.byteLength));
    } finally {
      if (live === null) pages.write(0, view);
      this.#core.wrote(this.#object, this.bounds);
    }
  }

  /** All of it. */
  get bounds(): Rect {
    return { x: 0, y: 0, width: this.width, height: this.height };
  }

  /** Brings `rect` (all of it unless given) to the host and to every output that shows it. Throws EINVAL for a rectangle outside. */
  async flush(rect: Rect = this.bounds): Promise<void> {
    this.#assertAlive();
    if (!isInside(rect, this.width, this.height)) {
      throw new GpuError("EINVAL", `the rectangle ${JSON.stringify(rect)} lies outside`, { object: this.#name });
    }
    if (rect.width === 0 || rect.height === 0) return;
    await this.#core.flush(this.#object, rect);
  }

  /**
   * Takes the guest memory away from the host, which keeps its copy (2D) or shows nothing new (blob). The driver keeps
   * the pixels for the next host; until {@link attach} an image can't be written.
   */
  async detach(): Promise<void> {
    this.#assertAlive();
    const object = this.#object;
    if (object.kind === "image2d" && object.drawn) await this.flush();
    object.attached = false;
    await this.#core.settled(keyOf(object));
  }

  /** Gives it back. */
  async attach(): Promise<void> {
    this.#assertAlive();
    this.#object.attached = true;
    await this.#core.settled(keyOf(this.#object));
  }

  /** Whether the guest memory is meant to be attached. */
  get isAttached(): boolean {
    return this.#object.attached;
  }

  /**
   * The UUID by which other devices find it (RESOURCE_ASSIGN_UUID); assigned anew after each loss of the host, see
   * {@link VirtioGpu.onUuid}. Throws ENOTSUP without the feature, ESTALE when the device was reset meanwhile,
   * ECANCELED when it was destroyed meanwhile.
   */
  async uuid(): Promise<Uint8Array> {
    this.#assertAlive();
    const core = this.#core;
    const host = core.requireSession().reconciler.resource(this.#object);
    if (!core.hasUuid) throw new GpuError("ENOTSUP", "the device assigns no UUIDs", { device: core.label });
    this.#object.uuidWanted = true;
    if (host.uuid !== Fact.PRESENT) await core.inThisSession(core.settled(keyOf(this.#object)));
    if (this.isDestroyed) throw new GpuError("ECANCELED", "it was destroyed", { object: this.#name });
    const uuid = core.uuids.get(this.id);
    if (uuid === undefined) throw new GpuError("EPROTO", "the device assigned no UUID", { object: this.#name });
    return uuid.slice();
  }

  /** Gives it up. Outputs that show it go dark; its memory is given back when no host can touch it any more. */
  destroy(): void {
    if (this.isDestroyed) return;
    this.#unsubscribe();
    this.#core.destroy(this.#object);
  }

  /** @internal Claims an import again in a new process. */
  claim(exporter: Parameters<GpuBuffer["importFrom"]>[0]): void {
    this.importFrom(exporter);
    this.#subscribe();
    this.#core.touch(keyOf(this.#object));
  }

  /** @internal */
  importFrom(exporter: NonNullable<(Image2dObject["backing"] & { source: "import" })["exporter"]>): void {
    const { backing } = this.#object;
    if (backing.source !== "import" || backing.key !== exporter.key || exporter.byteLength < backing.byteLength) {
      throw new GpuError("EINVAL", `the exporter "${exporter.key}" does not lend what this was`, {
        object: this.#name,
      });
    }
    backing.exporter = exporter;
  }

  get #name(): string {
    return objectName(this.#object);
  }

  #assertAlive(): void {
    this.#core.assertUsable();
    if (this.isDestroyed) throw new GpuError("ENODEV", "it was destroyed", { object: this.#name });
    const { lost } = this;
    if (lost !== null) throw lost;
  }

  #ownPages(): Pages {
    if (this.isDestroyed) throw new GpuError("ENODEV", "it was destroyed", { object: this.#name });
    const { backing } = this.#object;
    if (backing.source === "own") return backing.pages;
    throw new GpuError("ENOTSUP", "an import's memory is its exporter's to give", { object: this.#name });
  }

  #writablePages(): Pages {
    const pages = this.#ownPages();
    if (this.#object.kind === "image2d" && !this.#object.attached) {
      throw new GpuError("EBUSY", "it is detached: its pixels are the host's", { object: this.#name });
    }
    return pages;
  }

  /** The rows that a range of bytes touches. */
  #wroteBytes(offset: number, byteLength: number): void {
    const { stride, width, height } = this.shape;
    const first = Math.floor(offset / stride);
    const last = Math.min(height, Math.ceil((offset + byteLength) / stride));
    if (first < last) this.#core.wrote(this.#object, { x: 0, y: first, width, height: last - first });
  }

  // --- Imports ---

  #subscribe(): void {
    const { backing } = this.#object;
    if (backing.source !== "import" || backing.exporter === null) return;
    this.#unsubscribe = backing.exporter.subscribe(this.#listener);
  }

  /** What the exporter asks of us. */
  readonly #listener: ImportListener = {
    onMove: () => this.#exporterTakesBack(),
    onResident: () => this.#exporterGivesAgain(),
    onEnd: async () => {
      if (this.isDestroyed) return;
      const gone = this.#exporterTakesBack();
      this.#core.endImport(
        this.#object,
        new GpuError("ENOTRECOVERABLE", "its exporter ended it", { object: this.#name }),
      );
      this.#unsubscribe();
      await gone;
    },
  };

  /** Resolves when no host uses the exporter's pages any more: after the DETACH's answer, or a confirmed reset. */
  async #exporterTakesBack(): Promise<void> {
    const { backing } = this.#object;
    if (backing.source !== "import" || this.isDestroyed) return;
    backing.moving = true;
    await new Promise<void>((resolve, reject) => {
      this.#waits.add(reject);
      void untilUnmapped(this.#core, this.#object).then(() => {
        this.#waits.delete(reject);
        resolve();
      });
    });
  }

  #exporterGivesAgain(): void {
    const { backing } = this.#object;
    if (backing.source !== "import" || this.isDestroyed || this.lost !== null) return;
    backing.moving = false;
    const overtaken = new GpuError("ECANCELED", "it was given again before it was let go of", { object: this.#name });
    for (const reject of this.#waits) reject(overtaken);
    this.#waits.clear();
    this.#core.touch(keyOf(this.#object));
  }
}

/** The shape of an image of our own making. */
export function packedShape(width: number, height: number, format: Format): BufferShape {
  return { width, height, format, stride: strideOf(width), offset: 0 };
}

/** Bytes that a shape takes, from its first byte to its last. */
export function shapeBytes(shape: BufferShape): number {
  const { width, height, stride, offset } = shape;
  return height === 0 ? offset : offset + stride * (height - 1) + width * BYTES_PER_PIXEL;
}

/**
 * A 3D back end that renders nothing: it keeps the bytes of 3D resources and blobs, copies them in and out, and writes
 * down what was submitted. For tests, and for hosts without a GPU whose guests need no more than host blobs and transfers.
 */
import { GpuError } from "../base/errors.ts";
import { BYTES_PER_PIXEL, Capset, FORMATS, GpuReply, MapCache } from "../wire/gpu.ts";
import type { CtxCreate, ResourceCreate3d, TransferHost3d } from "../wire/gpu.gen.ts";
import type { CapsetInfo, GuestBytes, HostBlob, Renderer, RendererPixels, RendererStatus } from "./renderer.ts";
import { StateReader } from "./state-reader.ts";

/** Options of {@link MemoryRenderer}. */
export interface MemoryRendererOptions {
  /** Default: VIRGL, of zeros, in which a guest's 3D library finds nothing that it could use. */
  readonly capsets?: readonly CapsetInfo[];
  /** Bytes of all resources together; default 256 MiB. */
  readonly bytesMax?: number;
  /** Submissions that are remembered; default 256, the newest. */
  readonly submissionsMax?: number;
}

/** What a context was handed. */
export interface Submission {
  readonly contextId: number;
  readonly commands: Uint8Array;
}

/** A mip level's place in a resource's bytes. */
interface Level {
  readonly offset: number;
  readonly width: number;
  readonly height: number;
  readonly layers: number;
}

interface Stored {
  readonly bytesPerPixel: number;
  readonly levels: readonly Level[];
  bytes: Uint8Array;
}

interface Context {
  readonly capset: number;
  readonly name: string;
  readonly resources: Set<number>;
}

/** Gallium's target numbers: a buffer is a row of bytes, a 3D texture loses depth from level to level. */
const TARGET_BUFFER = 0;
const TARGET_3D = 3;
const LEVELS_MAX = 16;
const SIDE_MAX = 1 << 16;
const { OK_NODATA, ERR_INVALID_PARAMETER, ERR_INVALID_RESOURCE_ID, ERR_OUT_OF_MEMORY, ERR_UNSPEC } = GpuReply;

/** See the file's head. */
export class MemoryRenderer implements Renderer {
  readonly capsets: readonly CapsetInfo[];
  /** The newest submissions, oldest first. */
  submissions: Submission[] = [];
  readonly #bytesMax: number;
  readonly #submissionsMax: number;
  #contexts: Map<number, Context> = new Map();
  #resources: Map<number, Stored> = new Map();
  #bytes = 0;

  constructor(options: MemoryRendererOptions = {}) {
    this.capsets = options.capsets ?? [{ id: Capset.VIRGL, maxVersion: 1, maxSize: 308 }];
    this.#bytesMax = options.bytesMax ?? 256 << 20;
    this.#submissionsMax = options.submissionsMax ?? 256;
  }

  /** Ids of the contexts, with the resources attached to each. */
  get contexts(): ReadonlyMap<number, { readonly resources: ReadonlySet<number> }> {
    return this.#contexts;
  }

  /** Bytes of all resources. */
  get usedBytes(): number {
    return this.#bytes;
  }

  capset(): Uint8Array {
    return new Uint8Array(0);
  }

  createContext(contextId: number, { contextInit, nameLength, debugName }: CtxCreate): RendererStatus {
    const name = String.fromCharCode(...debugName.subarray(0, nameLength));
    this.#contexts.set(contextId, { capset: contextInit & 0xff, name, resources: new Set() });
    return OK_NODATA;
  }

  destroyContext(contextId: number): void {
    this.#contexts.delete(contextId);
  }

  attachResource(contextId: number, resourceId: number): RendererStatus {
    this.#contexts.get(contextId)?.resources.add(resourceId);
    return OK_NODATA;
  }

  detachResource(contextId: number, resourceId: number): RendererStatus {
    return this.#contexts.get(contextId)?.resources.delete(resourceId) === true ? OK_NODATA : ERR_INVALID_RESOURCE_ID;
  }

  submit(contextId: number, commands: Uint8Array): RendererStatus {
    this.submissions.push({ contextId, commands });
    if (this.submissions.length > this.#submissionsMax) this.submissions.shift();
    return OK_NODATA;
  }

  createResource(parameters: ResourceCreate3d): RendererStatus {
    const { target, format, width, height, depth, arraySize, lastLevel } = parameters;
    const isBuffer = target === TARGET_BUFFER;
    if (!isBuffer && !FORMATS.has(format)) return ERR_INVALID_PARAMETER;
    const sides = isBuffer ? [height, depth, arraySize] : [width, height, depth, arraySize];
    if (lastLevel >= LEVELS_MAX || sides.some((side) => side > SIDE_MAX)) return ERR_INVALID_PARAMETER;
    const bytesPerPixel = isBuffer ? 1 : BYTES_PER_PIXEL;
    const levels: Level[] = [];
    let offset = 0;
    for (let level = 0; level <= lastLevel; level += 1) {
      const layers = (target === TARGET_3D ? minify(depth, level) : Math.max(1, depth)) * Math.max(1, arraySize);
      const place = { offset, width: minify(width, level), height: isBuffer ? 1 : minify(height, level), layers };
      levels.push(place);
      offset += place.width * bytesPerPixel * place.height * layers;
    }
    return this.#store(parameters.resourceId, bytesPerPixel, levels, offset);
  }

  createBlob(resourceId: number, { size }: HostBlob): RendererStatus {
    return this.#store(resourceId, 1, [{ offset: 0, width: size, height: 1, layers: 1 }], size);
  }

  destroyResource(resourceId: number): void {
    this.#bytes -= this.#resources.get(resourceId)?.bytes.byteLength ?? 0;
    this.#resources.delete(resourceId);
    for (const { resources } of this.#contexts.values()) resources.delete(resourceId);
  }

  transferToHost(_contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus {
    return this.#transfer(transfer, (offset, bytes) => guest.read(offset, bytes));
  }

  transferFromHost(_contextId: number, transfer: TransferHost3d, guest: GuestBytes): RendererStatus {
    return this.#transfer(transfer, (offset, bytes) => guest.write(offset, bytes));
  }

  hasResource(resourceId: number): boolean {
    return this.#resources.has(resourceId);
  }

  pixels(resourceId: number): RendererPixels | null {
    const stored = this.#resources.get(resourceId);
    if (stored === undefined) return null;
    return { bytes: stored.bytes, stride: (stored.levels[0]?.width ?? 0) * stored.bytesPerPixel };
  }

  mapBlob(resourceId: number, window: Uint8Array): number {
    const stored = this.#resources.get(resourceId);
    if (stored === undefined) return MapCache.NONE;
    window.set(stored.bytes);
    stored.bytes = window;
    return MapCache.CACHED;
  }

  unmapBlob(resourceId: number): void {
    const stored = this.#resources.get(resourceId);
    if (stored !== undefined) stored.bytes = stored.bytes.slice();
  }

  reset(): void {
    this.#contexts = new Map();
    this.#resources = new Map();
    this.submissions = [];
    this.#bytes = 0;
  }

  save(): unknown {
    return {
      contexts: [...this.#contexts].map(([id, { capset, name, resources }]) => ({
        id,
        capset,
        name,
        resources: [...resources],
      })),
      resources: [...this.#resources].map(([id, { bytesPerPixel, levels, bytes }]) => ({
        id,
        bytesPerPixel,
        levels: levels.map((level) => ({ ...level })),
        bytes: bytes.slice(),
      })),
    };
  }

  restore(state: unknown): void {
    const reader = new StateReader(state, "renderer");
    const contexts = new Map(reader.list("contexts", 1 << 16, restoreContext));
    const resources = new Map(reader.list("resources", 1 << 20, restoreStored));
    let bytes = 0;
    for (const stored of resources.values()) bytes += stored.bytes.byteLength;
    if (bytes > this.#bytesMax) throw new GpuError("EINVAL", `the saved renderer has ${bytes} bytes, too many`);
    this.#contexts = contexts;
    this.#resources = resources;
    this.submissions = [];
    this.#bytes = bytes;
  }

  #store(resourceId: number, bytesPerPixel: number, levels: readonly Level[], byteLength: number): RendererStatus {
    if (this.#bytes + byteLength > this.#bytesMax) return ERR_OUT_OF_MEMORY;
    try {
      this.#resources.set(resourceId, { bytesPerPixel, levels, bytes: new Uint8Array(byteLength) });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return ERR_OUT_OF_MEMORY;
    }
    this.#bytes += byteLength;
    return OK_NODATA;
  }

  /** Hands each row of the box to `copy`, as it lies here. */
  #transfer(transfer: TransferHost3d, copy: (guestOffset: number, row: Uint8Array) => number): RendererStatus {
    const stored = this.#resources.get(transfer.resourceId);
    const level = stored?.levels[transfer.level];
    if (stored === undefined) return ERR_UNSPEC;
    if (level === undefined) return ERR_INVALID_PARAMETER;
    const { x, y, z, width, height, depth } = transfer;
    if (x + width > level.width || y + height > level.height || z + depth > level.layers) return ERR_INVALID_PARAMETER;
    const rowBytes = level.width * stored.bytesPerPixel;
    const stride = transfer.stride === 0 ? rowBytes : transfer.stride;
    const layerStride = transfer.layerStride === 0 ? stride * level.height : transfer.layerStride;
    for (let layer = 0; layer < depth; layer += 1) {
      for (let row = 0; row < height; row += 1) {
        const at = level.offset + ((z + layer) * level.height + y + row) * rowBytes + x * stored.bytesPerPixel;
        const bytes = stored.bytes.subarray(at, at + width * stored.bytesPerPixel);
        if (copy(transfer.offset + layer * layerStride + row * stride, bytes) < bytes.byteLength) return OK_NODATA;
      }
    }
    return OK_NODATA;
  }
}

function minify(size: number, level: number): number {
  return Math.max(1, size >>> level);
}

function restoreContext(reader: StateReader): [number, Context] {
  const ids = reader.list("resources", 1 << 20, (id) => id.integerSelf(1, 0xffff_ffff));
  return [
    reader.integer("id", 1, 0xffff_ffff),
    { capset: reader.integer("capset", 0, 0xff), name: reader.text("name", 64), resources: new Set(ids) },
  ];
}

function restoreStored(reader: StateReader): [number, Stored] {
  const bytesPerPixel = reader.integer("bytesPerPixel", 1, BYTES_PER_PIXEL);
  let end = 0;
  const levels = reader.list("levels", LEVELS_MAX, (level): Level => {
    const place = {
      offset: level.integer("offset", end, end),
      width: level.integer("width", 0, 0xffff_ffff),
      height: level.integer("height", 0, SIDE_MAX),
      layers: level.integer("layers", 0, SIDE_MAX),
    };
    end += place.width * bytesPerPixel * place.height * place.layers;
    return place;
  });
  return [reader.integer("id", 1, 0xffff_ffff), { bytesPerPixel, levels, bytes: reader.bytes("bytes", end) }];
}

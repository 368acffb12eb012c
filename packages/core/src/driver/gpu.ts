/**
 * The driver of a virtio-gpu device (VIRTIO 1.2 section 5.7): what a guest sees of it.
 *
 *     const gpu = await VirtioGpu.probe({ transport, clock, allocator, dma });
 *     const buffer = await gpu.createBuffer({ width: 1024, height: 768 });
 *     buffer.map((pixels) => paint(pixels));
 *     await gpu.output(0).show(buffer);
 *     sleep.register(gpu.power);
 *
 * Assumptions: `transport` is this driver's alone, `allocator` hands out guest memory, `dma` says where the device sees
 * it. Nothing else in the guest resets the device or touches its queues, except while it is frozen.
 */
import type { Clock } from "../base/clock.ts";
import { GpuError } from "../base/errors.ts";
import type { PowerClient } from "../base/power.ts";
import { type Tracer, silentTracer, unfailing } from "../base/tracer.ts";
import type { DmaMap, PageAllocator } from "../memory/pages.ts";
import type { Transport } from "../virtio/transport.ts";
import { BlobFlag, FALLBACK_MODE, Format, GPU_DEVICE_ID, GpuFeature, MAX_SCANOUTS, featureBit } from "../wire/index.ts";
import { GpuBuffer, type BufferShape, packedShape, shapeBytes } from "./buffer.ts";
import { type CoreParts, type Deadlines, GpuCore } from "./core.ts";
import type { Backing, BufferExporter, GuestBlobObject, Image2dObject } from "./desired/objects.ts";
import { isFormat, strideOf } from "./desired/objects.ts";
import { type SavedState, loadState, saveState } from "./desired/saved-state.ts";
import { GuardedExporter } from "./guards.ts";
import { Display, type HotplugEvent } from "./display/display.ts";
import { TextConsole } from "./display/console.ts";
import { Output } from "./output.ts";
import { PowerPolicy, type UnrecoverablePolicy } from "./power/policy.ts";
import { GpuPower } from "./power/power.ts";
import type { DriverState } from "./power/state.ts";
import { Rendering } from "./rendering.ts";
import type { Fence } from "./session/fences.ts";

/** What {@link VirtioGpu.probe} needs. */
export interface VirtioGpuOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  /** Silent unless given. */
  readonly tracer?: Tracer | undefined;
  /** What a sleep does about what it can't bring back; `veto` unless given. */
  readonly policy?: UnrecoverablePolicy | undefined;
  readonly deadlines?: Partial<Deadlines> | undefined;
  /** Feature bit numbers that are not to be negotiated. */
  readonly withoutFeatures?: readonly number[] | undefined;
  /** Entries per ring at most; 256 unless given. */
  readonly queueSizeMax?: number | undefined;
}

/** What {@link VirtioGpu.createBuffer} makes. */
export interface BufferOptions {
  /** Pixels, 1 or more. */
  readonly width: number;
  /** Pixels, 1 or more. */
  readonly height: number;
  /** B8G8R8X8 unless given (Linux's XRGB8888). */
  readonly format?: Format | undefined;
  /**
   * `image`: the host keeps a copy, which follows with each flush. `blob`: the host reads guest memory; needs the feature
   * RESOURCE_BLOB. `image` unless given.
   */
  readonly storage?: "image" | "blob" | undefined;
  /** The name by which a new process adopts it after a hibernation. Unique. */
  readonly key?: string | undefined;
  /** One range of guest memory, where that can be had. */
  readonly contiguous?: boolean | undefined;
}

/** How an imported buffer is read. */
export type ImportOptions = Omit<BufferOptions, "storage" | "contiguous"> & {
  /** Bytes from row to row, a multiple of 4; `4 * width` unless given. Only with RESOURCE_BLOB may it be more. */
  readonly stride?: number | undefined;
  /** Byte of the first pixel; 0 unless given. Only with RESOURCE_BLOB may it be more. */
  readonly offset?: number | undefined;
};

const DEADLINES: Deadlines = { commandMs: 5000, resetMs: 5000, freezeMs: 10_000, policyMs: 30_000 };
const QUEUE_SIZE_MAX = 256;
const SIZE_MAX = 1 << 20;
/** Characters. */
const KEY_MAX = 1024;

/** See the file's head. */
export class VirtioGpu {
  /** The face to the system's sleep code: register it there. */
  readonly power: PowerClient;
  /** Contexts, 3D resources, host blobs, capability sets, fences. */
  readonly rendering: Rendering;
  readonly #core: GpuCore;
  readonly #policy: PowerPolicy;
  readonly #display: Display;
  readonly #outputs: readonly Output[];
  readonly #buffers: Map<number, GpuBuffer> = new Map();
  /** Those of them that have a key. */
  readonly #keyed: Map<string, GpuBuffer> = new Map();
  /** Those of a loaded state that nobody has adopted yet. */
  readonly #unclaimed: Set<GpuBuffer> = new Set();
  readonly #unregister: (() => void)[] = [];

  private constructor(core: GpuCore, policy: UnrecoverablePolicy) {
    this.#core = core;
    this.#display = new Display(core);
    this.#policy = new PowerPolicy(core, policy);
    this.power = new GpuPower(core, this.#policy);
    this.rendering = new Rendering(core, this.#policy);
    this.#outputs = Array.from({ length: MAX_SCANOUTS }, (_, index) => new Output(core, this.#display, index));
    core.onDestroyed.on((object) => {
      if (object.kind === "context") return;
      const buffer = this.#buffers.get(object.id);
      if (buffer === undefined) return;
      this.#buffers.delete(object.id);
      this.#unclaimed.delete(buffer);
      if (object.key !== null) this.#keyed.delete(object.key);
    });
  }

  /**
   * Takes the device over, from whatever state it is in, and brings it up. Throws GpuError ENODEV (no such device, or it
   * refuses), ETIMEDOUT (its reset never ends), EPROTO (what it says can't be), ENOMEM.
   */
  static async probe(options: VirtioGpuOptions): Promise<VirtioGpu> {
    const gpu = new VirtioGpu(new GpuCore(coreParts(options)), options.policy ?? "veto");
    await gpu.#open();
    return gpu;
  }

  /**
   * A driver from a saved state, in a new process (contract 6). It has no session: `power.restore("RESTORE")` begins one,
   * on whatever host there is now. Throws GpuError EINVAL when the state is not sound. Load every driver of the machine
   * before anybody allocates: the state says which pages of the memory image are this driver's.
   */
  static load(options: VirtioGpuOptions, saved: unknown): VirtioGpu {
    const parts = coreParts(options);
    const { desired, layouts } = loadState(saved, options.allocator);
    const gpu = new VirtioGpu(new GpuCore(parts, desired), options.policy ?? "veto");
    for (const object of desired.resources.values()) {
      if (object.kind !== "image2d" && object.kind !== "guestBlob") continue;
      gpu.#unclaimed.add(gpu.#handle(object, shapeOf(object, layouts.get(object.id))));
    }
    return gpu;
  }

  async #open(): Promise<void> {
    const core = this.#core;
    core.move("open");
    try {
      await core.openSession();
      core.move("opened");
      await this.#display.known();
    } catch (error) {
      if (error instanceof GpuError && core.is("opening")) await core.fail(error);
      throw error;
    }
  }

  // --- What there is ---

  /** Names the device in every message. */
  get label(): string {
    return this.#core.label;
  }

  /** Where the device is in its life with this driver. */
  get state(): DriverState {
    return this.#core.state;
  }

  /** Why the device is lost; null unless it is. */
  get error(): GpuError | null {
    return this.#core.lastError;
  }

  /** Whether the host stopped answering. What is asked for now is refused with ETIMEDOUT, and follows when it answers. */
  get isHung(): boolean {
    return this.#core.session?.isHung ?? false;
  }

  /**
   * Whether the host owes an answer whose deadline passed, though it may give others. What is asked for about the same thing
   * is refused with ETIMEDOUT, until it is given or the device is reset ({@link recover}).
   */
  get isOverdue(): boolean {
    return this.#core.session?.isOverdue ?? false;
  }

  /** Whether a feature was negotiated: a bit number of GpuFeature or VirtioFeature. */
  hasFeature(feature: number): boolean {
    return (this.#core.features & featureBit(feature)) !== 0n;
  }

  /** The outputs of the host there is. */
  get outputs(): readonly Output[] {
    return this.#outputs.slice(0, this.#display.outputs);
  }

  /** An output by its number, 0 to 15, whether this host has it or not. */
  output(index: number): Output {
    const output = this.#outputs[index];
    if (output === undefined) throw new GpuError("EINVAL", `there is no output ${index}`, { device: this.label });
    return output;
  }

  /**
   * Calls `listener` when the displays changed, also over a sleep; returns the deregistration. What a listener throws, of
   * this and of the others below, is traced and goes no further.
   */
  onHotplug(listener: (event: HotplugEvent) => void): () => void {
    return this.#display.onHotplug.on(listener);
  }

  /** Calls `listener` when the driver's state changes. */
  onState(listener: (state: DriverState) => void): () => void {
    return this.#core.onState.on(listener);
  }

  /** Calls `listener` with the id of each resource whose contents are lost for good. */
  onLost(listener: (id: number) => void): () => void {
    return this.#core.onLost.on((object) => listener(object.id));
  }

  /** Calls `listener` when a resource was given a UUID, maybe another one than before. */
  onUuid(listener: (id: number, uuid: Uint8Array) => void): () => void {
    return this.#core.onUuid.on((id) => {
      const uuid = this.#core.uuids.get(id);
      if (uuid !== undefined) listener(id, uuid.slice());
    });
  }

  // --- Buffers ---

  /**
   * A new buffer of zeros. Resolves when the host has it; made while the device sleeps, after the restore. Throws GpuError
   * EINVAL, ENOMEM (guest's or host's), ENOTSUP (no blobs here), EIO (refused), ETIMEDOUT (the host hangs).
   */
  async createBuffer(options: BufferOptions): Promise<GpuBuffer> {
    const core = this.#core;
    core.assertUsable();
    const shape = packedShape(options.width, options.height, checkFormat(options.format));
    this.#checkShape(shape);
    const isBlob = options.storage === "blob";
    if (isBlob) this.#requireBlobs();
    const byteLength = isBlob ? this.#alignBlob(shapeBytes(shape)) : shapeBytes(shape);
    this.#checkKey(options.key);
    const pages = core.parts.allocator.allocate(byteLength, { contiguous: options.contiguous ?? false });
    const backing: Backing = { source: "own", pages, byteLength };
    return this.#realise(this.#newObject(shape, backing, isBlob, options.key), shape);
  }

  /**
   * A buffer over memory that somebody else owns and may move or end. As a blob where the device has them, else as an
   * image. Throws as {@link createBuffer}.
   */
  async importBuffer(lender: BufferExporter, options: ImportOptions): Promise<GpuBuffer> {
    this.#core.assertUsable();
    const exporter = new GuardedExporter(lender, this.#core.guard);
    const format = checkFormat(options.format);
    const { width, height, stride = strideOf(width), offset = 0 } = options;
    const shape: BufferShape = { width, height, format, stride, offset };
    this.#checkShape(shape);
    const isBlob = this.hasFeature(GpuFeature.RESOURCE_BLOB);
    if (!isBlob && (stride !== strideOf(width) || offset !== 0)) {
      throw new GpuError("ENOTSUP", "a device without blobs reads rows that follow each other", { device: this.label });
    }
    if (shapeBytes(shape) > exporter.byteLength) {
      throw new GpuError("EINVAL", `"${exporter.key}" lends ${exporter.byteLength} bytes, too few`, {
        device: this.label,
      });
    }
    this.#checkKey(options.key);
    const { key, byteLength } = exporter;
    const backing: Backing = { source: "import", key, byteLength, exporter, moving: false };
    const object = this.#newObject(shape, backing, isBlob, options.key);
    if (object.kind === "image2d") object.drawn = true;
    return this.#realise(object, shape);
  }

  #newObject(
    shape: BufferShape,
    backing: Backing,
    isBlob: boolean,
    key: string | undefined,
  ): Image2dObject | GuestBlobObject {
    const id = this.#core.desired.takeResourceId();
    const base = { id, key: key ?? null, holder: key ?? `buffer ${id}`, uuidWanted: false, attached: true, backing };
    if (isBlob) return { ...base, kind: "guestBlob", byteLength: backing.byteLength, flags: BlobFlag.USE_SHAREABLE };
    return { ...base, kind: "image2d", format: shape.format, width: shape.width, height: shape.height, drawn: false };
  }

  async #realise(object: Image2dObject | GuestBlobObject, shape: BufferShape): Promise<GpuBuffer> {
    this.#core.desired.resources.set(object.id, object);
    let buffer: GpuBuffer;
    try {
      buffer = this.#handle(object, shape);
    } catch (error) {
      // An exporter that lets nobody subscribe: nothing was told to the host yet.
      this.#core.desired.resources.delete(object.id);
      throw error;
    }
    await this.#core.realise(object);
    return buffer;
  }

  #handle(object: Image2dObject | GuestBlobObject, shape: BufferShape): GpuBuffer {
    const buffer = new GpuBuffer(this.#core, object, shape);
    this.#buffers.set(object.id, buffer);
    if (object.key !== null) this.#keyed.set(object.key, buffer);
    return buffer;
  }

  #checkShape(shape: BufferShape): void {
    const { width, height, stride, offset } = shape;
    const isSize = [width, height].every((value) => Number.isInteger(value) && value >= 1 && value <= SIZE_MAX);
    const isPlace = [stride, offset].every((value) => Number.isInteger(value) && value >= 0 && value % 4 === 0);
    if (!isSize || !isPlace || stride < strideOf(width) || shapeBytes(shape) >= 2 ** 32) {
      throw new GpuError("EINVAL", `${width}x${height} pixels, ${stride} bytes a row, are no buffer`, {
        device: this.label,
      });
    }
  }

  #checkKey(key: string | undefined): void {
    if (key === undefined) return;
    if (this.#keyed.has(key))
      throw new GpuError("EINVAL", `there is a buffer "${key}" already`, { device: this.label });
    if (key.length > KEY_MAX) throw new GpuError("EINVAL", "so long a key can't be saved", { device: this.label });
  }

  #requireBlobs(): void {
    if (!this.hasFeature(GpuFeature.RESOURCE_BLOB)) {
      throw new GpuError("ENOTSUP", "the device has no blob resources", { device: this.label });
    }
  }

  #alignBlob(byteLength: number): number {
    const alignment = this.#core.session?.config.blobAlignment ?? 1;
    return Math.ceil(byteLength / alignment) * alignment;
  }

  // --- Console ---

  /**
   * A text console on an output, in its preferred mode unless a size in pixels is given, shown at once. Throws as
   * {@link createBuffer} and {@link Output.show}.
   */
  async createConsole(
    output: Output,
    options: { readonly width?: number; readonly height?: number; readonly key?: string } = {},
  ): Promise<TextConsole> {
    const mode = output.connector.modes[0] ?? FALLBACK_MODE;
    const { width = mode.width, height = mode.height, key } = options;
    const buffer = await this.createBuffer({ width, height, key });
    const terminal = new TextConsole(this.#core, buffer, output);
    try {
      await output.show(buffer);
    } catch (error) {
      buffer.destroy();
      throw error;
    }
    return terminal;
  }

  // --- Sleep ---

  /** What a sleep does about what it can't bring back. */
  get policy(): UnrecoverablePolicy {
    return this.#policy.mode;
  }

  /** From the next sleep on. */
  set policy(mode: UnrecoverablePolicy) {
    this.#policy.mode = mode;
  }

  /** Registers with the system's sleep code, until {@link remove}: which then ends this first. */
  register(sleep: { register(client: PowerClient): () => void }): void {
    this.#unregister.push(sleep.register(this.power));
  }

  /** The desired state as plain data, for an image. The bytes behind the buffers are the memory image's. */
  save(): SavedState {
    return saveState(this.#core.desired, {
      allocator: this.#core.parts.allocator,
      losses: this.#core.losses,
      layoutOf: (object) => this.#buffers.get(object.id)?.layout ?? null,
    });
  }

  /** Keys of loaded buffers that nobody has adopted yet. Contexts: {@link Rendering.adoptContext}. */
  get unclaimed(): readonly string[] {
    return [...this.#unclaimed].flatMap(({ key }) => (key === null ? [] : [key]));
  }

  /**
   * Takes a buffer of a loaded state over by its key; an import with its exporter. Throws GpuError ENOTRECOVERABLE when
   * it was lost with the old host, EINVAL when there is no such buffer or it was adopted already.
   */
  adopt(key: string, exporter?: BufferExporter): GpuBuffer {
    const facts = { device: this.label, object: `"${key}"` };
    const buffer = this.#keyed.get(key);
    if (buffer === undefined || !this.#unclaimed.has(buffer)) {
      const lost = this.#core.desired.lostBefore.find((object) => object.key === key);
      if (buffer === undefined && lost !== undefined) throw new GpuError("ENOTRECOVERABLE", lost.reason, facts);
      throw new GpuError("EINVAL", "there is no such buffer to adopt", facts);
    }
    const isImport = buffer.object.backing.source === "import";
    if (isImport !== (exporter !== undefined)) {
      throw new GpuError("EINVAL", isImport ? "an import comes back with its exporter" : "it is no import", facts);
    }
    if (exporter !== undefined) buffer.claim(new GuardedExporter(exporter, this.#core.guard));
    this.#unclaimed.delete(buffer);
    return buffer;
  }

  /**
   * Says that nobody will adopt anything any more: destroys all of a loaded state that nobody adopted, also what had no
   * key, and forgets what was lost before. Outputs that showed it go dark.
   */
  dropUnclaimed(): void {
    for (const buffer of this.#unclaimed) buffer.destroy();
    this.rendering.dropUnclaimed();
    this.#core.desired.lostBefore.length = 0;
  }

  /** Mends a device that is lost or hangs: reset, and everything recoverable brought back. Rejects when it can't be. */
  async recover(): Promise<void> {
    const { picture, complete } = this.power.restore("RECOVER");
    await picture;
    await complete;
  }

  /**
   * Lets go of the device, at any moment: waiters hear ENODEV, the device is reset, memory is given back once no device
   * can touch it. Buffers of the caller are gone. Never throws.
   */
  async remove(): Promise<void> {
    for (const unregister of this.#unregister.splice(0)) unregister();
    await this.#core.remove();
    this.#buffers.clear();
    this.#keyed.clear();
    this.#unclaimed.clear();
  }

  /** A point in the device's work: signalled when all that was submitted before is done (5.7.6.7). */
  fence(): Fence {
    return this.rendering.fence();
  }
}

function coreParts(options: VirtioGpuOptions): CoreParts {
  const { transport, clock, allocator, dma } = options;
  if (transport.deviceId !== GPU_DEVICE_ID) {
    throw new GpuError("ENODEV", `it is a virtio device ${transport.deviceId}, not a GPU`, { device: transport.label });
  }
  return {
    transport,
    clock,
    allocator,
    dma,
    tracer: unfailing(options.tracer ?? silentTracer),
    deadlines: { ...DEADLINES, ...options.deadlines },
    withoutFeatures: (options.withoutFeatures ?? []).reduce((all, feature) => all | featureBit(feature), 0n),
    queueSizeMax: options.queueSizeMax ?? QUEUE_SIZE_MAX,
  };
}

function checkFormat(format: Format = Format.B8G8R8X8): Format {
  if (!isFormat(format)) throw new GpuError("EINVAL", `${String(format)} is no pixel format`);
  return format;
}

function shapeOf(object: Image2dObject | GuestBlobObject, layout: BufferShape | undefined): BufferShape {
  if (object.kind === "image2d") return packedShape(object.width, object.height, object.format);
  return layout ?? packedShape(1, 1, Format.B8G8R8X8);
}

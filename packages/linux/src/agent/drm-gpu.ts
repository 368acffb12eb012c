/**
 * The kernel's own driver under test, through DRM as any program would use it. Dumb buffers, non-dumb resources, imported
 * dmabufs and blobs; kernel interface: uapi drm.h, drm_mode.h, virtgpu_drm.h.
 */
import { DrmCard, type DrmOutput, pciAddressOf } from "../drm/card.ts";
import { cardPaths, type Exporter, exporters } from "../drm/import.ts";
import { flags } from "../drm/requests.ts";
import { loadSys, Mapping, type Sys } from "../native/index.ts";
import type {
  AgentGpu,
  AgentGpuDriver,
  Extra,
  GpuObject,
  ObjectPurpose,
  OpenDriver,
  OutputState,
} from "./agent-gpu.ts";
import { DrmObject } from "./drm-object.ts";
import { messageOf } from "./message-of.ts";
import type { Size } from "./protocol.ts";
import { bindDriver, unbindDriver } from "./remedy.ts";

const DRIVER = "virtio_gpu";
/** VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM, PIPE_TEXTURE_2D and PIPE_BIND_RENDER_TARGET, as VIRTGPU_RESOURCE_CREATE takes them. */
const [FORMAT, TARGET, BIND] = [2, 2, 1 << 1];
const CURSOR = 64;
const PAGE = 4096;

/** A GPU whose card may be closed and opened again, with all that was on it gone. */
class DrmGpu implements AgentGpu {
  readonly address: string;
  readonly #sys: Sys;
  #card: DrmCard | null;
  #outputs: readonly DrmOutput[] = [];
  readonly #shown = new Map<number, DrmObject>();
  #cursor: { readonly output: number; readonly object: DrmObject } | null = null;

  constructor(sys: Sys, address: string, card: DrmCard) {
    this.#sys = sys;
    this.address = address;
    this.#card = card;
  }

  /** Lets go of the card: everything on it is gone with its file. */
  release(): void {
    this.#card?.close();
    this.#card = null;
    this.#shown.clear();
    this.#cursor = null;
  }

  take(card: DrmCard): void {
    this.#card = card;
  }

  get #open(): DrmCard {
    if (this.#card === null) throw new Error("ENODEV: the kernel's driver has been taken from the device");
    return this.#card;
  }

  async outputs(): Promise<readonly OutputState[]> {
    this.#outputs = await this.#open.outputs();
    return this.#outputs.map(({ name, connected, modes }) => ({ name, connected, modes }));
  }

  async #output(index: number): Promise<DrmOutput> {
    if (this.#outputs.length === 0) await this.outputs();
    const output = this.#outputs[index];
    if (output === undefined) throw new Error(`EINVAL: there is no output ${index}, only ${this.#outputs.length}`);
    return output;
  }

  create(purpose: ObjectPurpose, size: Size): Promise<GpuObject> {
    return this.#createDumb(purpose === "framebuffer" ? "framebuffer" : "dumb", size);
  }

  async #createDumb(kind: string, size: Size): Promise<DrmObject> {
    const card = this.#open;
    const buffer = await card.createDumb(size.width, size.height);
    return new DrmObject(card, { kind, size, buffer, map: () => card.mapDumb(buffer) });
  }

  async createExtras(size: Size): Promise<readonly Extra[]> {
    const makers: readonly (readonly [string, () => Promise<DrmObject>])[] = [
      ["resource-2d", () => this.#createResource(size)],
      ...Object.entries(exporters).map(([kind, exporter]) => [kind, () => this.#import(kind, exporter, size)] as const),
      ["blob", () => this.#createBlob(size)],
    ];
    const extras: Extra[] = [];
    for (const [kind, make] of makers) {
      try {
        extras.push({ object: await make() });
      } catch (error) {
        extras.push({ notOffered: kind, reason: messageOf(error) });
      }
    }
    return extras;
  }

  /** A resource that isn't dumb: its contents reach the host by TRANSFER_TO_HOST alone, never with a mode set. */
  async #createResource(size: Size): Promise<DrmObject> {
    const card = this.#open;
    const [pitch, byteLength] = [size.width * 4, size.width * size.height * 4];
    const made = await card.callLater("VIRTGPU_RESOURCE_CREATE", {
      target: TARGET,
      format: FORMAT,
      bind: BIND,
      width: size.width,
      height: size.height,
      depth: 1,
      array_size: 1,
      size: byteLength,
      stride: pitch,
    });
    const buffer = { handle: made.bo_handle, pitch, byteLength };
    const transfer = async (): Promise<void> => {
      const box = { x: 0, y: 0, z: 0, w: size.width, h: size.height, d: 1 };
      await card.callLater("VIRTGPU_TRANSFER_TO_HOST", { bo_handle: buffer.handle, box });
      await card.callLater("VIRTGPU_WAIT", { handle: buffer.handle });
    };
    return new DrmObject(card, { kind: "resource-2d", size, buffer, transfer, map: () => this.#mapOwn(card, buffer) });
  }

  async #createBlob(size: Size): Promise<DrmObject> {
    const card = this.#open;
    const value = new BigUint64Array(1);
    const offered = new Uint8Array(value.buffer);
    card.call("VIRTGPU_GETPARAM", {
      param: BigInt(flags.VIRTGPU_PARAM_RESOURCE_BLOB),
      value: this.#sys.addressOf(offered),
    });
    if (value[0] === 0n) throw new Error("ENOTSUP: VIRTGPU_PARAM_RESOURCE_BLOB is 0: the device offers no blobs");
    const pitch = size.width * 4;
    const byteLength = Math.ceil((pitch * size.height) / PAGE) * PAGE;
    const made = await card.callLater("VIRTGPU_RESOURCE_CREATE_BLOB", {
      blob_mem: flags.VIRTGPU_BLOB_MEM_GUEST,
      blob_flags: flags.VIRTGPU_BLOB_FLAG_USE_MAPPABLE,
      size: BigInt(byteLength),
    });
    const buffer = { handle: made.bo_handle, pitch, byteLength };
    return new DrmObject(card, { kind: "blob", size, buffer, map: () => this.#mapOwn(card, buffer) });
  }

  #mapOwn(card: DrmCard, buffer: { readonly handle: number; readonly byteLength: number }): Mapping {
    const { offset } = card.call("VIRTGPU_MAP", { handle: buffer.handle });
    return Mapping.ofFile(card.fd, buffer.byteLength, offset, this.#sys);
  }

  async #import(kind: string, exporter: Exporter, size: Size): Promise<DrmObject> {
    const card = this.#open;
    const pitch = size.width * 4;
    const foreign = await exporter(this.#sys, pitch * size.height);
    try {
      const { handle } = await card.callLater("PRIME_FD_TO_HANDLE", { fd: foreign.dmabufFd });
      const buffer = { handle, pitch, byteLength: foreign.byteLength };
      return new DrmObject(card, { kind, size, buffer, map: () => foreign.map(), release: () => foreign.close() });
    } catch (error) {
      foreign.close();
      throw error;
    }
  }

  async show(output: number, object: GpuObject | null): Promise<void> {
    const target = await this.#output(output);
    const shown = object === null ? null : DrmObject.of(object);
    if (shown === null) this.#shown.delete(output);
    else this.#shown.set(output, shown);
    await this.#open.setCrtc(target, shown && (await shown.asFramebuffer()));
  }

  async flip(output: number, object: GpuObject): Promise<void> {
    const target = await this.#output(output);
    const shown = DrmObject.of(object);
    const { framebufferId } = await shown.asFramebuffer();
    await this.#open.flip(target, framebufferId);
    this.#shown.set(output, shown);
  }

  async upload(object: GpuObject): Promise<void> {
    const given = DrmObject.of(object);
    await given.transfer();
    if ([...this.#shown.values()].includes(given)) await this.#open.dirty((await given.asFramebuffer()).framebufferId);
  }

  async redraw(): Promise<void> {
    const shown = [...this.#shown];
    for (const [output, object] of shown) {
      await this.upload(object);
      await this.show(output, null);
      await this.show(output, object);
    }
    if (this.#cursor !== null) await this.#placeCursor();
  }

  #cursorAt: Parameters<AgentGpu["showCursor"]>[0] | null = null;

  async showCursor(cursor: Parameters<AgentGpu["showCursor"]>[0]): Promise<void> {
    await this.hideCursor();
    const object = await this.#createDumb("cursor", { width: CURSOR, height: CURSOR });
    object.write(cursor.pixels);
    this.#cursor = { output: cursor.output, object };
    this.#cursorAt = cursor;
    await this.#placeCursor();
  }

  async #placeCursor(): Promise<void> {
    const [cursor, at] = [this.#cursor, this.#cursorAt];
    if (cursor === null || at === null) return;
    await this.#open.setCursor(await this.#output(cursor.output), {
      handle: cursor.object.handle,
      x: at.at.x,
      y: at.at.y,
      hotX: at.hotspot.x,
      hotY: at.hotspot.y,
    });
  }

  async hideCursor(): Promise<void> {
    const cursor = this.#cursor;
    if (cursor === null) return;
    this.#cursor = null;
    await this.#open.setCursor(await this.#output(cursor.output), null);
    await cursor.object.free();
  }
}

/** The kernel's driver with all its cards. */
class DrmDriver implements AgentGpuDriver {
  readonly way = "drm";
  readonly gpus: readonly DrmGpu[];
  readonly #sys: Sys;
  readonly #say: (line: string) => void;
  #remedy = false;
  #unbound: readonly string[] = [];

  constructor(sys: Sys, gpus: readonly DrmGpu[], say: (line: string) => void) {
    this.#sys = sys;
    this.gpus = gpus;
    this.#say = say;
  }

  readonly setRemedy = (on: boolean): Promise<void> => {
    this.#remedy = on;
    return Promise.resolve();
  };

  beforeSleep(): Promise<void> {
    if (this.#remedy) {
      for (const gpu of this.gpus) gpu.release();
      this.#unbound = this.gpus.map((gpu) => unbindDriver(gpu.address, this.#say));
    }
    return Promise.resolve();
  }

  async afterSleep(): Promise<Awaited<ReturnType<AgentGpuDriver["afterSleep"]>>> {
    const unbound = this.#unbound;
    this.#unbound = [];
    for (const device of unbound) bindDriver(device);
    if (unbound.length > 0) takeCards(this.#sys, this.gpus);
    return {
      picture: null,
      complete: null,
      restored: null,
      lost: null,
      problems: [],
      anew: unbound.length > 0,
    };
  }

  close(): Promise<void> {
    for (const gpu of this.gpus) gpu.release();
    return Promise.resolve();
  }
}

/** Opens the cards of all GPUs anew: their numbers may have changed. */
function takeCards(sys: Sys, gpus: readonly DrmGpu[]): void {
  const cards = openCards(sys);
  for (const gpu of gpus) {
    const card = cards.get(gpu.address);
    if (card === undefined)
      throw new Error(`ENODEV: ${gpu.address} has no DRM device after its driver was bound again`);
    gpu.take(card);
    cards.delete(gpu.address);
  }
  for (const card of cards.values()) card.close();
}

function openCards(sys: Sys): Map<string, DrmCard> {
  const cards = new Map<string, DrmCard>();
  for (const path of cardPaths()) {
    const address = pciAddressOf(path);
    if (address === null) continue;
    const card = DrmCard.open(path, sys);
    if (card.driver === DRIVER) cards.set(address, card);
    else card.close();
  }
  return cards;
}

/** The kernel's driver, on every virtio GPU that it drives. Throws where it drives none. */
export const openKernelDriver: OpenDriver = ({ say }) => {
  const sys = loadSys();
  const cards = [...openCards(sys)].sort(([a], [b]) => (a < b ? -1 : 1));
  if (cards.length === 0) {
    return Promise.reject(new Error("ENODEV: no DRM device of the driver virtio_gpu: is its module loaded?"));
  }
  const gpus = cards.map(([address, card]) => new DrmGpu(sys, address, card));
  return Promise.resolve(new DrmDriver(sys, gpus, say));
};

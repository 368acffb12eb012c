/**
 * The kernel's own driver under test, through DRM as any program would use it. Dumb buffers, non-dumb resources, imported
 * dmabufs and blobs; kernel interface: uapi drm.h, drm_mode.h, virtgpu_drm.h.
 */
import { setTimeout as delay } from "node:timers/promises";
import { DrmCard, type DrmOutput, pciAddressOf } from "../drm/card.ts";
import { cardPaths } from "../drm/import.ts";
import { loadSys, type Sys } from "../native/index.ts";
import type {
  AgentGpu,
  AgentGpuDriver,
  Extra,
  GpuObject,
  ObjectPurpose,
  OpenDriver,
  OutputState,
} from "./agent-gpu.ts";
import { createDrmExtras } from "./drm-extras.ts";
import { DrmObject } from "./drm-object.ts";
import type { Size } from "./protocol.ts";
import { bindDriver, unbindDriver } from "./remedy.ts";

const DRIVER = "virtio_gpu";
const CURSOR = 64;
/** Others bind the driver again in their own time. */
const BOUND_MS = 30_000;
const LOOK_AGAIN_MS = 50;

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

  createExtras(size: Size): Promise<readonly Extra[]> {
    return createDrmExtras(this.#open, this.#sys, size);
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

  readonly setMaster = (isMaster: boolean): Promise<void> => this.#open.setMaster(isMaster);

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
  readonly #isUnboundByOthers: boolean;
  #remedy = false;
  #isReleased = false;
  #unbound: readonly string[] = [];

  constructor(
    sys: Sys,
    gpus: readonly DrmGpu[],
    options: { readonly say: (line: string) => void; readonly isUnboundByOthers: boolean },
  ) {
    this.#sys = sys;
    this.gpus = gpus;
    this.#say = options.say;
    this.#isUnboundByOthers = options.isUnboundByOthers;
  }

  readonly setRemedy = (on: boolean): Promise<void> => {
    this.#remedy = on;
    return Promise.resolve();
  };

  beforeSleep(): Promise<void> {
    if (this.#remedy) {
      for (const gpu of this.gpus) gpu.release();
      this.#isReleased = true;
      if (!this.#isUnboundByOthers) this.#unbound = this.gpus.map((gpu) => unbindDriver(gpu.address, this.#say));
    }
    return Promise.resolve();
  }

  async afterSleep(): Promise<Awaited<ReturnType<AgentGpuDriver["afterSleep"]>>> {
    const [unbound, anew] = [this.#unbound, this.#isReleased];
    this.#unbound = [];
    this.#isReleased = false;
    for (const device of unbound) bindDriver(device);
    if (anew) await takeCards(this.#sys, this.gpus, this.#isUnboundByOthers ? BOUND_MS : 0);
    return {
      picture: null,
      complete: null,
      restored: null,
      lost: null,
      problems: [],
      anew,
    };
  }

  close(): Promise<void> {
    for (const gpu of this.gpus) gpu.release();
    return Promise.resolve();
  }
}

/** Opens the cards of all GPUs anew, once they are there: their numbers may have changed. */
async function takeCards(sys: Sys, gpus: readonly DrmGpu[], limitMs: number): Promise<void> {
  let cards = openCards(sys);
  for (let waited = 0; waited < limitMs && gpus.some(({ address }) => !cards.has(address)); waited += LOOK_AGAIN_MS) {
    for (const card of cards.values()) card.close();
    await delay(LOOK_AGAIN_MS);
    cards = openCards(sys);
  }
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
export const openKernelDriver: OpenDriver = ({ say, isUnboundByOthers = false }) => {
  const sys = loadSys();
  const cards = [...openCards(sys)].sort(([a], [b]) => (a < b ? -1 : 1));
  if (cards.length === 0) {
    return Promise.reject(new Error("ENODEV: no DRM device of the driver virtio_gpu: is its module loaded?"));
  }
  const gpus = cards.map(([address, card]) => new DrmGpu(sys, address, card));
  return Promise.resolve(new DrmDriver(sys, gpus, { say, isUnboundByOthers }));
};

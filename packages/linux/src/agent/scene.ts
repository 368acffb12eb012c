/** A scene on a GPU: which objects there are, what they show and where, the same for every driver under test. */
import { createHash } from "node:crypto";
import type { AgentGpu, GpuObject, ObjectPurpose } from "./agent-gpu.ts";
import { Flips } from "./flips.ts";
import { messageOf } from "./message-of.ts";
import { pattern } from "./pattern.ts";
import type { AgentCalls, SceneObject, SceneReply, SceneRequest, Size } from "./protocol.ts";

/** An object and what it should show. */
interface Entry {
  object: GpuObject;
  seed: number;
  readonly made: ObjectPurpose | "extra";
}

const CURSOR = { size: 64, seed: 0x6375, hotspot: { x: 1, y: 2 }, at: { x: 200, y: 150 } } as const;
const EMPTY: SceneRequest = {
  seed: 0,
  outputs: [],
  offscreen: { count: 0, width: 1, height: 1 },
  cursor: false,
  extras: false,
};

/** The objects of one GPU, by their numbers. */
export class Scene {
  readonly gpu: AgentGpu;
  #request = EMPTY;
  #entries: Entry[] = [];
  #notOffered: SceneReply["notOffered"] = [];
  /** The object that each output shows. */
  readonly #shown = new Map<number, number>();
  #flips: Flips | null = null;

  constructor(gpu: AgentGpu) {
    this.gpu = gpu;
  }

  /** Draws a scene in place of the one that is there. */
  async draw(request: SceneRequest): Promise<SceneReply> {
    await this.clear();
    this.#request = request;
    for (const [output, size] of request.outputs.entries()) await this.#addOutput(output, size);
    const { count, width, height } = request.offscreen;
    for (let made = 0; made < count; made += 1) await this.#add("offscreen", { width, height });
    if (request.extras) await this.#addExtras();
    await this.#showCursor();
    return {
      objects: this.hashes(),
      shown: request.outputs.map((_, output) => this.#shown.get(output) ?? null),
      notOffered: this.#notOffered,
    };
  }

  async #addOutput(output: number, size: Size | null): Promise<void> {
    if (size === null) {
      await this.gpu.show(output, null);
      return;
    }
    const index = await this.#add("framebuffer", size);
    await this.show(output, index);
  }

  async #add(purpose: ObjectPurpose, size: Size): Promise<number> {
    const object = await this.gpu.create(purpose, size);
    const entry = { object, seed: this.#request.seed + this.#entries.length, made: purpose };
    this.#entries.push(entry);
    await this.#paint(entry);
    return this.#entries.length - 1;
  }

  async #addExtras(): Promise<void> {
    const notOffered: { readonly kind: string; readonly reason: string }[] = [];
    for (const extra of await this.gpu.createExtras(this.#extraSize())) {
      if ("reason" in extra) {
        notOffered.push({ kind: extra.notOffered, reason: extra.reason });
        continue;
      }
      const entry: Entry = { object: extra.object, seed: this.#request.seed + this.#entries.length, made: "extra" };
      this.#entries.push(entry);
      await this.#paint(entry);
    }
    this.#notOffered = notOffered;
  }

  /** Extras are of a size that an output can show. */
  #extraSize(): Size {
    return this.#request.outputs.find((size) => size !== null) ?? { width: 1024, height: 768 };
  }

  async #paint(entry: Entry): Promise<void> {
    entry.object.write(pattern(entry.seed, entry.object.width, entry.object.height));
    await this.gpu.upload(entry.object);
  }

  async #showCursor(): Promise<void> {
    const output = this.#request.outputs.findIndex((size) => size !== null);
    if (!this.#request.cursor || output === -1) return;
    const { hotspot, at } = CURSOR;
    await this.gpu.showCursor({ output, pixels: cursorPixels(), hotspot, at });
  }

  /** Ends flips for as long as there is no driver; {@link showAnew} begins them again. */
  async pauseFlips(): Promise<void> {
    await this.#flips?.pause();
  }

  /**
   * Makes and draws everything anew as it was, as its objects are gone with the driver. Resolves when the outputs show what
   * they showed, with what does the rest.
   */
  async showAnew(): Promise<() => Promise<void>> {
    const shown = [...this.#shown];
    const extras = this.#entries.some(({ made }) => made === "extra")
      ? (await this.gpu.createExtras(this.#extraSize())).flatMap((extra) => ("object" in extra ? [extra.object] : []))
      : [];
    const isShown = (index: number): boolean => shown.some(([, at]) => at === index);
    const make = async (which: (index: number) => boolean): Promise<void> => {
      for (const [index, entry] of this.#entries.entries()) if (which(index)) await this.#makeAnew(entry, extras);
    };
    await make(isShown);
    for (const [output, index] of shown) await this.show(output, index);
    await this.#showCursor();
    return async () => {
      await make((index) => !isShown(index));
      await this.#flips?.restart();
    };
  }

  async #makeAnew(entry: Entry, extras: GpuObject[]): Promise<void> {
    const { kind, width, height } = entry.object;
    const object =
      entry.made === "extra"
        ? extras.find((extra) => extra.kind === kind)
        : await this.gpu.create(entry.made, { width, height });
    if (object === undefined) throw new Error(`ENODEV: the driver has no ${kind} any more`);
    entry.object = object;
    await this.#paint(entry);
  }

  /** The objects with the hashes of their guest memory as it is now. */
  hashes(): readonly SceneObject[] {
    return this.#entries.map(({ object }, index) => ({
      index,
      kind: object.kind,
      width: object.width,
      height: object.height,
      sha256: sha256(object.read()),
    }));
  }

  async show(output: number, index: number | null): Promise<void> {
    await this.gpu.show(output, index === null ? null : this.#entry(index).object);
    if (index === null) this.#shown.delete(output);
    else this.#shown.set(output, index);
  }

  redraw(): Promise<void> {
    return this.gpu.redraw();
  }

  /** Draws the pattern of a seed into an object; resolves with the hash of its memory. */
  async paint(index: number, seed: number): Promise<string> {
    const entry = this.#entry(index);
    entry.seed = seed;
    await this.#paint(entry);
    return sha256(entry.object.read());
  }

  /** Begins or ends to flip pages on an output. */
  async setFlips(output: number, on: boolean): Promise<AgentCalls["flips"]["result"]> {
    const before = (await this.#flips?.end()) ?? { flips: 0, failed: 0, reason: null };
    this.#flips = null;
    if (on) {
      const index = this.#shown.get(output);
      if (index === undefined) throw new Error(`EINVAL: output ${output} shows nothing that could be flipped`);
      this.#flips = new Flips(this.gpu, output, async () => this.#twins(index));
      await this.#flips.restart();
    }
    return before;
  }

  /** An object and a second one that shows the same: whichever is on the screen, the picture is right. */
  async #twins(index: number): Promise<readonly [GpuObject, GpuObject]> {
    const entry = this.#entry(index);
    const { width, height } = entry.object;
    const twin: Entry = {
      object: await this.gpu.create("framebuffer", { width, height }),
      seed: entry.seed,
      made: "framebuffer",
    };
    await this.#paint(twin);
    return [entry.object, twin.object];
  }

  /** Frees everything. What can't be freed is reported after the rest has been tried. */
  async clear(): Promise<void> {
    await this.#flips?.end();
    this.#flips = null;
    const problems: string[] = [];
    const attempt = async (step: Promise<void>): Promise<void> => {
      await step.catch((error: unknown) => void problems.push(messageOf(error)));
    };
    if (this.#entries.length > 0) await attempt(this.gpu.hideCursor());
    for (const output of this.#shown.keys()) await attempt(this.gpu.show(output, null));
    for (const { object } of this.#entries) await attempt(object.free());
    this.#shown.clear();
    this.#entries = [];
    this.#notOffered = [];
    this.#request = EMPTY;
    if (problems.length > 0) throw new Error(problems.slice(0, 3).join("; "));
  }

  #entry(index: number): Entry {
    const entry = this.#entries[index];
    if (entry === undefined) throw new Error(`EINVAL: there is no object ${index}, only ${this.#entries.length}`);
    return entry;
  }
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The cursor's picture: A8R8G8B8, opaque but for a frame of 8 pixels. */
export function cursorPixels(): Uint8Array<ArrayBuffer> {
  const { size, seed } = CURSOR;
  const pixels = pattern(seed, size, size);
  const isInside = (value: number): boolean => value >= 8 && value < size - 8;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const at = (y * size + x) * 4;
      if (isInside(x) && isInside(y)) pixels[at + 3] = 0xff;
      else pixels.fill(0, at, at + 4);
    }
  }
  return pixels;
}

/**
 * What runs on the machine: an application that shows something on every output and keeps pixels in every kind of object
 * that a sleep can bring back. While it runs, frames flow: page flips, damage, a cursor that moves.
 */
import { type Clock, sleep } from "@virtgpu/core/base";
import type { GpuBuffer, VirtioGpu } from "@virtgpu/core/driver";
import type { DmaMap, PageAllocator } from "@virtgpu/core/memory";
import { Format, GpuFeature } from "@virtgpu/core/wire";
import { CLOCK_SIDE, drawArrow, drawClock, drawDesktop, drawTile } from "./desktop.ts";
import { PagesExporter } from "./exporter.ts";
import type { ScenePicture } from "./picture-file.ts";
import type { SceneKind, SceneState } from "./scene-state.ts";

/** What a scene needs of its machine. */
export interface SceneParts {
  readonly gpu: VirtioGpu;
  readonly allocator: PageAllocator;
  readonly dma: DmaMap;
  readonly clock: Clock;
}

/** What is to be drawn. */
export interface SceneSpec {
  /** One an output: its size in pixels, and what it shows; null: a desktop is drawn. */
  readonly outputs: readonly {
    readonly width: number;
    readonly height: number;
    readonly picture: ScenePicture | null;
  }[];
  /** Off-screen buffers besides the few that there always are. */
  readonly objects: number;
}

/** One object of a scene. */
export interface SceneObject {
  readonly key: string;
  readonly kind: SceneKind;
  /** The buffer; null for a context. */
  readonly buffer: GpuBuffer | null;
  /** The host's id of it: a resource's, or a context's. */
  readonly id: number;
  /** Whether an output or a cursor shows it. */
  readonly isShown: boolean;
}

interface SceneOutput {
  readonly buffers: readonly [GpuBuffer, GpuBuffer];
  readonly hasClock: boolean;
}

const FRAME_MS = 16;
const CURSOR_KEY = "cursor";
const CONTEXT_KEY = "idle context";
const TILE = 64;
const TILES = 24;
/** Buffers that are being made at a time: a ring's worth. */
const AT_ONCE = 32;
const FORMATS: readonly Format[] = [
  Format.B8G8R8X8,
  Format.B8G8R8A8,
  Format.R8G8B8A8,
  Format.X8R8G8B8,
  Format.A8R8G8B8,
  Format.X8B8G8R8,
  Format.A8B8G8R8,
  Format.R8G8B8X8,
];
/** The kinds of off-screen buffers, in turn. Without blobs theirs are images. */
const OFF_SCREEN: readonly SceneKind[] = [
  "image",
  "detached image",
  "blob",
  "import",
  "image",
  "image",
  "detached blob",
];

/** Bytes of guest memory that a scene takes, the driver's own included. */
export function sceneBytes({ outputs, objects }: SceneSpec): number {
  const shown = outputs.reduce((sum, { width, height }) => sum + 2 * (width * height * 4 + 4096), 0);
  return shown + (objects + OFF_SCREEN.length + 2) * TILE * TILE * 4 + (8 << 20);
}

/** See the file's head. */
export class Scene {
  readonly #parts: SceneParts;
  readonly #objects: SceneObject[] = [];
  readonly #outputs: SceneOutput[] = [];
  readonly #exporters: Map<string, PagesExporter> = new Map();
  readonly #dials: Map<number, Uint8Array> = new Map();
  #frames = 0;
  #loop: Promise<void> | null = null;
  #stopping = false;

  private constructor(parts: SceneParts) {
    this.#parts = parts;
  }

  /** Draws everything. `onProgress` hears how many off-screen buffers there are so far. */
  static async draw(parts: SceneParts, spec: SceneSpec, onProgress: (done: number) => void): Promise<Scene> {
    const scene = new Scene(parts);
    for (const [index, output] of spec.outputs.entries()) await scene.#drawOutput(index, output);
    await scene.#drawCursor();
    const { gpu } = parts;
    if (gpu.hasFeature(GpuFeature.VIRGL)) {
      const { id } = await gpu.rendering.createContext({ name: CONTEXT_KEY, key: CONTEXT_KEY });
      scene.#objects.push({ key: CONTEXT_KEY, kind: "context", buffer: null, id, isShown: false });
    }
    const hidden = OFF_SCREEN.length + spec.objects;
    for (let first = 0; first < hidden; first += AT_ONCE) {
      const batch = Array.from({ length: Math.min(AT_ONCE, hidden - first) }, (_, at) => scene.#drawHidden(first + at));
      scene.#objects.push(...(await Promise.all(batch)));
      onProgress(Math.min(first + AT_ONCE, hidden));
    }
    return scene;
  }

  /** Takes over, in a new process, what an earlier one had. `gpu` was loaded from the same image. */
  static adopt(parts: SceneParts, state: SceneState): Scene {
    const scene = new Scene(parts);
    scene.#frames = state.frames;
    for (const { key, pages } of state.exporters) {
      scene.#exporters.set(key, new PagesExporter(key, parts.allocator.adopt(pages), parts.dma));
    }
    const shown = new Set(state.outputs.flatMap(({ buffers }) => buffers));
    const buffers = new Map<string, GpuBuffer>();
    for (const { key, kind } of state.items) {
      const isShown = shown.has(key) || kind === "cursor";
      if (kind === "context") {
        const { id } = parts.gpu.rendering.adoptContext(key);
        scene.#objects.push({ key, kind, buffer: null, id, isShown });
      } else {
        const buffer = parts.gpu.adopt(key, scene.#exporters.get(key));
        buffers.set(key, buffer);
        scene.#objects.push({ key, kind, buffer, id: buffer.id, isShown });
      }
    }
    for (const { buffers: keys, hasClock } of state.outputs) {
      const [front, back] = keys.map((key) => buffers.get(key));
      if (front !== undefined && back !== undefined) scene.#outputs.push({ buffers: [front, back], hasClock });
    }
    return scene;
  }

  /** All that is needed to {@link Scene.adopt} it. Take it while nothing runs. */
  save(): SceneState {
    const records = new Map(this.#parts.allocator.save().map((record) => [record.key, record]));
    return {
      frames: this.#frames,
      outputs: this.#outputs.map(({ buffers, hasClock }) => ({
        buffers: [buffers[0].key ?? "", buffers[1].key ?? ""],
        hasClock,
      })),
      items: this.#objects.map(({ key, kind }) => ({ key, kind })),
      exporters: [...this.#exporters.values()].flatMap(({ key, pages }) => {
        const record = records.get(pages.key);
        return record === undefined ? [] : [{ key, pages: { ...record, frames: [...record.frames] } }];
      }),
    };
  }

  /** Everything, in the order in which it was made. */
  get objects(): readonly SceneObject[] {
    return this.#objects;
  }

  /** How many outputs it shows something on. */
  get outputs(): number {
    return this.#outputs.length;
  }

  /** Frames shown so far, in whichever process. */
  get frames(): number {
    return this.#frames;
  }

  /** A copy of what the guest has of an object; null for a context. */
  read({ key, buffer }: SceneObject): Uint8Array | null {
    if (buffer === null) return null;
    const bytes = new Uint8Array(buffer.byteLength);
    const exporter = this.#exporters.get(key);
    if (exporter === undefined) buffer.read(0, bytes);
    else exporter.pages.read(0, bytes);
    return bytes;
  }

  /** Lets frames flow until {@link Scene.stop}. */
  run(): void {
    this.#stopping = false;
    this.#loop ??= this.#flow();
  }

  /** Lets the frame that is being shown come to its end. Rejects if one failed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const loop = this.#loop;
    this.#loop = null;
    await loop;
  }

  /** Shows some frames. */
  async show(frames: number): Promise<void> {
    for (let frame = 0; frame < frames; frame += 1) await this.#frame();
  }

  /** What was shown last, after somebody else used an output. */
  async showAgain(): Promise<void> {
    for (const [index, { buffers }] of this.#outputs.entries()) {
      await this.#parts.gpu.output(index).show(buffers[this.#frames % 2] ?? buffers[0]);
    }
  }

  async #flow(): Promise<void> {
    while (!this.#stopping) {
      await this.#frame();
      await sleep(this.#parts.clock, FRAME_MS);
    }
  }

  /** Damage in the buffer that nobody sees, then the flip; the cursor goes round. */
  async #frame(): Promise<void> {
    this.#frames += 1;
    const { gpu } = this.#parts;
    for (const [index, { buffers, hasClock }] of this.#outputs.entries()) {
      const back = buffers[this.#frames % 2] ?? buffers[0];
      if (hasClock) this.#paintClock(back);
      else await back.flush({ x: 0, y: 0, width: back.width, height: Math.min(16, back.height) });
      await gpu.output(index).show(back);
    }
    const [first] = this.#outputs;
    if (first === undefined) return;
    const { width, height } = first.buffers[0];
    const angle = this.#frames / 40;
    const [x, y] = [width * (0.5 + 0.3 * Math.cos(angle)), height * (0.5 + 0.3 * Math.sin(angle))];
    await gpu.output(0).cursor.move(Math.round(x), Math.round(y));
  }

  #paintClock(buffer: GpuBuffer): void {
    const step = this.#frames % 60;
    const dial = this.#dials.get(step) ?? drawClock(step).pixels;
    this.#dials.set(step, dial);
    const { stride } = buffer.shape;
    const [left, top] = [buffer.width - CLOCK_SIDE - 24, buffer.height - CLOCK_SIDE - 24];
    for (let row = 0; row < CLOCK_SIDE; row += 1) {
      const line = dial.subarray(row * CLOCK_SIDE * 4, (row + 1) * CLOCK_SIDE * 4);
      buffer.write((top + row) * stride + left * 4, line);
    }
  }

  /** Two buffers to flip: images on even outputs, blobs on odd ones where the host has them. */
  async #drawOutput(index: number, { width, height, picture }: SceneSpec["outputs"][number]): Promise<void> {
    const { gpu } = this.#parts;
    const storage = index % 2 === 1 && this.#hasBlobs ? "blob" : "image";
    const pixels = picture?.pixels ?? drawDesktop(width, height, index).pixels;
    const made: GpuBuffer[] = [];
    for (const name of ["front", "back"]) {
      const key = `output ${index} ${name}`;
      const buffer = await gpu.createBuffer({ width, height, key, storage });
      buffer.write(0, pixels);
      made.push(buffer);
      this.#objects.push({ key, kind: storage, buffer, id: buffer.id, isShown: true });
    }
    const [front, back] = made;
    if (front === undefined || back === undefined) return;
    const hasClock = picture === null && width >= 2 * CLOCK_SIDE && height >= 2 * CLOCK_SIDE;
    this.#outputs.push({ buffers: [front, back], hasClock });
    if (hasClock) this.#paintClock(front);
    await gpu.output(index).show(front);
  }

  async #drawCursor(): Promise<void> {
    const { gpu } = this.#parts;
    const buffer = await gpu.createBuffer({ width: TILE, height: TILE, format: Format.B8G8R8A8, key: CURSOR_KEY });
    buffer.write(0, drawArrow());
    await gpu.output(0).cursor.set(buffer);
    this.#objects.push({ key: CURSOR_KEY, kind: "cursor", buffer, id: buffer.id, isShown: true });
  }

  async #drawHidden(index: number): Promise<SceneObject> {
    const wanted = OFF_SCREEN[index % OFF_SCREEN.length] ?? "image";
    const kind = this.#hasBlobs ? wanted : withoutBlobs(wanted);
    const key = `${kind} ${index}`;
    const shape = { width: TILE, height: TILE, format: FORMATS[index % FORMATS.length], key };
    const pixels = tilePixels(index);
    const buffer = kind === "import" ? await this.#import(shape, pixels) : await this.#own(kind, shape, pixels);
    return { key, kind, buffer, id: buffer.id, isShown: false };
  }

  async #own(kind: SceneKind, shape: HiddenShape, pixels: Uint8Array): Promise<GpuBuffer> {
    const storage = kind === "blob" || kind === "detached blob" ? "blob" : "image";
    const buffer = await this.#parts.gpu.createBuffer({ ...shape, storage });
    buffer.write(0, pixels);
    await buffer.flush();
    if (kind === "detached image" || kind === "detached blob") await buffer.detach();
    return buffer;
  }

  async #import(shape: HiddenShape, pixels: Uint8Array): Promise<GpuBuffer> {
    const { allocator, dma, gpu } = this.#parts;
    const exporter = new PagesExporter(shape.key, allocator.allocate(pixels.length), dma);
    exporter.pages.write(0, pixels);
    this.#exporters.set(shape.key, exporter);
    const buffer = await gpu.importBuffer(exporter, shape);
    await buffer.flush();
    return buffer;
  }

  get #hasBlobs(): boolean {
    return this.#parts.gpu.hasFeature(GpuFeature.RESOURCE_BLOB);
  }
}

interface HiddenShape {
  readonly width: number;
  readonly height: number;
  readonly format: Format | undefined;
  readonly key: string;
}

function withoutBlobs(kind: SceneKind): SceneKind {
  if (kind === "blob") return "image";
  return kind === "detached blob" ? "detached image" : kind;
}

const tiles: Map<number, Uint8Array> = new Map();

/** No two objects have the same pixels: a few pictures, each with the object's number in its first ones. */
function tilePixels(index: number): Uint8Array {
  const seed = index % TILES;
  const tile = tiles.get(seed) ?? drawTile(TILE, TILE, seed).pixels;
  tiles.set(seed, tile);
  const pixels = tile.slice();
  for (let bit = 0; bit < 24; bit += 1) pixels.fill((index >> bit) & 1 ? 0xff : 0x10, bit * 4, bit * 4 + 3);
  return pixels;
}

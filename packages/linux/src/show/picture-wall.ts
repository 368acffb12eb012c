/**
 * Pictures on the outputs of several GPUs, one each. An output keeps its picture for as long as somebody looks at it;
 * one that is plugged in takes the first picture that no other shows.
 */
import type { GpuBuffer, VirtioGpu } from "@virtgpu/core/driver";
import { type Picture, fitPicture } from "./fit.ts";

/** What it tells of: sentences for people. */
export type Say = (line: string) => void;

/** How a wall is made. */
export interface PictureWallOptions {
  readonly gpus: readonly VirtioGpu[];
  readonly pictures: readonly Picture[];
  /** Light also outputs that nobody looks at. */
  readonly all: boolean;
  readonly say: Say;
}

/** What is on an output now. */
interface Hung {
  readonly picture: number;
  readonly buffer: GpuBuffer;
}

type GpuOutput = VirtioGpu["outputs"][number];

/** The size of an output that names none, in pixels. */
const SIZE_DEFAULT = { width: 1024, height: 768 };

/** See the file's head. */
export class PictureWall {
  readonly #options: PictureWallOptions;
  readonly #hung: Map<string, Hung> = new Map();
  readonly #unsubscribe: (() => void)[];
  /** Changes are made one after another. */
  #work: Promise<void> = Promise.resolve();
  #isOpen = true;

  constructor(options: PictureWallOptions) {
    this.#options = options;
    this.#unsubscribe = options.gpus.map((gpu) => gpu.onHotplug(() => void this.arrange().catch(() => {})));
  }

  /** Puts every picture where it belongs. Rejects with what a device refused; later changes are made all the same. */
  arrange(): Promise<void> {
    const next = this.#work.then(() => this.#arrangeNow());
    this.#work = next.catch((error: unknown) => {
      this.#options.say(error instanceof Error ? error.message : String(error));
    });
    return next;
  }

  /** How many outputs show a picture. */
  get shown(): number {
    return this.#hung.size;
  }

  /** Changes nothing any more. */
  async close(): Promise<void> {
    this.#isOpen = false;
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await this.#work;
  }

  async #arrangeNow(): Promise<void> {
    if (!this.#isOpen) return;
    const outputs = this.#options.gpus.flatMap((gpu) => gpu.outputs.map((output) => ({ gpu, output })));
    for (const { gpu, output } of outputs) if (!this.#isLit(output)) await this.#takeDown(gpu, output);
    for (const { gpu, output } of outputs) if (this.#isLit(output)) await this.#hang(gpu, output);
  }

  #isLit(output: GpuOutput): boolean {
    return output.connector.connected || this.#options.all;
  }

  async #hang(gpu: VirtioGpu, output: GpuOutput): Promise<void> {
    const key = nameOf(gpu, output);
    const before = this.#hung.get(key);
    const { width, height } = output.connector.modes[0] ?? SIZE_DEFAULT;
    if (before !== undefined && before.buffer.width === width && before.buffer.height === height) return;
    const index = before?.picture ?? this.#free();
    const picture = this.#options.pictures[index];
    if (picture === undefined) return;
    const buffer = await gpu.createBuffer({ width, height });
    buffer.write(0, fitPicture(picture, width, height));
    this.#hung.set(key, { picture: index, buffer });
    try {
      await output.show(buffer);
      this.#options.say(`${key}: picture ${index + 1} at ${width}x${height}`);
    } finally {
      before?.buffer.destroy();
    }
  }

  async #takeDown(gpu: VirtioGpu, output: GpuOutput): Promise<void> {
    const key = nameOf(gpu, output);
    const hung = this.#hung.get(key);
    if (hung === undefined) return;
    this.#hung.delete(key);
    hung.buffer.destroy();
    await output.disable();
    this.#options.say(`${key}: unplugged`);
  }

  /** The first picture that no output has. */
  #free(): number {
    const taken = new Set([...this.#hung.values()].map(({ picture }) => picture));
    return this.#options.pictures.findIndex((_, index) => !taken.has(index));
  }
}

function nameOf(gpu: VirtioGpu, output: GpuOutput): string {
  return `${gpu.label} output ${output.index}`;
}

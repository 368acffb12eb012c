/** A buffer of the kernel's driver with its framebuffer, as the agent's scenes use it. */
import type { DrmBuffer, DrmCard } from "../drm/card.ts";
import type { Mapping } from "../native/index.ts";
import type { GpuObject } from "./agent-gpu.ts";
import type { Size } from "./protocol.ts";

/** What a {@link DrmObject} is made of. */
export interface DrmObjectParts {
  readonly kind: string;
  readonly size: Size;
  readonly buffer: DrmBuffer;
  /** The guest memory; mapped for a moment only, as ten thousand mappings at once would cost more than they save. */
  readonly map: () => Mapping;
  /** Copies the contents to the host, for buffers that the driver doesn't copy by itself. */
  readonly transfer?: () => Promise<void>;
  /** Frees what else belongs to it. */
  readonly release?: () => void;
}

/** A GEM buffer, shown by a framebuffer of its own. */
export class DrmObject implements GpuObject {
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  readonly #card: DrmCard;
  readonly #parts: DrmObjectParts;
  #framebufferId: number | null = null;

  constructor(card: DrmCard, parts: DrmObjectParts) {
    this.#card = card;
    this.#parts = parts;
    this.kind = parts.kind;
    this.width = parts.size.width;
    this.height = parts.size.height;
  }

  /** An object that this driver made itself. */
  static of(object: GpuObject): DrmObject {
    if (!(object instanceof DrmObject)) throw new TypeError("the object belongs to another driver");
    return object;
  }

  get handle(): number {
    return this.#parts.buffer.handle;
  }

  /** Its framebuffer, made when it is shown for the first time. */
  async asFramebuffer(): Promise<{ readonly framebufferId: number; readonly width: number; readonly height: number }> {
    const { width, height } = this;
    this.#framebufferId ??= await this.#card.addFramebuffer(this.#parts.buffer, width, height);
    return { framebufferId: this.#framebufferId, width, height };
  }

  write(pixels: Uint8Array): void {
    this.#withMemory((memory) => {
      for (const { inMemory, inPixels, bytes } of this.#rows())
        memory.set(pixels.subarray(inPixels, inPixels + bytes), inMemory);
    });
  }

  read(): Uint8Array {
    const pixels = new Uint8Array(this.width * this.height * 4);
    this.#withMemory((memory) => {
      for (const { inMemory, inPixels, bytes } of this.#rows())
        pixels.set(memory.subarray(inMemory, inMemory + bytes), inPixels);
    });
    return pixels;
  }

  async transfer(): Promise<void> {
    await this.#parts.transfer?.();
  }

  async free(): Promise<void> {
    const framebufferId = this.#framebufferId;
    this.#framebufferId = null;
    if (framebufferId !== null) await this.#card.removeFramebuffer(framebufferId);
    await this.#card.closeHandle(this.handle);
    this.#parts.release?.();
  }

  /** Where rows lie; one piece if the memory has no padding. */
  #rows(): readonly { readonly inMemory: number; readonly inPixels: number; readonly bytes: number }[] {
    const [row, pitch] = [this.width * 4, this.#parts.buffer.pitch];
    if (pitch === row) return [{ inMemory: 0, inPixels: 0, bytes: row * this.height }];
    return Array.from({ length: this.height }, (_, y) => ({ inMemory: y * pitch, inPixels: y * row, bytes: row }));
  }

  #withMemory(use: (memory: Uint8Array) => void): void {
    const mapping = this.#parts.map();
    try {
      use(mapping.bytes);
    } finally {
      mapping.close();
    }
  }
}

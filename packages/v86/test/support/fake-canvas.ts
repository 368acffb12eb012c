/** A canvas that remembers what was drawn on it, and pictures to draw. */
import { type CursorImage, framebufferToRgba, type PixelRect, type ScanoutPixels } from "@virtgpu/core/device";
import { Format } from "@virtgpu/core/wire";
import type { CanvasLike, Context2dLike, ImageLike } from "../../src/sinks/canvas-types.ts";

/** A picture whose pixels are random, at an odd place in its memory if asked for. */
export class FakePicture implements ScanoutPixels {
  readonly width: number;
  readonly height: number;
  readonly format: number;
  readonly bytes: Uint8Array;
  readonly #offset: number;
  readonly #stride: number;
  readonly #scattered: boolean;

  constructor(
    width: number,
    height: number,
    options: { format?: number; offset?: number; gap?: number; scattered?: boolean; seed?: number } = {},
  ) {
    this.width = width;
    this.height = height;
    this.format = options.format ?? Format.B8G8R8X8;
    this.#offset = options.offset ?? 0;
    this.#stride = width * 4 + (options.gap ?? 0);
    this.#scattered = options.scattered ?? false;
    this.bytes = new Uint8Array(this.#offset + this.#stride * height);
    this.change(options.seed ?? 1);
  }

  /** Other pixels, in a rectangle or everywhere. */
  change(seed: number, rect: PixelRect = { x: 0, y: 0, width: this.width, height: this.height }): void {
    let state = seed;
    for (let row = rect.y; row < rect.y + rect.height; row += 1) {
      for (let at = rect.x * 4; at < (rect.x + rect.width) * 4; at += 1) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        this.bytes[this.#offset + row * this.#stride + at] = state >>> 24;
      }
    }
  }

  view(): ReturnType<ScanoutPixels["view"]> {
    if (this.#scattered) return null;
    return { bytes: this.bytes, offset: this.#offset, stride: this.#stride, format: this.format };
  }

  read(rect: PixelRect, target: Uint8Array, targetOffset: number, targetStride: number): void {
    for (let row = 0; row < rect.height; row += 1) {
      const from = this.#offset + (rect.y + row) * this.#stride + rect.x * 4;
      target.set(this.bytes.subarray(from, from + rect.width * 4), targetOffset + row * targetStride);
    }
  }

  readRgba(rect: PixelRect, target: Uint8Array | Uint8ClampedArray, targetOffset: number, targetStride: number): void {
    const offset = this.#offset + rect.y * this.#stride + rect.x * 4;
    framebufferToRgba(
      { bytes: this.bytes, offset, stride: this.#stride, format: this.format },
      { bytes: target, offset: targetOffset, stride: targetStride },
      { width: rect.width, height: rect.height, alpha: "opaque" },
    );
  }

  /** What a canvas has to show. */
  get rgba(): Uint8ClampedArray {
    const rgba = new Uint8ClampedArray(this.width * this.height * 4);
    this.readRgba({ x: 0, y: 0, width: this.width, height: this.height }, rgba, 0, this.width * 4);
    return rgba;
  }
}

/** A cursor: opaque above, half transparent below. */
export function fakeCursor(x: number, y: number, hotX = 0, hotY = 0): CursorImage {
  const rgba = new Uint8Array(64 * 64 * 4);
  for (let index = 0; index < 64 * 64; index += 1) rgba.set([200, 100, 50, index < 32 * 64 ? 255 : 128], index * 4);
  return { x, y, hotX, hotY, visible: true, rgba };
}

/** The browser's ImageData. */
export class FakeImage implements ImageLike {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
  constructor(data: Uint8ClampedArray, width: number, height: number) {
    this.data = data;
    this.width = width;
    this.height = height;
  }
}

/** A canvas with a 2D context that really draws. */
export class FakeCanvas implements CanvasLike, Context2dLike {
  fillStyle: unknown = "";
  pixels: Uint8ClampedArray = new Uint8ClampedArray(0);
  /** Pixels put so far. */
  put = 0;
  #width = 0;
  #height = 0;

  get width(): number {
    return this.#width;
  }

  set width(width: number) {
    this.#width = width;
    this.pixels = new Uint8ClampedArray(width * this.#height * 4);
  }

  get height(): number {
    return this.#height;
  }

  set height(height: number) {
    this.#height = height;
    this.pixels = new Uint8ClampedArray(this.#width * height * 4);
  }

  getContext(kind: string): unknown {
    return kind === "2d" ? this : null;
  }

  createImageData(width: number, height: number): ImageLike {
    return new FakeImage(new Uint8ClampedArray(width * height * 4), width, height);
  }

  putImageData(
    image: ImageLike,
    x: number,
    y: number,
    fromX: number,
    fromY: number,
    width: number,
    height: number,
  ): void {
    this.put += width * height;
    for (let row = fromY; row < fromY + height; row += 1) {
      const from = (row * image.width + fromX) * 4;
      this.pixels.set(image.data.subarray(from, from + width * 4), ((y + row) * this.#width + x + fromX) * 4);
    }
  }

  fillRect(): void {
    for (let at = 0; at < this.pixels.length; at += 4) this.pixels.set([0, 0, 0, 255], at);
  }
}

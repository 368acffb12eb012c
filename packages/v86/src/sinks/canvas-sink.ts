/**
 * A display sink that draws one output on a canvas, on a page or off it (OffscreenCanvas, also in a worker): what changed
 * since the last frame, once a frame, as a WebGL texture where there is WebGL (the pixels are then copied once, by the
 * graphics driver, and turned round by a shader), else by a 2D context.
 */
import type { CursorImage, DisplaySink, PixelRect, ScanoutPixels } from "@virtgpu/core/device";
import type { CanvasLike, CanvasRenderer } from "./canvas-types.ts";
import { Damage } from "./damage.ts";
import { create2dRenderer } from "./renderer-2d.ts";
import { createWebglRenderer } from "./renderer-webgl.ts";

/** Options of {@link canvasSink}. */
export interface CanvasSinkOptions {
  /** The output to draw; default 0. */
  readonly output?: number;
  /** Default "auto": WebGL2 where there is, else 2D. */
  readonly renderer?: "auto" | "webgl2" | "2d";
  /** Draw the cursor into the picture; default true. A page may rather move an element, by {@link CanvasSinkOptions.onCursor}. */
  readonly cursor?: boolean;
  /** Is told of the cursor: picture, hot spot, place; null when it is not to be seen. */
  readonly onCursor?: (cursor: CursorImage | null) => void;
  /** Is told when the picture has another size, in pixels; null when there is none. */
  readonly onSize?: (size: { readonly width: number; readonly height: number } | null) => void;
  /** Calls back when the next frame is to be drawn. Default: `requestAnimationFrame`, or a timer where there is none. */
  readonly schedule?: (draw: () => void) => void;
}

/** A {@link DisplaySink} on a canvas. */
export interface CanvasSink extends DisplaySink {
  /** How it draws. */
  readonly kind: "webgl2" | "2d";
  /** Draws what is waiting now, instead of with the next frame. */
  draw(): void;
  /** Draws no more, and lets go of the canvas. */
  dispose(): void;
}

const FRAME_MS = 16;

/** Makes a sink. Throws TypeError where the canvas can't be drawn on in the way that was asked for. */
export function canvasSink(canvas: CanvasLike, options: CanvasSinkOptions = {}): CanvasSink {
  return new Sink(canvas, options);
}

/** Gives each call to all of several sinks: one canvas an output. */
export function combineSinks(sinks: readonly DisplaySink[]): DisplaySink {
  return {
    scanout: (output, pixels) => sinks.forEach((sink) => sink.scanout(output, pixels)),
    flush: (output, rect, pixels) => sinks.forEach((sink) => sink.flush(output, rect, pixels)),
    updateCursor: (output, cursor) => sinks.forEach((sink) => sink.updateCursor(output, cursor)),
    moveCursor: (output, cursor) => sinks.forEach((sink) => sink.moveCursor(output, cursor)),
    hideCursor: (output) => sinks.forEach((sink) => sink.hideCursor(output)),
  };
}

function createRenderer(canvas: CanvasLike, wanted: "auto" | "webgl2" | "2d", restored: () => void): CanvasRenderer {
  const made =
    (wanted === "2d" ? null : createWebglRenderer(canvas, restored)) ??
    (wanted === "webgl2" ? null : create2dRenderer(canvas));
  if (made === null) throw new TypeError(`the canvas can't be drawn on (renderer: ${wanted})`);
  return made;
}

function defaultSchedule(): (draw: () => void) => void {
  if (typeof globalThis.requestAnimationFrame === "function")
    return (draw) => void globalThis.requestAnimationFrame(draw);
  return (draw) => void setTimeout(draw, FRAME_MS);
}

class Sink implements CanvasSink {
  readonly #options: CanvasSinkOptions;
  readonly #output: number;
  readonly #renderer: CanvasRenderer;
  readonly #schedule: (draw: () => void) => void;
  readonly #damage: Damage = new Damage();
  #pixels: ScanoutPixels | null = null;
  #size: { readonly width: number; readonly height: number } | null = null;
  #cursor: CursorImage | null = null;
  #cursorIsFresh = false;
  #isDue = false;
  #isDisposed = false;

  constructor(canvas: CanvasLike, options: CanvasSinkOptions) {
    this.#options = options;
    this.#output = options.output ?? 0;
    this.#schedule = options.schedule ?? defaultSchedule();
    this.#renderer = createRenderer(canvas, options.renderer ?? "auto", () => this.#redraw());
  }

  get kind(): "webgl2" | "2d" {
    return this.#renderer.kind;
  }

  scanout(output: number, pixels: ScanoutPixels | null): void {
    if (output !== this.#output || this.#isDisposed) return;
    const before = this.#size;
    this.#pixels = pixels;
    this.#damage.take();
    const isSame = pixels?.width === before?.width && pixels?.height === before?.height;
    if (!isSame) {
      this.#size = pixels === null ? null : { width: pixels.width, height: pixels.height };
      this.#renderer.resize(this.#size);
      this.#options.onSize?.(this.#size);
    }
    this.#addAll();
  }

  flush(output: number, rect: PixelRect): void {
    if (output !== this.#output || this.#isDisposed) return;
    this.#damage.add(rect);
    this.#request();
  }

  updateCursor(output: number, cursor: CursorImage): void {
    this.#setCursor(output, cursor, true);
  }

  moveCursor(output: number, cursor: CursorImage): void {
    this.#setCursor(output, cursor, false);
  }

  hideCursor(output: number): void {
    this.#setCursor(output, null, false);
  }

  draw(): void {
    this.#isDue = false;
    if (this.#isDisposed) return;
    const pixels = this.#pixels;
    const rects = this.#damage.take();
    if (pixels === null) return;
    for (const rect of rects) this.#renderer.upload(pixels, rect);
    this.#renderer.present(this.#options.cursor === false ? null : this.#cursor, this.#cursorIsFresh);
    this.#cursorIsFresh = false;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#pixels = null;
    this.#renderer.dispose();
  }

  #setCursor(output: number, cursor: CursorImage | null, fresh: boolean): void {
    if (output !== this.#output || this.#isDisposed) return;
    this.#options.onCursor?.(cursor);
    this.#cursor = cursor;
    this.#cursorIsFresh ||= fresh;
    if (this.#options.cursor !== false) this.#request();
  }

  /** The graphics driver has forgotten everything. */
  #redraw(): void {
    this.#renderer.resize(this.#size);
    this.#cursorIsFresh = true;
    this.#addAll();
  }

  #addAll(): void {
    if (this.#size === null) return;
    this.#damage.add({ x: 0, y: 0, ...this.#size });
    this.#request();
  }

  #request(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#schedule(() => this.draw());
  }
}

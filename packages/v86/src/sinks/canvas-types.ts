/**
 * What the canvas sinks use of a browser, as far as it is used: HTMLCanvasElement and OffscreenCanvas fit, and so does what
 * a test makes up.
 */
import type { CursorImage, PixelRect, ScanoutPixels } from "@virtgpu/core/device";

/** A canvas, on a page or off it. */
export interface CanvasLike {
  width: number;
  height: number;
  getContext(kind: string, options?: unknown): unknown;
  addEventListener?(type: string, listener: (event: { preventDefault(): void }) => void): void;
  removeEventListener?(type: string, listener: (event: { preventDefault(): void }) => void): void;
}

/** Pixels as a 2D context takes them: RGBA. */
export interface ImageLike {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
}

/** CanvasRenderingContext2D, as far as it is used. */
export interface Context2dLike {
  fillStyle: unknown;
  createImageData(width: number, height: number): ImageLike;
  putImageData(
    image: ImageLike,
    x: number,
    y: number,
    fromX: number,
    fromY: number,
    width: number,
    height: number,
  ): void;
  fillRect(x: number, y: number, width: number, height: number): void;
}

/** Puts pixels on a canvas. */
export interface CanvasRenderer {
  readonly kind: "webgl2" | "2d";
  /** The picture has another size, in pixels; all of it will be uploaded. Null: there is none, the canvas is black. */
  resize(size: { readonly width: number; readonly height: number } | null): void;
  /** A rectangle, which lies inside, has new contents. */
  upload(pixels: ScanoutPixels, rect: PixelRect): void;
  /** Shows what was uploaded, and the cursor over it. `fresh`: it has another picture than the last time. */
  present(cursor: CursorImage | null, fresh: boolean): void;
  /** Lets go of what it holds. */
  dispose(): void;
}

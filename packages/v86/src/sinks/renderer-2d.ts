/**
 * A canvas by its 2D context: what changed is converted to RGBA and put. The cursor is blended in on the way, and what it
 * covered is put back when it moves.
 */
import type { CursorImage, PixelRect, ScanoutPixels } from "@virtgpu/core/device";
import type { CanvasLike, CanvasRenderer, Context2dLike, ImageLike } from "./canvas-types.ts";
import { Damage } from "./damage.ts";
import { RgbaImage, cursorRect } from "./rgba-image.ts";

/** The browser's ImageData: images over memory that is there already. */
export type ImageMaker = new (data: Uint8ClampedArray, width: number, height: number) => ImageLike;

function browserImages(): ImageMaker | null {
  const made: unknown = Reflect.get(globalThis, "ImageData");
  return typeof made === "function" ? (made as ImageMaker) : null;
}

/** See the file's head. Null where the canvas has no 2D context. */
export function create2dRenderer(
  canvas: CanvasLike,
  images: ImageMaker | null = browserImages(),
): CanvasRenderer | null {
  const context = canvas.getContext("2d", { alpha: false, desynchronized: true });
  return isContext(context) ? new Renderer2d(canvas, context, images) : null;
}

function isContext(context: unknown): context is Context2dLike {
  return typeof context === "object" && context !== null && "putImageData" in context;
}

class Renderer2d implements CanvasRenderer {
  readonly kind = "2d";
  readonly #canvas: CanvasLike;
  readonly #context: Context2dLike;
  readonly #images: ImageMaker | null;
  #picture: { readonly rgba: RgbaImage; readonly image: ImageLike } | null = null;
  readonly #damage: Damage = new Damage();
  /** Where the cursor is on the canvas. */
  #covered: PixelRect | null = null;

  constructor(canvas: CanvasLike, context: Context2dLike, images: ImageMaker | null) {
    this.#canvas = canvas;
    this.#context = context;
    this.#images = images;
  }

  resize(size: { readonly width: number; readonly height: number } | null): void {
    this.#damage.take();
    this.#covered = null;
    this.#picture = null;
    if (size === null) {
      this.#context.fillStyle = "#000";
      this.#context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
      return;
    }
    const { width, height } = size;
    this.#canvas.width = width;
    this.#canvas.height = height;
    if (this.#images === null) {
      const image = this.#context.createImageData(width, height);
      this.#picture = { image, rgba: new RgbaImage(width, height, image.data) };
    } else {
      const rgba = new RgbaImage(width, height);
      this.#picture = { image: new this.#images(rgba.data, width, height), rgba };
    }
  }

  upload(pixels: ScanoutPixels, rect: PixelRect): void {
    this.#picture?.rgba.put(pixels, rect);
    this.#damage.add(rect);
  }

  present(cursor: CursorImage | null): void {
    const picture = this.#picture;
    if (picture === null) return;
    if (this.#covered !== null) this.#damage.add(this.#covered);
    for (const { x, y, width, height } of this.#damage.take()) {
      this.#context.putImageData(picture.image, 0, 0, x, y, width, height);
    }
    this.#covered = cursor === null ? null : cursorRect(cursor, picture.rgba);
    if (cursor !== null) this.#drawCursor(picture.rgba, cursor);
  }

  dispose(): void {
    this.#picture = null;
  }

  #drawCursor(rgba: RgbaImage, cursor: CursorImage): void {
    const blended = rgba.under(cursor);
    if (blended === null) return;
    const { rect } = blended;
    const image = this.#context.createImageData(rect.width, rect.height);
    image.data.set(blended.rgba);
    this.#context.putImageData(image, rect.x, rect.y, 0, 0, rect.width, rect.height);
  }
}

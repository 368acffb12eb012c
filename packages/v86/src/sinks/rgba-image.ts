/**
 * The picture of an output in RGBA, for a 2D canvas: only what changed is converted, the quickest way that there is.
 */
import type { CursorImage, PixelRect, PixelSource, ScanoutPixels } from "@virtgpu/core/device";
import { Format } from "@virtgpu/core/wire";
import { SimdSwizzle, turnWords } from "./simd-swizzle.ts";

const CURSOR_SIZE = 64;

/** See the file's head. */
export class RgbaImage {
  readonly width: number;
  readonly height: number;
  /** RGBA, row after row without gaps. */
  readonly data: Uint8ClampedArray;
  readonly #words: Uint32Array;
  readonly #simd: SimdSwizzle | null;

  /** `data`: where the picture is to lie, if not in memory of the quick way's own. */
  constructor(width: number, height: number, data?: Uint8ClampedArray) {
    this.width = width;
    this.height = height;
    this.#simd = data === undefined ? SimdSwizzle.create(width, height) : null;
    this.data = data ?? this.#simd?.image ?? new Uint8ClampedArray(width * height * 4);
    this.#words = new Uint32Array(this.data.buffer, this.data.byteOffset, width * height);
  }

  /** Converts a rectangle, which lies inside. */
  put(pixels: ScanoutPixels, rect: PixelRect): void {
    const view = pixels.view();
    const { format } = pixels;
    if (view === null || (format !== Format.B8G8R8X8 && format !== Format.B8G8R8A8) || !isAligned(view)) {
      pixels.readRgba(rect, this.data, (rect.y * this.width + rect.x) * 4, this.width * 4);
      return;
    }
    const start = view.offset + rect.y * view.stride + rect.x * 4;
    if (this.#simd === null) this.#putWords(view, start, rect);
    else this.#simd.put(view.bytes, start, view.stride, rect);
  }

  /** The part of the cursor that is inside, blended over the picture, which stays as it is. */
  under(cursor: CursorImage): { readonly rect: PixelRect; readonly rgba: Uint8ClampedArray } | null {
    const rect = cursorRect(cursor, this);
    if (rect === null) return null;
    const left = cursor.x - cursor.hotX;
    const top = cursor.y - cursor.hotY;
    const rgba = new Uint8ClampedArray(rect.width * rect.height * 4);
    for (let row = 0; row < rect.height; row += 1) {
      for (let column = 0; column < rect.width; column += 1) {
        const at = ((rect.y + row) * this.width + rect.x + column) * 4;
        const from = ((rect.y + row - top) * CURSOR_SIZE + rect.x + column - left) * 4;
        const to = (row * rect.width + column) * 4;
        const alpha = cursor.rgba[from + 3] ?? 0;
        for (let channel = 0; channel < 3; channel += 1) {
          const below = this.data[at + channel] ?? 0;
          rgba[to + channel] = below + (((cursor.rgba[from + channel] ?? 0) - below) * alpha) / 255;
        }
        rgba[to + 3] = 255;
      }
    }
    return { rect, rgba };
  }

  #putWords({ bytes, stride }: PixelSource, start: number, { x, y, width, height }: PixelRect): void {
    const from = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
    for (let row = 0; row < height; row += 1) {
      turnWords(from, (start + row * stride) >> 2, this.#words, (y + row) * this.width + x, width);
    }
  }
}

function isAligned({ bytes, offset, stride }: PixelSource): boolean {
  return ((bytes.byteOffset | offset | stride) & 3) === 0;
}

/** Where a cursor covers a picture; null where it does not. */
export function cursorRect(
  { x, y, hotX, hotY }: CursorImage,
  size: { readonly width: number; readonly height: number },
): PixelRect | null {
  const left = Math.max(0, x - hotX);
  const top = Math.max(0, y - hotY);
  const width = Math.min(size.width, x - hotX + CURSOR_SIZE) - left;
  const height = Math.min(size.height, y - hotY + CURSOR_SIZE) - top;
  return width > 0 && height > 0 ? { x: left, y: top, width, height } : null;
}

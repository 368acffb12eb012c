/**
 * What of a picture has changed since it was drawn last: a few rectangles. Merges what is close, and all of it when there
 * would be too many: fewer, larger uploads beat many small ones.
 */
import type { PixelRect } from "@virtgpu/core/device";

const RECTS_MAX = 8;
/** Two rectangles become one if that has at most this many times their pixels. */
const WASTE_MAX = 1.25;

function union(one: PixelRect, other: PixelRect): PixelRect {
  const x = Math.min(one.x, other.x);
  const y = Math.min(one.y, other.y);
  const width = Math.max(one.x + one.width, other.x + other.width) - x;
  const height = Math.max(one.y + one.height, other.y + other.height) - y;
  return { x, y, width, height };
}

function area({ width, height }: PixelRect): number {
  return width * height;
}

/** See the file's head. */
export class Damage {
  #rects: PixelRect[] = [];

  get isEmpty(): boolean {
    return this.#rects.length === 0;
  }

  add(rect: PixelRect): void {
    if (rect.width <= 0 || rect.height <= 0) return;
    let merged = rect;
    for (let index = 0; index < this.#rects.length; index += 1) {
      const other = this.#rects[index] ?? rect;
      const both = union(merged, other);
      if (area(both) > (area(merged) + area(other)) * WASTE_MAX) continue;
      this.#rects.splice(index, 1);
      merged = both;
      // The larger one may have come close to those looked at before.
      index = -1;
    }
    this.#rects.push(merged);
    if (this.#rects.length > RECTS_MAX) this.#rects = [this.#rects.reduce(union)];
  }

  /** What there is, which is then forgotten. */
  take(): readonly PixelRect[] {
    const rects = this.#rects;
    this.#rects = [];
    return rects;
  }
}

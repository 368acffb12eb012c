/** Rectangles, in pixels: half-open, from (x, y) to (x + width, y + height). */

/** A rectangle in pixels. */
export interface Rect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The smallest rectangle around both; `a` may be nothing. */
export function unionRect(a: Rect | null, b: Rect): Rect {
  if (a === null) return b;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  const right = Math.max(a.x + a.width, b.x + b.width);
  const bottom = Math.max(a.y + a.height, b.y + b.height);
  return { x, y, width: right - x, height: bottom - y };
}

/** What two rectangles share, or null. */
export function intersectRect(a: Rect, b: Rect): Rect | null {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.min(a.x + a.width, b.x + b.width) - x;
  const height = Math.min(a.y + a.height, b.y + b.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

/** Whether both are the same rectangle. */
export function sameRect(a: Rect, b: Rect): boolean {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}

/** Whether it is a rectangle of whole, non-negative pixels within `width` x `height`. */
export function isInside(rect: Rect, width: number, height: number): boolean {
  const whole = [rect.x, rect.y, rect.width, rect.height].every((value) => Number.isInteger(value) && value >= 0);
  return whole && rect.x + rect.width <= width && rect.y + rect.height <= height;
}

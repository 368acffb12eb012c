/**
 * A small painter of B8G8R8X8 pixels with soft edges: enough for a desktop worth looking at.
 */

/** Red, green, blue, 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** Pixels, four bytes each (blue, green, red, 255), row after row. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8Array(width * height * 4).fill(0xff);
  }

  /** Lays a colour over one pixel; `alpha` 0 to 1. Outside nothing happens. */
  blend(x: number, y: number, colour: Colour, alpha: number): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height || alpha <= 0) return;
    const at = (y * this.width + x) * 4;
    const { pixels } = this;
    const a = Math.min(alpha, 1);
    pixels[at] = mix(pixels[at] ?? 0, colour[2], a);
    pixels[at + 1] = mix(pixels[at + 1] ?? 0, colour[1], a);
    pixels[at + 2] = mix(pixels[at + 2] ?? 0, colour[0], a);
  }

  /** Fills each row with one colour, from `stops` spread evenly from top to bottom. */
  gradient(stops: readonly Colour[]): void {
    for (let y = 0; y < this.height; y += 1) {
      const [red, green, blue] = along(stops, y / Math.max(1, this.height - 1));
      const start = y * this.width * 4;
      for (let at = start; at < start + this.width * 4; at += 4) {
        this.pixels[at] = blue;
        this.pixels[at + 1] = green;
        this.pixels[at + 2] = red;
      }
    }
  }

  /** Everything below a line: `top` gives its height in each column. */
  below(top: (x: number) => number, colour: Colour, foot: Colour): void {
    for (let x = 0; x < this.width; x += 1) {
      const edge = top(x);
      const first = Math.floor(edge);
      for (let y = Math.max(0, first); y < this.height; y += 1) {
        const depth = (y - edge) / Math.max(1, this.height - edge);
        this.blend(x, y, between(colour, foot, depth), y === first ? 1 - (edge - first) : 1);
      }
    }
  }

  /** A rectangle with round corners. */
  panel(x: number, y: number, width: number, height: number, radius: number, colour: Colour, alpha: number = 1): void {
    const [centreX, centreY] = [x + width / 2, y + height / 2];
    for (let row = Math.floor(y); row < y + height; row += 1) {
      for (let column = Math.floor(x); column < x + width; column += 1) {
        const outX = Math.abs(column + 0.5 - centreX) - width / 2 + radius;
        const outY = Math.abs(row + 0.5 - centreY) - height / 2 + radius;
        const inside = Math.min(Math.max(outX, outY), 0);
        const distance = Math.hypot(Math.max(outX, 0), Math.max(outY, 0)) + inside - radius;
        if (distance < 0.5) this.blend(column, row, colour, alpha * Math.min(1, 0.5 - distance));
      }
    }
  }

  /** What a panel throws on what lies below it. */
  shadow(x: number, y: number, width: number, height: number, blur: number): void {
    for (let row = Math.floor(y - blur); row < y + height + blur; row += 1) {
      for (let column = Math.floor(x - blur); column < x + width + blur; column += 1) {
        const outX = Math.max(x - column, column - x - width, 0);
        const outY = Math.max(y - row, row - y - height, 0);
        const strength = 1 - Math.hypot(outX, outY) / blur;
        this.blend(column, row, [8, 10, 24], 0.38 * Math.max(0, strength) ** 2);
      }
    }
  }

  /** A disc. */
  disc(x: number, y: number, radius: number, colour: Colour, alpha: number = 1): void {
    this.panel(x - radius, y - radius, 2 * radius, 2 * radius, radius, colour, alpha);
  }

  /** Light around a place. */
  glow(x: number, y: number, radius: number, colour: Colour, alpha: number): void {
    for (let row = Math.floor(y - radius); row < y + radius; row += 1) {
      for (let column = Math.floor(x - radius); column < x + radius; column += 1) {
        const strength = 1 - Math.hypot(column - x, row - y) / radius;
        this.blend(column, row, colour, alpha * Math.max(0, strength) ** 2);
      }
    }
  }

  /** A stroke from one place to another. */
  line(x0: number, y0: number, x1: number, y1: number, thickness: number, colour: Colour): void {
    const length = Math.max(Math.hypot(x1 - x0, y1 - y0), 0.001);
    const pad = thickness + 1;
    for (let y = Math.floor(Math.min(y0, y1) - pad); y <= Math.max(y0, y1) + pad; y += 1) {
      for (let x = Math.floor(Math.min(x0, x1) - pad); x <= Math.max(x0, x1) + pad; x += 1) {
        const t = Math.min(1, Math.max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length ** 2));
        const distance = Math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0));
        this.blend(x, y, colour, thickness / 2 + 0.5 - distance);
      }
    }
  }
}

/** Between two colours; `t` from 0 to 1. */
export function between(from: Colour, to: Colour, t: number): Colour {
  return [mix(from[0], to[0], t), mix(from[1], to[1], t), mix(from[2], to[2], t)];
}

/** A place on a row of colours spread evenly; `t` from 0 to 1. */
export function along(stops: readonly Colour[], t: number): Colour {
  const place = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  return between(stops[index] ?? [0, 0, 0], stops[index + 1] ?? stops[index] ?? [0, 0, 0], place - index);
}

function mix(from: number, to: number, t: number): number {
  return Math.round(from + (to - from) * t);
}

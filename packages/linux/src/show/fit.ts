/** A picture on an output: shrunk where it is too large, in the middle, on black. */

/** B8G8R8X8, rows without padding. */
export interface Picture {
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  readonly pixels: Uint8Array;
}

const BYTES_PER_PIXEL = 4;

/** The pixels of an output of this size that shows the picture. */
export function fitPicture(picture: Picture, width: number, height: number): Uint8Array {
  const scale = Math.min(1, width / picture.width, height / picture.height);
  const fitted = {
    width: Math.max(1, Math.floor(picture.width * scale)),
    height: Math.max(1, Math.floor(picture.height * scale)),
  };
  const source = scale === 1 ? picture.pixels : shrink(picture, fitted.width, fitted.height);
  const out = new Uint8Array(width * height * BYTES_PER_PIXEL);
  const [left, top] = [(width - fitted.width) >> 1, (height - fitted.height) >> 1];
  const rowBytes = fitted.width * BYTES_PER_PIXEL;
  for (let y = 0; y < fitted.height; y += 1) {
    out.set(source.subarray(y * rowBytes, (y + 1) * rowBytes), ((top + y) * width + left) * BYTES_PER_PIXEL);
  }
  return out;
}

/** Each pixel the mean of those that it stands for. */
function shrink(picture: Picture, width: number, height: number): Uint8Array {
  const out = new Uint8Array(width * height * BYTES_PER_PIXEL);
  const edge = (index: number, count: number, of: number): number => Math.floor((index * of) / count);
  for (let y = 0; y < height; y += 1) {
    const [top, bottom] = [edge(y, height, picture.height), edge(y + 1, height, picture.height)];
    for (let x = 0; x < width; x += 1) {
      const [left, right] = [edge(x, width, picture.width), edge(x + 1, width, picture.width)];
      putMean(picture, { left, right, top, bottom }, out, (y * width + x) * BYTES_PER_PIXEL);
    }
  }
  return out;
}

interface Edges {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

function putMean({ width, pixels }: Picture, { left, right, top, bottom }: Edges, out: Uint8Array, to: number): void {
  let [blue, green, red] = [0, 0, 0];
  for (let y = top; y < bottom; y += 1) {
    for (let at = (y * width + left) * BYTES_PER_PIXEL; at < (y * width + right) * BYTES_PER_PIXEL; at += 4) {
      blue += pixels[at] ?? 0;
      green += pixels[at + 1] ?? 0;
      red += pixels[at + 2] ?? 0;
    }
  }
  const count = Math.max(1, (right - left) * (bottom - top));
  out[to] = Math.round(blue / count);
  out[to + 1] = Math.round(green / count);
  out[to + 2] = Math.round(red / count);
}

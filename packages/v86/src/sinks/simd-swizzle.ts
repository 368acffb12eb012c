/**
 * B8G8R8X8 to opaque RGBA, sixteen bytes at a time, by a WebAssembly function of a few instructions: three to ten times as
 * quick as any loop in JavaScript, with the copy into its memory counted (docs/v86.md). Where it can't be had, there is
 * {@link turnWords}.
 */

/** `(func (param $from i32) (param $to i32) (param $bytes i32)`: addresses in memory; at least 16 bytes, a multiple of 16. */
const CODE = [
  // (loop
  0x03, 0x40,
  // (local.get $to) (v128.load (local.get $from)) twice, as both inputs of the shuffle
  0x20, 0x01, 0x20, 0x00, 0xfd, 0x00, 0x04, 0x00, 0x20, 0x00, 0xfd, 0x00, 0x04, 0x00,
  // i8x16.shuffle: blue and red change places
  0xfd, 0x0d, 2, 1, 0, 3, 6, 5, 4, 7, 10, 9, 8, 11, 14, 13, 12, 15,
  // (v128.const 0, 0, 0, 255, ...) v128.or: alpha is full
  0xfd, 0x0c, 0, 0, 0, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0xff, 0xfd, 0x50,
  // v128.store
  0xfd, 0x0b, 0x04, 0x00,
  // $from += 16, $to += 16
  0x20, 0x00, 0x41, 0x10, 0x6a, 0x21, 0x00, 0x20, 0x01, 0x41, 0x10, 0x6a, 0x21, 0x01,
  // $bytes -= 16, and again unless that is 0; end of loop, end of function
  0x20, 0x02, 0x41, 0x10, 0x6b, 0x22, 0x02, 0x0d, 0x00, 0x0b, 0x0b,
] as const;

/** The format's name and version. */
const HEAD = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0] as const;
const WASM_PAGE_BYTES = 65536;
const BLOCK_PIXELS = 4;

function section(id: number, contents: readonly number[]): number[] {
  return [id, contents.length, ...contents];
}

/** A module with one memory "m" of one page, and the function "f". All sizes in it are below 128, so one byte each. */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  const body = [0, ...CODE];
  return new Uint8Array([
    ...HEAD,
    ...section(1, [1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, 1, 0x6d, 2, 0, 1, 0x66, 0, 0]),
    ...section(10, [1, body.length, ...body]),
  ]);
}

type Turn = (from: number, to: number, byteLength: number) => void;

/** A picture in RGBA that lies in the function's memory, and a place beside it for what is to be converted. */
export class SimdSwizzle {
  /** The picture: `width * height` pixels. */
  readonly image: Uint8ClampedArray<ArrayBuffer>;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #width: number;
  readonly #staging: number;
  readonly #turn: Turn;

  private constructor(memory: WebAssembly.Memory, turn: Turn, width: number, height: number) {
    const imageBytes = width * height * 4;
    this.#width = width;
    this.#turn = turn;
    this.#staging = Math.ceil(imageBytes / 16) * 16;
    const needed = Math.ceil((2 * this.#staging + 32) / WASM_PAGE_BYTES) - 1;
    if (needed > 0) memory.grow(needed);
    const buffer = memory.buffer as ArrayBuffer;
    this.image = new Uint8ClampedArray(buffer, 0, imageBytes);
    this.#words = new Uint32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
  }

  /** Null where WebAssembly, its SIMD or so much memory can't be had. */
  static create(width: number, height: number): SimdSwizzle | null {
    try {
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes()));
      const { m: memory, f: turn } = exports;
      if (!(memory instanceof WebAssembly.Memory) || typeof turn !== "function") return null;
      return new SimdSwizzle(memory, turn as Turn, width, height);
    } catch {
      return null;
    }
  }

  /** Converts rows of `source` (bytes; the first pixel is at `offset`) to `x`, `y` of the picture. */
  put(
    source: Uint8Array | Uint8ClampedArray,
    offset: number,
    stride: number,
    rect: { readonly x: number; readonly y: number; readonly width: number; readonly height: number },
  ): void {
    const { x, y, width, height } = rect;
    const rowBytes = width * 4;
    if (width === this.#width && stride === rowBytes) {
      // Whole rows without gaps are one row.
      this.#row(source, offset, y * this.#width, width * height);
      return;
    }
    for (let row = 0; row < height; row += 1) {
      this.#row(source, offset + row * stride, (y + row) * this.#width + x, width);
    }
  }

  #row(source: Uint8Array | Uint8ClampedArray, offset: number, at: number, count: number): void {
    this.#bytes.set(source.subarray(offset, offset + count * 4), this.#staging);
    const whole = count - (count % BLOCK_PIXELS);
    if (whole > 0) this.#turn(this.#staging, at * 4, whole * 4);
    turnWords(this.#words, (this.#staging >> 2) + whole, this.#words, at + whole, count - whole);
  }
}

/** The same in JavaScript, two pixels at a time, which is the quickest there. */
export function turnWords(from: Uint32Array, at: number, to: Uint32Array, out: number, count: number): void {
  const end = at + count;
  let source = at;
  let target = out;
  for (; source + 2 <= end; source += 2, target += 2) {
    const one = from[source] as number;
    const two = from[source + 1] as number;
    to[target] = 0xff00_0000 | ((one & 0xff) << 16) | (one & 0xff00) | ((one >>> 16) & 0xff);
    to[target + 1] = 0xff00_0000 | ((two & 0xff) << 16) | (two & 0xff00) | ((two >>> 16) & 0xff);
  }
  if (source === end) return;
  const last = from[source] as number;
  to[target] = 0xff00_0000 | ((last & 0xff) << 16) | (last & 0xff00) | ((last >>> 16) & 0xff);
}

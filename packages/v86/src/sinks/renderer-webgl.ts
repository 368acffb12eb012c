/**
 * A canvas by WebGL2: what changed goes into a texture as it is, straight from where the device has it, and a shader puts the
 * channels in their places. The cursor is a second texture, blended over.
 */
import type { CursorImage, PixelRect, ScanoutPixels } from "@virtgpu/core/device";
import { FORMATS } from "@virtgpu/core/wire";
import type { CanvasLike, CanvasRenderer } from "./canvas-types.ts";

const CURSOR_SIZE = 64;
const PIXEL_BYTES = 4;

/** One rectangle, in the clip space of the canvas; its picture's rows go down. */
const VERTEX = `#version 300 es
uniform vec4 place;
out vec2 at;
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(place.xy + at * place.zw, 0.0, 1.0);
}`;

/** Each row of `channels` picks one channel of the texture; \`alpha\` is added to the fourth. */
const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D picture;
uniform mat4 channels;
uniform float alpha;
in vec2 at;
out vec4 color;
void main() {
  vec4 found = texture(picture, at);
  color = found * channels;
  color.a += alpha;
}`;

/** See the file's head. Null where there is no WebGL2. `restored` is called when a lost context is there again. */
export function createWebglRenderer(canvas: CanvasLike, restored: () => void): CanvasRenderer | null {
  const context = canvas.getContext("webgl2", {
    alpha: false,
    antialias: false,
    depth: false,
    stencil: false,
    desynchronized: true,
    // A frame without damage keeps the last one.
    preserveDrawingBuffer: true,
  });
  if (!isContext(context)) return null;
  try {
    return new RendererWebgl(canvas, context, restored);
  } catch {
    return null;
  }
}

function isContext(context: unknown): context is WebGL2RenderingContext {
  return typeof context === "object" && context !== null && "texSubImage2D" in context;
}

interface Program {
  readonly program: WebGLProgram;
  readonly place: WebGLUniformLocation | null;
  readonly channels: WebGLUniformLocation | null;
  readonly alpha: WebGLUniformLocation | null;
}

class RendererWebgl implements CanvasRenderer {
  readonly kind = "webgl2";
  readonly #canvas: CanvasLike;
  readonly #gl: WebGL2RenderingContext;
  #program: Program;
  #picture: WebGLTexture | null = null;
  #cursor: WebGLTexture | null = null;
  #size: { readonly width: number; readonly height: number } | null = null;
  #format = 0;
  /** For pictures that do not lie in one piece. */
  #scratch: Uint8Array = new Uint8Array(0);
  readonly #lost: (event: { preventDefault(): void }) => void;
  readonly #restored: () => void;

  constructor(canvas: CanvasLike, gl: WebGL2RenderingContext, restored: () => void) {
    this.#canvas = canvas;
    this.#gl = gl;
    this.#program = buildProgram(gl);
    this.#lost = (event) => event.preventDefault();
    this.#restored = () => {
      this.#program = buildProgram(gl);
      this.#picture = null;
      this.#cursor = null;
      restored();
    };
    canvas.addEventListener?.("webglcontextlost", this.#lost);
    canvas.addEventListener?.("webglcontextrestored", this.#restored);
  }

  resize(size: { readonly width: number; readonly height: number } | null): void {
    const gl = this.#gl;
    this.#size = size;
    gl.deleteTexture(this.#picture);
    this.#picture = null;
    if (size === null) {
      gl.clearColor(0, 0, 0, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      return;
    }
    this.#canvas.width = size.width;
    this.#canvas.height = size.height;
    gl.viewport(0, 0, size.width, size.height);
    this.#picture = this.#makeTexture(size.width, size.height);
  }

  upload(pixels: ScanoutPixels, rect: PixelRect): void {
    const gl = this.#gl;
    this.#format = pixels.format;
    gl.bindTexture(gl.TEXTURE_2D, this.#picture);
    const view = pixels.view();
    const { x, y, width, height } = rect;
    if (view === null || view.stride % PIXEL_BYTES !== 0) {
      const byteLength = width * height * PIXEL_BYTES;
      if (this.#scratch.byteLength < byteLength) this.#scratch = new Uint8Array(byteLength);
      pixels.read(rect, this.#scratch, 0, width * PIXEL_BYTES);
      this.#put(rect, this.#scratch, 0, width);
    } else {
      const start = view.offset + y * view.stride + x * PIXEL_BYTES;
      this.#put(rect, view.bytes, start, view.stride / PIXEL_BYTES);
    }
  }

  present(cursor: CursorImage | null, fresh: boolean): void {
    const size = this.#size;
    if (size === null || this.#picture === null) return;
    const gl = this.#gl;
    gl.useProgram(this.#program.program);
    gl.disable(gl.BLEND);
    const { red, green, blue } = FORMATS.get(this.#format) ?? { red: 2, green: 1, blue: 0 };
    this.#draw(this.#picture, { x: 0, y: 0, ...size }, size, [red, green, blue, -1]);
    if (cursor === null) return;
    if (fresh || this.#cursor === null) this.#takeCursor(cursor);
    if (this.#cursor === null) return;
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
    const rect = { x: cursor.x - cursor.hotX, y: cursor.y - cursor.hotY, width: CURSOR_SIZE, height: CURSOR_SIZE };
    this.#draw(this.#cursor, rect, size, [0, 1, 2, 3]);
  }

  dispose(): void {
    const gl = this.#gl;
    this.#canvas.removeEventListener?.("webglcontextlost", this.#lost);
    this.#canvas.removeEventListener?.("webglcontextrestored", this.#restored);
    gl.deleteTexture(this.#picture);
    gl.deleteTexture(this.#cursor);
    gl.deleteProgram(this.#program.program);
  }

  #put(rect: PixelRect, bytes: Uint8Array | Uint8ClampedArray, start: number, rowPixels: number): void {
    const gl = this.#gl;
    gl.pixelStorei(gl.UNPACK_ROW_LENGTH, rowPixels);
    gl.texSubImage2D(
      gl.TEXTURE_2D,
      0,
      rect.x,
      rect.y,
      rect.width,
      rect.height,
      gl.RGBA,
      gl.UNSIGNED_BYTE,
      bytes,
      start,
    );
  }

  #takeCursor(cursor: CursorImage): void {
    const gl = this.#gl;
    this.#cursor ??= this.#makeTexture(CURSOR_SIZE, CURSOR_SIZE);
    gl.bindTexture(gl.TEXTURE_2D, this.#cursor);
    this.#put({ x: 0, y: 0, width: CURSOR_SIZE, height: CURSOR_SIZE }, cursor.rgba, 0, CURSOR_SIZE);
  }

  #makeTexture(width: number, height: number): WebGLTexture | null {
    const gl = this.#gl;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, width, height);
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) {
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    }
    for (const wrap of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, wrap, gl.CLAMP_TO_EDGE);
    return texture;
  }

  /** `order`: which channel of the texture becomes red, green, blue and alpha; -1: full. */
  #draw(
    texture: WebGLTexture,
    rect: PixelRect,
    size: { readonly width: number; readonly height: number },
    order: readonly number[],
  ): void {
    const gl = this.#gl;
    const { place, channels, alpha } = this.#program;
    const x = (rect.x / size.width) * 2 - 1;
    const y = 1 - (rect.y / size.height) * 2;
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform4f(place, x, y, (rect.width / size.width) * 2, (-rect.height / size.height) * 2);
    // A row vector times a matrix: each column of it makes one channel, and columns are what is handed over first.
    const matrix = order.flatMap((from) => [0, 1, 2, 3].map((channel) => (channel === from ? 1 : 0)));
    gl.uniformMatrix4fv(channels, false, matrix);
    gl.uniform1f(alpha, order[3] === -1 ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

function buildProgram(gl: WebGL2RenderingContext): Program {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind);
    if (shader === null) throw new TypeError("no shader can be made");
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (gl.getProgramParameter(program, gl.LINK_STATUS) !== true && !gl.isContextLost()) {
    throw new TypeError(`the shaders do not link: ${gl.getProgramInfoLog(program) ?? ""}`);
  }
  return {
    program,
    place: gl.getUniformLocation(program, "place"),
    channels: gl.getUniformLocation(program, "channels"),
    alpha: gl.getUniformLocation(program, "alpha"),
  };
}

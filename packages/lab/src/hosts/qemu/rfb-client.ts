/**
 * A small client of QEMU's VNC server (RFB 3.8, RFC 6143) over a unix socket: a second pair of eyes on an output. It
 * sees what `screendump` can't, flushes (only flushed rectangles are sent) and the cursor, and it can ask for another
 * size, which the guest meets as a display change.
 */
import { connect, type Socket } from "node:net";
import { GpuError } from "@virtgpu/core/base";
import type { RgbPicture } from "./ppm.ts";

/** A rectangle that the server sent. */
export interface RfbRectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The cursor as the server told it: 3 bytes a pixel, and which pixels belong to it. */
export interface RfbCursor extends RgbPicture {
  readonly hotX: number;
  readonly hotY: number;
  /** 1 where the pixel is part of the cursor, else 0; one byte a pixel. */
  readonly mask: Uint8Array;
}

const ENCODING_RAW = 0;
const ENCODING_DESKTOP_SIZE = -223;
const ENCODING_CURSOR = -239;
const ENCODING_EXTENDED_DESKTOP_SIZE = -308;
const ENCODINGS = [ENCODING_RAW, ENCODING_CURSOR, ENCODING_DESKTOP_SIZE, ENCODING_EXTENDED_DESKTOP_SIZE] as const;
const BYTES_PER_PIXEL = 4;
/** Bounds of what a server may have us keep: a picture's sides and pixels, a cursor's sides, bytes of a text, rectangles. */
const SIDE_MAX = 16_384;
const PIXELS_MAX = 64 << 20;
const CURSOR_SIDE_MAX = 1024;
const TEXT_BYTES_MAX = 1 << 20;
const RECTANGLES_KEPT = 10_000;

/** Bytes in, exact counts out, in order. */
class ByteStream {
  #chunks: Buffer[] = [];
  #available = 0;
  #want: { readonly count: number; resolve(bytes: Buffer): void; reject(error: GpuError): void } | null = null;
  #ended = false;

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#available += chunk.length;
      this.#serve();
    });
    socket.on("error", () => this.#end());
    socket.on("close", () => this.#end());
  }

  async take(count: number): Promise<Buffer> {
    return new Promise<Buffer>((resolve, reject) => {
      this.#want = { count, resolve, reject };
      if (this.#ended && this.#available < count) this.#end();
      else this.#serve();
    });
  }

  #end(): void {
    this.#ended = true;
    this.#want?.reject(new GpuError("ENODEV", "the VNC server has ended the connection"));
    this.#want = null;
  }

  #serve(): void {
    const want = this.#want;
    if (want === null || this.#available < want.count) return;
    const all =
      this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks = all.length > want.count ? [all.subarray(want.count)] : [];
    this.#available -= want.count;
    this.#want = null;
    want.resolve(all.subarray(0, want.count));
  }
}

/** One connection to one output's VNC server. */
export class RfbClient {
  readonly #socket: Socket;
  readonly #stream: ByteStream;
  readonly #rectangles: RfbRectangle[] = [];
  readonly #changed = new Set<() => void>();
  #width = 0;
  #height = 0;
  #pixels = new Uint8Array(0);
  #cursor: RfbCursor | null = null;
  #updates = 0;
  #failure: GpuError | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#stream = new ByteStream(socket);
  }

  /** Connects, shakes hands and asks for the whole picture. */
  static async connect(path: string): Promise<RfbClient> {
    return RfbClient.over(connect(path));
  }

  /** The same over a connection that somebody made. */
  static async over(socket: Socket): Promise<RfbClient> {
    const client = new RfbClient(socket);
    await client.#handshake();
    client.#chooseFormat();
    client.requestUpdate(false);
    void client.#listen();
    return client;
  }

  /** Rectangles of pixels received so far (the last 10,000), oldest first. Empty it by assigning `length = 0`. */
  get rectangles(): RfbRectangle[] {
    return this.#rectangles;
  }

  /** The last cursor picture, or null before the first. */
  get cursor(): RfbCursor | null {
    return this.#cursor;
  }

  /** Updates received so far. */
  get updates(): number {
    return this.#updates;
  }

  /** The picture as far as the server has told it. */
  get picture(): RgbPicture {
    const { width, height } = { width: this.#width, height: this.#height };
    return { width, height, rgb: toRgb(this.#pixels) };
  }

  /** Asks for all pixels, or (incremental) for what changes from now on. */
  requestUpdate(incremental: boolean): void {
    const request = Buffer.alloc(10);
    request.writeUInt8(3, 0);
    request.writeUInt8(incremental ? 1 : 0, 1);
    request.writeUInt16BE(this.#width, 6);
    request.writeUInt16BE(this.#height, 8);
    this.#socket.write(request);
  }

  /** Asks the display for another size (SetDesktopSize): the guest gets a display change. */
  setDesktopSize(width: number, height: number): void {
    const request = Buffer.alloc(24);
    request.writeUInt8(251, 0);
    request.writeUInt16BE(width, 2);
    request.writeUInt16BE(height, 4);
    request.writeUInt8(1, 6);
    request.writeUInt16BE(width, 16);
    request.writeUInt16BE(height, 18);
    this.#socket.write(request);
  }

  /** Resolves once `condition` holds, looked at after every update. Throws GpuError ETIMEDOUT, ENODEV. */
  async until(condition: () => boolean, deadlineMs: number = 10_000): Promise<void> {
    const giveUpAt = performance.now() + deadlineMs;
    while (!condition()) {
      if (this.#failure !== null) throw this.#failure;
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0) throw new GpuError("ETIMEDOUT", `the VNC server showed nothing of it for ${deadlineMs} ms`);
      await this.#nextChange(leftMs);
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy();
  }

  async #nextChange(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#changed.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#changed.add(done);
    });
  }

  async #handshake(): Promise<void> {
    await this.#stream.take(12);
    this.#socket.write("RFB 003.008\n");
    const kinds = await this.#stream.take((await this.#stream.take(1)).readUInt8());
    if (!kinds.includes(1)) throw new GpuError("EPROTO", "the VNC server wants a password");
    this.#socket.write(Uint8Array.of(1));
    const result = (await this.#stream.take(4)).readUInt32BE();
    if (result !== 0) throw new GpuError("EPROTO", "the VNC server refused us");
    this.#socket.write(Uint8Array.of(1));
    const init = await this.#stream.take(24);
    this.#resize(init.readUInt16BE(0), init.readUInt16BE(2));
    await this.#skipText(init.readUInt32BE(20));
  }

  /** Little-endian pixels of 32 bits, blue in the lowest byte. */
  #chooseFormat(): void {
    const format = Buffer.alloc(20);
    format.set([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0]);
    const encodings = Buffer.alloc(4 + 4 * ENCODINGS.length);
    encodings.writeUInt8(2, 0);
    encodings.writeUInt16BE(ENCODINGS.length, 2);
    for (const [index, encoding] of ENCODINGS.entries()) encodings.writeInt32BE(encoding, 4 + 4 * index);
    this.#socket.write(Buffer.concat([format, encodings]));
  }

  async #listen(): Promise<void> {
    try {
      for (;;) await this.#takeMessage();
    } catch (error) {
      this.#failure =
        error instanceof GpuError ? error : new GpuError("EPROTO", "the VNC stream is broken", { cause: error });
      this.#socket.destroy();
    }
    this.#announce();
  }

  async #takeMessage(): Promise<void> {
    const kind = (await this.#stream.take(1)).readUInt8();
    if (kind === 2) return;
    if (kind === 3) {
      await this.#skipText((await this.#stream.take(7)).readUInt32BE(3));
      return;
    }
    if (kind !== 0) throw new GpuError("EPROTO", `the VNC server sent a message of kind ${kind}`);
    const count = (await this.#stream.take(3)).readUInt16BE(1);
    for (let index = 0; index < count; index += 1) await this.#takeRectangle();
    this.#updates += 1;
    this.#announce();
    this.requestUpdate(true);
  }

  async #skipText(byteLength: number): Promise<void> {
    if (byteLength > TEXT_BYTES_MAX) throw new GpuError("EPROTO", `the VNC server has a text of ${byteLength} bytes`);
    await this.#stream.take(byteLength);
  }

  async #takeRectangle(): Promise<void> {
    const head = await this.#stream.take(12);
    const place = {
      x: head.readUInt16BE(0),
      y: head.readUInt16BE(2),
      width: head.readUInt16BE(4),
      height: head.readUInt16BE(6),
    };
    switch (head.readInt32BE(8)) {
      case ENCODING_RAW:
        this.#checkPlace(place);
        this.#paint(place, await this.#stream.take(place.width * place.height * BYTES_PER_PIXEL));
        return;
      case ENCODING_CURSOR:
        await this.#takeCursor(place);
        return;
      case ENCODING_EXTENDED_DESKTOP_SIZE:
        await this.#stream.take(16 * (await this.#stream.take(4)).readUInt8());
        this.#resize(place.width, place.height);
        return;
      case ENCODING_DESKTOP_SIZE:
        this.#resize(place.width, place.height);
        return;
      default:
        throw new GpuError("EPROTO", `the VNC server used an encoding that was not offered`);
    }
  }

  async #takeCursor({ x, y, width, height }: RfbRectangle): Promise<void> {
    if (width > CURSOR_SIDE_MAX || height > CURSOR_SIDE_MAX) {
      throw new GpuError("EPROTO", `the VNC server has a cursor of ${width}x${height} pixels`);
    }
    const pixels = await this.#stream.take(width * height * BYTES_PER_PIXEL);
    const rowBytes = Math.ceil(width / 8);
    const bits = await this.#stream.take(rowBytes * height);
    const mask = new Uint8Array(width * height);
    for (let index = 0; index < mask.length; index += 1) {
      const column = index % width;
      const byte = bits[Math.floor(index / width) * rowBytes + (column >> 3)] ?? 0;
      mask[index] = (byte >> (7 - (column & 7))) & 1;
    }
    this.#cursor = { width, height, hotX: x, hotY: y, rgb: toRgb(pixels), mask };
  }

  #checkPlace({ x, y, width, height }: RfbRectangle): void {
    if (x + width > this.#width || y + height > this.#height) {
      throw new GpuError("EPROTO", "the VNC server painted outside its picture");
    }
  }

  #paint(place: RfbRectangle, bytes: Buffer): void {
    const rowBytes = place.width * BYTES_PER_PIXEL;
    for (let row = 0; row < place.height; row += 1) {
      const target = ((place.y + row) * this.#width + place.x) * BYTES_PER_PIXEL;
      this.#pixels.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target);
    }
    this.#rectangles.push(place);
    if (this.#rectangles.length > RECTANGLES_KEPT) this.#rectangles.shift();
  }

  #resize(width: number, height: number): void {
    if (width === this.#width && height === this.#height) return;
    if (width > SIDE_MAX || height > SIDE_MAX || width * height > PIXELS_MAX) {
      throw new GpuError("EPROTO", `the VNC server has a picture of ${width}x${height} pixels`);
    }
    this.#width = width;
    this.#height = height;
    this.#pixels = new Uint8Array(width * height * BYTES_PER_PIXEL);
  }

  #announce(): void {
    for (const done of this.#changed) done();
  }
}

/** Blue, green, red, unused per pixel to red, green, blue. */
function toRgb(pixels: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((pixels.length / BYTES_PER_PIXEL) * 3);
  for (let source = 0, target = 0; target < rgb.length; source += BYTES_PER_PIXEL, target += 3) {
    rgb[target] = pixels[source + 2] ?? 0;
    rgb[target + 1] = pixels[source + 1] ?? 0;
    rgb[target + 2] = pixels[source] ?? 0;
  }
  return rgb;
}

/**
 * Pictures from files: PNG (ISO/IEC 15948), any colour type and depth. A file may hold anything: its header is judged
 * before anything is unpacked.
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";
import { convertIndexedToRgb, decode, type DecodedPng } from "fast-png";
import { UsageError } from "../../usage-error.ts";

/** Pixels of a picture: four bytes each (blue, green, red, 255), row after row. */
export interface ScenePicture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** What matters of a file's header. */
interface Header {
  readonly width: number;
  readonly height: number;
  readonly colourType: number;
  readonly bitsPerPixel: number;
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const PICTURE_CHUNKS: ReadonlySet<string> = new Set(["IHDR", "IDAT", "tRNS", "IEND"]);
const INDEXED = 3;
/** Samples a pixel, by colour type. */
const CHANNELS: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [2, 3],
  [3, 1],
  [4, 2],
  [6, 4],
]);
const FILE_BYTES_MAX = 256 << 20;
/** An output takes 16 pixels at least, and this project's device 16384 at most. */
const SIDE_MIN = 16;
const SIDE_MAX = 16384;
const PIXELS_MAX = 64 << 20;
/** Behind transparent pixels. */
const GROUND = 0x20;

/** Reads a picture. Throws UsageError that says what is wrong with the file, which people call `name`. */
export function readPicture(path: string, name: string = path): ScenePicture {
  const bytes = readFile(path, name);
  const header = checkHeader(name, bytes);
  try {
    return toPixels(decode(plainPng(bytes, header), { checkCrc: true }));
  } catch (error) {
    throw new UsageError(`${name} is a broken PNG: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The file with nothing but its picture in it: what else there may be is not for us to unpack. */
function plainPng(bytes: Buffer, header: Header): Uint8Array {
  const pieces: Buffer[] = [SIGNATURE];
  const packed: Buffer[] = [];
  let at = SIGNATURE.length;
  for (let type = ""; type !== "IEND"; ) {
    if (at + 12 > bytes.length) throw new RangeError("it is cut short");
    const end = at + 12 + bytes.readUInt32BE(at);
    if (end > bytes.length) throw new RangeError("it is cut short");
    type = bytes.toString("latin1", at + 4, at + 8);
    const isWanted = type === "PLTE" ? header.colourType === INDEXED : PICTURE_CHUNKS.has(type);
    if (isWanted) pieces.push(bytes.subarray(at, end));
    if (type === "IDAT") packed.push(bytes.subarray(at + 8, end - 4));
    at = end;
  }
  checkUnpackedSize(Buffer.concat(packed), header);
  return new Uint8Array(Buffer.concat(pieces));
}

/** Pixels that unpack to far more than the picture's size are an attack, to less a damaged file. */
function checkUnpackedSize(packed: Buffer, { width, height, bitsPerPixel }: Header): void {
  const rowBytes = Math.ceil((width * bitsPerPixel) / 8) + 1;
  // An interlaced picture comes in seven passes, whose rows are padded each.
  const most = rowBytes * height + 16 * (width + height) + 1024;
  let byteLength: number;
  try {
    byteLength = inflateSync(packed, { maxOutputLength: most }).length;
  } catch (error) {
    const isTooMuch = error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
    throw new RangeError(isTooMuch ? "it unpacks to more than its pixels" : "its pixels can't be unpacked");
  }
  if (byteLength < (rowBytes - 1) * height) throw new RangeError("it ends before its last row");
}

function readFile(path: string, name: string): Buffer {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new UsageError(`the picture ${name} can't be read: ${reason(error)}`);
  }
  try {
    const status = fstatSync(file);
    if (!status.isFile()) throw new UsageError(`${name} is no file`);
    if (status.size > FILE_BYTES_MAX) throw new UsageError(`${name} has more than ${FILE_BYTES_MAX >> 20} MiB`);
    return readFileSync(file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`the picture ${name} can't be read: ${reason(error)}`);
  } finally {
    closeSync(file);
  }
}

function reason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const known: Readonly<Record<string, string>> = { ENOENT: "there is no such file", EACCES: "permission denied" };
  return known[code] ?? (error instanceof Error ? error.message : String(error));
}

function checkHeader(path: string, bytes: Buffer): Header {
  if (bytes.length < 33 || !bytes.subarray(0, 8).equals(SIGNATURE)) {
    throw new UsageError(`${path} is not a PNG; convert it, for example with: magick ${path} picture.png`);
  }
  const [width, height, depth, colourType] = [16, 20]
    .map((at) => bytes.readUInt32BE(at))
    .concat([...bytes.subarray(24, 26)]);
  const channels = CHANNELS.get(colourType ?? -1);
  if (bytes.toString("latin1", 12, 16) !== "IHDR" || channels === undefined || ![1, 2, 4, 8, 16].includes(depth ?? 0)) {
    throw new UsageError(`${path} is a broken PNG: its header can't be`);
  }
  const header = {
    width: width ?? 0,
    height: height ?? 0,
    colourType: colourType ?? 0,
    bitsPerPixel: channels * (depth ?? 8),
  };
  const sides = [header.width, header.height];
  if (!sides.every((side) => side >= SIDE_MIN && side <= SIDE_MAX) || header.width * header.height > PIXELS_MAX) {
    throw new UsageError(
      `${path} has ${sides.join("x")} pixels; an output shows ${SIDE_MIN} to ${SIDE_MAX} a side, ${PIXELS_MAX >> 20} million together`,
    );
  }
  return header;
}

/** One to four samples a pixel, of 8 bits. */
interface Samples {
  readonly channels: number;
  readonly data: Uint8Array;
}

function toPixels(png: DecodedPng): ScenePicture {
  const { width, height } = png;
  const { channels, data } = png.palette === undefined ? samplesOf(png) : fromPalette(png);
  if (data.length < width * height * channels) throw new RangeError("it ends before its last row");
  const pixels = new Uint8Array(width * height * 4);
  const isGrey = channels < 3;
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    const at = pixel * channels;
    const alpha = channels === 2 || channels === 4 ? (data[at + channels - 1] ?? 0) / 255 : 1;
    for (let channel = 0; channel < 3; channel += 1) {
      const value = data[at + (isGrey ? 0 : channel)] ?? 0;
      pixels[pixel * 4 + 2 - channel] = Math.round(GROUND + (value - GROUND) * alpha);
    }
    pixels[pixel * 4 + 3] = 0xff;
  }
  return { width, height, pixels };
}

function fromPalette(png: DecodedPng): Samples {
  return { channels: png.palette?.[0]?.length ?? 3, data: convertIndexedToRgb(png) };
}

/** Samples of 1, 2, 4 or 16 bits as 8; the one colour that is transparent gets its alpha. */
function samplesOf({ width, height, depth, channels, data, transparency }: DecodedPng): Samples {
  const wide = depth < 8 ? unpack(data, width, height, depth) : data;
  const scale = 255 / (2 ** depth - 1);
  const isClear = (at: number): boolean =>
    transparency !== undefined &&
    transparency.length >= channels &&
    Array.from({ length: channels }, (_, channel) => channel).every(
      (channel) => wide[at + channel] === transparency[channel],
    );
  const withAlpha = transparency !== undefined && transparency.length > 0 && channels % 2 === 1;
  const stride = withAlpha ? channels + 1 : channels;
  const out = new Uint8Array((wide.length / channels) * stride);
  for (let from = 0, to = 0; from < wide.length; from += channels, to += stride) {
    for (let channel = 0; channel < channels; channel += 1) {
      out[to + channel] = Math.round((wide[from + channel] ?? 0) * scale);
    }
    if (withAlpha) out[to + channels] = isClear(from) ? 0 : 255;
  }
  return { channels: stride, data: out };
}

/** Grey samples of less than a byte; each row begins with a byte of its own. */
function unpack(data: ArrayLike<number>, width: number, height: number, depth: number): Uint8Array {
  const rowBytes = Math.ceil((width * depth) / 8);
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const bit = x * depth;
      const byte = data[y * rowBytes + (bit >> 3)] ?? 0;
      out[y * width + x] = (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
    }
  }
  return out;
}

/**
 * Pictures of every colour type and depth, and files that are none.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import { encode } from "fast-png";
import { afterAll, describe, expect, it } from "vitest";
import { UsageError } from "../../usage-error.ts";
import { readPicture } from "./picture-file.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-pictures-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SIDE = 16;

function chunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

function header(width: number, height: number, depth: number, colourType: number): Buffer {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.set([depth, colourType, 0, 0, 0], 8);
  return chunk("IHDR", data);
}

/** A PNG of rows that all are `row`, with whatever chunks come before them. */
function png(depth: number, colourType: number, row: readonly number[], ...before: Buffer[]): Buffer {
  const rows = Buffer.concat(Array.from({ length: SIDE }, () => Buffer.from([0, ...row])));
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  const tail = [chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([signature, header(SIDE, SIDE, depth, colourType), ...before, ...tail]);
}

function read(bytes: Uint8Array): ReturnType<typeof readPicture> {
  const path = join(folder, "picture.png");
  writeFileSync(path, bytes);
  return readPicture(path, "picture.png");
}

/** Red, green, blue of a pixel. */
function pixel(bytes: Uint8Array, x: number): readonly (number | undefined)[] {
  const { pixels } = read(bytes);
  return [pixels[x * 4 + 2], pixels[x * 4 + 1], pixels[x * 4]];
}

const times = (count: number, ...bytes: number[]): number[] => Array.from({ length: count }, () => bytes).flat();

describe("a picture from a file", () => {
  it.each([
    ["grey of 1 bit", png(1, 0, [0b01000000, 0]), [0, 0, 0], [255, 255, 255]],
    ["grey of 4 bits", png(4, 0, [0x0f, ...times(7, 0)]), [0, 0, 0], [255, 255, 255]],
    ["grey of 8 bits", png(8, 0, [7, 9, ...times(14, 0)]), [7, 7, 7], [9, 9, 9]],
    ["grey of 16 bits", png(16, 0, [0, 0, 255, 255, ...times(28, 0)]), [0, 0, 0], [255, 255, 255]],
    ["grey with alpha", png(8, 4, [200, 255, 200, 0, ...times(28, 0)]), [200, 200, 200], [32, 32, 32]],
    ["colour", png(8, 2, [1, 2, 3, 4, 5, 6, ...times(42, 0)]), [1, 2, 3], [4, 5, 6]],
    ["colour of 16 bits", png(16, 2, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, ...times(84, 0)]), [1, 2, 3], [4, 5, 6]],
    ["colour with alpha", png(8, 6, [1, 2, 3, 255, 9, 9, 9, 0, ...times(56, 0)]), [1, 2, 3], [32, 32, 32]],
    [
      "a palette of 4 bits, with alpha",
      png(
        4,
        3,
        [0x01, ...times(7, 0)],
        chunk("PLTE", Buffer.from([9, 8, 7, 1, 1, 1])),
        chunk("tRNS", Buffer.from([255, 0])),
      ),
      [9, 8, 7],
      [32, 32, 32],
    ],
    [
      "colour of which one is transparent",
      png(8, 2, [1, 2, 3, 4, 5, 6, ...times(42, 0)], chunk("tRNS", Buffer.from([0, 4, 0, 5, 0, 6]))),
      [1, 2, 3],
      [32, 32, 32],
    ],
    [
      "colour with a palette that is only a suggestion",
      png(8, 2, [1, 2, 3, 4, 5, 6, ...times(42, 0)], chunk("PLTE", Buffer.from([9, 9, 9]))),
      [1, 2, 3],
      [4, 5, 6],
    ],
  ])("may be %s", (_, bytes, first, second) => {
    expect([pixel(bytes, 0), pixel(bytes, 1)]).toEqual([first, second]);
  });

  it("may be interlaced", () => {
    const data = Uint8Array.from({ length: 33 * 21 * 3 }, (_, at) => (at * 7) & 255);
    const bytes = encode({ width: 33, height: 21, data, channels: 3, depth: 8 }, { interlace: "Adam7" });
    const { width, height, pixels } = read(bytes);
    expect([width, height]).toEqual([33, 21]);
    expect([pixels[4 * 700 - 4 * 10 + 2], pixels[2]]).toEqual([data[690 * 3], data[0]]);
  });

  it.each([
    ["a row too few", (whole: Buffer) => replaceData(whole, Buffer.alloc((SIDE - 1) * 49)), /ends before its last row/],
    ["far more than its pixels", (whole: Buffer) => replaceData(whole, Buffer.alloc(1 << 20)), /unpacks to more/],
    ["garbage for pixels", (whole: Buffer) => replaceChunk(whole, Buffer.from("no deflate")), /can't be unpacked/],
    ["a wrong checksum", (whole: Buffer) => flip(whole, 29), /broken PNG/],
    ["no end", (whole: Buffer) => whole.subarray(0, whole.length - 12), /cut short/],
    ["an unknown colour type", () => png(8, 5, times(16, 0)), /header can't be/],
    ["fewer pixels than an output shows", () => sized(8, 8), /8x8 pixels/],
    ["more pixels than an output shows", () => sized(16384, 16384), /16384x16384 pixels/],
  ])("is refused with %s", (_, change, why) => {
    const whole = png(8, 2, times(16, 1, 2, 3));
    expect(() => read(change(whole))).toThrow(UsageError);
    expect(() => read(change(whole))).toThrow(why);
  });
});

const DATA_AT = 33;

function replaceChunk(whole: Buffer, data: Buffer): Buffer {
  return Buffer.concat([whole.subarray(0, DATA_AT), chunk("IDAT", data), chunk("IEND", Buffer.alloc(0))]);
}

const replaceData = (whole: Buffer, rows: Buffer): Buffer => replaceChunk(whole, deflateSync(rows));

function flip(whole: Buffer, at: number): Buffer {
  const bytes = Buffer.from(whole);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

function sized(width: number, height: number): Buffer {
  const whole = png(8, 2, times(16, 1, 2, 3));
  return Buffer.concat([whole.subarray(0, 8), header(width, height, 8, 2), whole.subarray(DATA_AT)]);
}

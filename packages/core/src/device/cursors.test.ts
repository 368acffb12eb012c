/**
 * The cursor queue, as QEMU takes it: no replies, no errors, and what is wrong keeps the old picture.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { type Command, encodeCommand } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, Format } from "../wire/gpu.ts";
import type { CursorImage, DisplaySink } from "./display-sink.ts";
import { toRgba } from "./pixels.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned, toBytes } from "./test-bench.ts";

const SIZE = { width: 64, height: 64 };
let bench: GpuBench;
let heard: string[];
let last: CursorImage | null;

beforeEach(() => {
  heard = [];
  last = null;
  const tell =
    (what: string) =>
    (output: number, cursor?: CursorImage): void => {
      heard.push(`${what} ${output}`);
      last = cursor === undefined ? null : { ...cursor, rgba: cursor.rgba.slice() };
    };
  const sink: DisplaySink = {
    scanout: () => {},
    flush: () => {},
    updateCursor: tell("update"),
    moveCursor: tell("move"),
    hideCursor: tell("hide"),
  };
  bench = new GpuBench({ sink, blob: true, outputs: [SIZE, SIZE] });
});

const update = (
  resourceId: number,
  fields: { scanoutId?: number; x?: number; y?: number } = {},
): Extract<Command, { op: "updateCursor" }> => ({
  op: "updateCursor",
  scanoutId: 0,
  x: 100,
  y: 50,
  hotX: 3,
  hotY: 4,
  resourceId,
  ...fields,
});
const move = (resourceId: number, fields: { x?: number; y?: number } = {}): Command => ({
  ...update(resourceId, fields),
  op: "moveCursor",
  hotX: 9,
  hotY: 9,
});

function rgbaOf(bytes: Uint8Array, format: number): Uint8Array {
  return toRgba({ bytes, offset: 0, stride: 256, format }, { ...SIZE, alpha: "keep" });
}

describe("UPDATE_CURSOR", () => {
  it("shows picture, hot spot and position, with the picture's own alpha", () => {
    const bytes = bench.picture(1, { ...SIZE, format: Format.B8G8R8A8 });
    bench.cursor(update(1));
    expect(heard).toEqual(["update 0"]);
    expect(last).toMatchObject({ x: 100, y: 50, hotX: 3, hotY: 4, visible: true });
    expect(firstDifference(last?.rgba, rgbaOf(bytes, Format.B8G8R8A8))).toBe(-1);
  });

  it("converts by the picture's format; X is alpha, as Linux's cursors need it (cursor-format)", () => {
    for (const [format, withAlpha] of [
      [Format.X8B8G8R8, Format.A8B8G8R8],
      [Format.B8G8R8X8, Format.B8G8R8A8],
      [Format.R8G8B8X8, Format.R8G8B8A8],
      [Format.X8R8G8B8, Format.A8R8G8B8],
    ] as const) {
      const bytes = bench.picture(format, { ...SIZE, format });
      bench.cursor(update(format));
      expect(firstDifference(last?.rgba, rgbaOf(bytes, withAlpha))).toBe(-1);
    }
  });

  it("applies hot spot and position but keeps the picture for an unknown id or another size", () => {
    const bytes = bench.picture(1, { ...SIZE, format: 1 });
    bench.picture(2, { width: 64, height: 63, format: 1 });
    bench.picture(3, { width: 128, height: 64, format: 1 });
    bench.cursor(update(1));
    for (const [id, x] of [
      [99, 1],
      [2, 2],
      [3, 3],
    ] as const) {
      bench.cursor(update(id, { x }));
      expect(last).toMatchObject({ x, visible: true });
      expect(firstDifference(last?.rgba, rgbaOf(bytes, 1))).toBe(-1);
    }
  });

  it("with id 0 hides the cursor; a move shows it again if it names a resource", () => {
    bench.picture(1, { ...SIZE, format: 1 });
    bench.cursor(update(1));
    bench.cursor(update(0));
    bench.cursor(move(1, { x: 7 }));
    expect(last).toMatchObject({ x: 7, y: 50, hotX: 3, hotY: 4, visible: true });
    bench.cursor(move(0));
    expect(heard).toEqual(["update 0", "hide 0", "move 0", "hide 0"]);
  });

  it("may lie over the left and upper edge", () => {
    bench.cursor(update(1, { x: 0xffff_fff0, y: 0xffff_ffff }));
    expect(last).toMatchObject({ x: -16, y: -1 });
  });

  it("takes a picture from a guest's blob, if all of it is backed (cursor-blob)", () => {
    const bytes = patterned(64 * 64 * 4, 8);
    bench.ram.write(FREE_MEMORY, bytes);
    const blob = (resourceId: number, size: number, byteLength: number): Command => ({
      op: "resourceCreateBlob",
      resourceId,
      blobMemory: BlobMemory.GUEST,
      blobFlags: BlobFlag.USE_SHAREABLE,
      blobIdLow: 0,
      blobIdHigh: 0,
      size,
      entries: byteLength === 0 ? [] : [{ address: FREE_MEMORY, byteLength }],
    });
    bench.run(blob(5, 16384, 16384), blob(6, 16384, 16380), blob(7, 16383, 16384), blob(8, 16384, 0));
    bench.cursor(update(5));
    const picture = last?.rgba;
    expect(firstDifference(picture, rgbaOf(bytes, 1))).toBe(-1);
    bench.ram.write(FREE_MEMORY, patterned(64 * 64 * 4, 9));
    for (const id of [6, 7, 8]) {
      bench.cursor(update(id));
      expect(firstDifference(last?.rgba, picture)).toBe(-1);
    }
  });
});

describe("the cursor queue", () => {
  it("returns every chain with nothing written, fenced or not, with room for a reply or not", () => {
    const header = { flags: 1, fenceLow: 1, fenceHigh: 2 };
    for (const capacity of [0, 24, 4096]) {
      const reply = bench.send(toBytes(encodeCommand(update(1), header)), { queue: 1, capacity });
      expect(reply.used).toBe(0);
    }
  });

  it("ignores outputs that are not there and requests that are too short", () => {
    bench.cursor(update(1, { scanoutId: 2 }));
    const whole = toBytes(encodeCommand(update(1)));
    for (const byteLength of [0, 1, 24, 55]) {
      expect(bench.send(whole.subarray(0, byteLength), { queue: 1, capacity: 24 }).used).toBe(0);
    }
    expect(heard).toEqual([]);
    const long = new Uint8Array(4096);
    long.set(whole);
    bench.send(long, { queue: 1, capacity: 4096 });
    expect(heard).toEqual(["update 0"]);
  });

  it("takes every type that is not MOVE_CURSOR for an update", () => {
    const request = encodeCommand(update(1));
    for (const type of [0, 0x100, 0x302, 0xffff_ffff]) {
      request[0] = type;
      bench.send(toBytes(request), { queue: 1, capacity: 0 });
    }
    expect(heard).toEqual(Array(4).fill("update 0"));
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Format } from "@virtgpu/core/wire";
import { type CanvasSink, type CanvasSinkOptions, canvasSink, combineSinks } from "../src/index.ts";
import { Damage } from "../src/sinks/damage.ts";
import { create2dRenderer } from "../src/sinks/renderer-2d.ts";
import { SimdSwizzle } from "../src/sinks/simd-swizzle.ts";
import { FakeCanvas, FakeImage, FakePicture, fakeCursor } from "./support/fake-canvas.ts";

/** A sink whose frames the test draws. */
function sinkOf(options: CanvasSinkOptions = {}): { canvas: FakeCanvas; sink: CanvasSink; frames: (() => void)[] } {
  const canvas = new FakeCanvas();
  const frames: (() => void)[] = [];
  const sink = canvasSink(canvas, { renderer: "2d", schedule: (draw) => frames.push(draw), ...options });
  return { canvas, sink, frames };
}

describe("a canvas sink", () => {
  it("takes the picture's size, and draws all of it with the next frame", () => {
    const { canvas, sink, frames } = sinkOf();
    const picture = new FakePicture(37, 21);
    sink.scanout(0, picture);
    expect(frames.length).toBe(1);
    frames[0]?.();
    expect([canvas.width, canvas.height]).toEqual([37, 21]);
    expect(canvas.pixels).toEqual(picture.rgba);
  });

  it("draws only what has changed, once a frame", () => {
    const { canvas, sink, frames } = sinkOf();
    const picture = new FakePicture(200, 100);
    sink.scanout(0, picture);
    frames.pop()?.();
    canvas.put = 0;
    const rects = [
      { x: 3, y: 4, width: 10, height: 10 },
      { x: 150, y: 80, width: 7, height: 9 },
    ];
    for (const rect of rects) {
      picture.change(5, rect);
      sink.flush(0, rect, picture);
    }
    expect(frames.length).toBe(1);
    frames.pop()?.();
    expect(canvas.pixels).toEqual(picture.rgba);
    expect(canvas.put).toBe(100 + 63);
  });

  it("draws no other output's picture, and none after it was disposed of", () => {
    const { canvas, sink, frames } = sinkOf();
    sink.scanout(1, new FakePicture(8, 8));
    expect(frames).toEqual([]);
    sink.scanout(0, new FakePicture(8, 8));
    sink.dispose();
    frames.pop()?.();
    expect(canvas.put).toBe(0);
  });

  it("turns black when there is nothing to show", () => {
    const { canvas, sink, frames } = sinkOf();
    sink.scanout(0, new FakePicture(4, 4));
    frames.pop()?.();
    sink.scanout(0, null);
    expect([...canvas.pixels.subarray(0, 8)]).toEqual([0, 0, 0, 255, 0, 0, 0, 255]);
  });

  it("tells of sizes and cursors", () => {
    const told: unknown[] = [];
    const { sink } = sinkOf({ onSize: (size) => told.push(size), onCursor: (cursor) => told.push(cursor?.x ?? null) });
    sink.scanout(0, new FakePicture(4, 5));
    sink.updateCursor(0, fakeCursor(9, 9));
    sink.hideCursor(0);
    sink.scanout(0, null);
    expect(told).toEqual([{ width: 4, height: 5 }, 9, null, null]);
  });

  it.each([
    ["in the picture", 20, 30, 3, 4],
    ["over the edge", 190, -10, 5, 6],
    ["outside", -200, 10, 0, 0],
  ])("draws the cursor by its hot spot %s, and puts back what was under it", (_, x, y, hotX, hotY) => {
    const { canvas, sink, frames } = sinkOf();
    const picture = new FakePicture(200, 100);
    sink.scanout(0, picture);
    sink.updateCursor(0, fakeCursor(x, y, hotX, hotY));
    frames.pop()?.();
    const below = picture.rgba;
    let worst = 0;
    for (let row = 0; row < 100; row += 1) {
      for (let column = 0; column < 200; column += 1) {
        const at = (row * 200 + column) * 4;
        const inRow = row - (y - hotY);
        const inColumn = column - (x - hotX);
        const alpha = inRow < 0 || inRow > 63 || inColumn < 0 || inColumn > 63 ? 0 : inRow < 32 ? 255 : 128;
        const red = below[at] ?? 0;
        worst = Math.max(worst, Math.abs((canvas.pixels[at] ?? 0) - (red + ((200 - red) * alpha) / 255)));
      }
    }
    expect(worst).toBeLessThanOrEqual(0.51);
    sink.moveCursor(0, fakeCursor(100, 50));
    frames.pop()?.();
    sink.hideCursor(0);
    frames.pop()?.();
    expect(canvas.pixels).toEqual(below);
  });

  it("says what can't be drawn on", () => {
    const canvas = { width: 1, height: 1, getContext: () => null };
    expect(() => canvasSink(canvas)).toThrow("the canvas can't be drawn on");
    expect(() => canvasSink(new FakeCanvas(), { renderer: "webgl2" })).toThrow("webgl2");
  });
});

describe("every way to turn pixels round", () => {
  const shapes = fc.record({
    width: fc.integer({ min: 1, max: 41 }),
    height: fc.integer({ min: 1, max: 9 }),
    gap: fc.constantFrom(0, 4, 12, 3),
    offset: fc.constantFrom(0, 4, 2),
    format: fc.constantFrom(Format.B8G8R8X8, Format.B8G8R8A8, Format.R8G8B8A8, Format.A8R8G8B8),
    scattered: fc.boolean(),
    images: fc.boolean(),
    part: fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
  });

  it("gives what the core's conversion gives, also for parts of rows", () => {
    fc.assert(
      fc.property(shapes, ({ width, height, images, part, ...rest }) => {
        const picture = new FakePicture(width, height, rest);
        const canvas = new FakeCanvas();
        const renderer = create2dRenderer(canvas, images ? FakeImage : null);
        renderer?.resize({ width, height });
        renderer?.upload(picture, { x: 0, y: 0, width, height });
        const x = Math.floor(part[0] * (width - 1));
        const y = Math.floor(part[1] * (height - 1));
        const rect = { x, y, width: width - x, height: Math.min(2, height - y) };
        picture.change(77, rect);
        renderer?.upload(picture, rect);
        renderer?.present(null, false);
        expect(canvas.pixels).toEqual(picture.rgba);
      }),
      { numRuns: 200 },
    );
  });

  it("is to be had as WebAssembly here", () => {
    expect(SimdSwizzle.create(1024, 768)?.image.length).toBe(1024 * 768 * 4);
  });
});

describe("damage", () => {
  const rects = fc.array(
    fc.record({
      x: fc.integer({ min: 0, max: 90 }),
      y: fc.integer({ min: 0, max: 90 }),
      width: fc.integer({ min: 1, max: 30 }),
      height: fc.integer({ min: 1, max: 30 }),
    }),
    { minLength: 1, maxLength: 40 },
  );

  it("is in few rectangles, which together hold all of it, and no more than what is around it", () => {
    fc.assert(
      fc.property(rects, (added) => {
        const damage = new Damage();
        for (const rect of added) damage.add(rect);
        const taken = damage.take();
        expect(taken.length).toBeLessThanOrEqual(8);
        expect(damage.isEmpty).toBe(true);
        for (const { x, y, width, height } of added) {
          const inside = taken.some(
            (rect) =>
              x >= rect.x && y >= rect.y && x + width <= rect.x + rect.width && y + height <= rect.y + rect.height,
          );
          expect(inside).toBe(true);
        }
        for (const rect of taken) expect(rect.x + rect.width).toBeLessThanOrEqual(120);
      }),
    );
  });

  it("merges what is close", () => {
    const damage = new Damage();
    damage.add({ x: 0, y: 0, width: 8, height: 16 });
    damage.add({ x: 8, y: 0, width: 8, height: 16 });
    damage.add({ x: 500, y: 0, width: 8, height: 16 });
    expect(damage.take().length).toBe(2);
  });
});

it("several sinks on one device each hear everything", () => {
  const one = sinkOf();
  const other = sinkOf({ output: 1 });
  const both = combineSinks([one.sink, other.sink]);
  both.scanout(0, new FakePicture(4, 4));
  both.scanout(1, new FakePicture(8, 8));
  one.frames.pop()?.();
  other.frames.pop()?.();
  expect([one.canvas.width, other.canvas.width]).toEqual([4, 8]);
});

/** A WebGL2 context that notes its calls; names in capitals are constants, here their own names. */
function fakeGl(): { gl: object; calls: [string, ...unknown[]][] } {
  const calls: [string, ...unknown[]][] = [];
  const gl = new Proxy(
    { texSubImage2D: true },
    {
      get: (_, name) => {
        if (typeof name !== "string" || name === name.toUpperCase()) return name;
        return (...values: unknown[]) => {
          calls.push([name, ...values]);
          return name === "getProgramParameter" ? true : name === "isContextLost" ? false : { name };
        };
      },
    },
  );
  return { gl, calls };
}

describe("a canvas sink with WebGL", () => {
  function make(): { sink: CanvasSink; calls: [string, ...unknown[]][]; frames: (() => void)[]; lose: () => void } {
    const { gl, calls } = fakeGl();
    const frames: (() => void)[] = [];
    const listeners = new Map<string, (event: { preventDefault(): void }) => void>();
    const canvas = {
      width: 0,
      height: 0,
      getContext: (kind: string) => (kind === "webgl2" ? gl : null),
      addEventListener: (type: string, listener: (event: { preventDefault(): void }) => void) =>
        void listeners.set(type, listener),
    };
    const sink = canvasSink(canvas, { schedule: (draw) => frames.push(draw) });
    return { sink, calls, frames, lose: () => listeners.get("webglcontextrestored")?.({ preventDefault: () => {} }) };
  }

  const uploads = (calls: [string, ...unknown[]][]): unknown[][] =>
    calls.filter(([name]) => name === "texSubImage2D").map(([, , , ...rest]) => rest);

  it("uploads what has changed from where the device has it, without a copy", () => {
    const { sink, calls, frames } = make();
    expect(sink.kind).toBe("webgl2");
    const picture = new FakePicture(64, 32, { gap: 64 });
    sink.scanout(0, picture);
    frames.pop()?.();
    calls.length = 0;
    sink.flush(0, { x: 5, y: 6, width: 7, height: 8 }, picture);
    frames.pop()?.();
    const stride = 64 * 4 + 64;
    expect(uploads(calls)).toEqual([[5, 6, 7, 8, "RGBA", "UNSIGNED_BYTE", picture.bytes, 6 * stride + 20]]);
    expect(calls).toContainEqual(["pixelStorei", "UNPACK_ROW_LENGTH", stride / 4]);
    expect(calls.filter(([name]) => name === "drawArrays").length).toBe(1);
  });

  it("draws the cursor over it, and uploads its picture only when that is another", () => {
    const { sink, calls, frames } = make();
    sink.scanout(0, new FakePicture(64, 32));
    sink.updateCursor(0, fakeCursor(3, 4));
    frames.pop()?.();
    expect(uploads(calls).length).toBe(2);
    expect(calls.filter(([name]) => name === "drawArrays").length).toBe(2);
    calls.length = 0;
    sink.moveCursor(0, fakeCursor(5, 6));
    frames.pop()?.();
    expect(uploads(calls).length).toBe(0);
    expect(calls.filter(([name]) => name === "drawArrays").length).toBe(2);
  });

  it("begins anew when the context was lost", () => {
    const { sink, calls, frames, lose } = make();
    sink.scanout(0, new FakePicture(64, 32));
    frames.pop()?.();
    calls.length = 0;
    lose();
    frames.pop()?.();
    expect(calls.some(([name]) => name === "linkProgram")).toBe(true);
    expect(uploads(calls).map((call) => call.slice(0, 4))).toEqual([[0, 0, 64, 32]]);
  });
});

/** The embedder's sink, renderer and tracer may throw: the guest is answered all the same, and the device goes on. */
import { describe, expect, it } from "vitest";
import { InvariantViolation, assert } from "../base/assert.ts";
import type { TraceEvent } from "../base/tracer.ts";
import type { Command, HeaderValues } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, GpuReply, HeaderFlag } from "../wire/gpu.ts";
import type { DisplaySink } from "./display-sink.ts";
import { MemoryRenderer } from "./memory-renderer.ts";
import type { Renderer } from "./renderer.ts";
import { FREE_MEMORY, GpuBench } from "./test-bench.ts";

const { OK_NODATA: OK, ERR_UNSPEC: U } = GpuReply;
const full = { x: 0, y: 0, width: 64, height: 64 };
const cursor = { scanoutId: 0, x: 3, y: 4, resourceId: 1, hotX: 0, hotY: 0 };

function fail(): never {
  throw new TypeError("the canvas is gone");
}

const brokenSink: DisplaySink = {
  scanout: fail,
  flush: fail,
  updateCursor: fail,
  moveCursor: fail,
  hideCursor: fail,
};

/** Everything of the renderer throws, but what is its description. */
function brokenRenderer(): Renderer {
  const renderer: Renderer = new MemoryRenderer({ bytesMax: 1 << 20 });
  renderer.fence = fail;
  return new Proxy(renderer, {
    get: (target, name) => (name === "capsets" ? target.capsets : fail),
  });
}

/** What was traced as gone wrong. */
function recorder(): { readonly tracer: { enabled: true; trace(event: TraceEvent): void }; readonly errors: string[] } {
  const errors: string[] = [];
  const trace = (event: TraceEvent): void => {
    if (event.kind === "message" && event.level === "error") errors.push(event.text);
  };
  return { tracer: { enabled: true, trace }, errors };
}

describe("a sink that throws", () => {
  it("costs its picture, and neither replies nor what the device knows", () => {
    const { tracer, errors } = recorder();
    const bench = new GpuBench({ sink: brokenSink, tracer });
    bench.picture(1, { width: 64, height: 64 });
    bench.run(
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
      { op: "resourceFlush", ...full, resourceId: 1 },
    );
    bench.cursor({ op: "updateCursor", ...cursor });
    bench.cursor({ op: "moveCursor", ...cursor, x: 9 });
    bench.cursor({ op: "updateCursor", ...cursor, resourceId: 0 });
    expect(errors.map((text) => text.split(" threw")[0])).toEqual(
      ["scanout", "flush", "updateCursor", "moveCursor", "hideCursor"].map((method) => `the sink's ${method}`),
    );
    expect(bench.device.screenshot(0)).toMatchObject({ width: 64, height: 64 });
    expect(bench.device.save().cursors[0]).toMatchObject({ x: 3, visible: false });
    bench.reset();
    expect(bench.device.usage.resources).toBe(0);
    bench.device.setSink(brokenSink);
    expect(bench.type({ op: "getDisplayInfo" })).toBe(GpuReply.OK_DISPLAY_INFO);
  });

  it("does not hide a failed assertion of ours", () => {
    const scanout = (): void => assert(false, "ours");
    const bench = new GpuBench();
    expect(() => bench.device.setSink({ ...brokenSink, scanout })).toThrow(InvariantViolation);
  });
});

describe("a renderer that throws", () => {
  const inContext: Partial<HeaderValues> = { contextId: 1 };
  const create3d: Command = {
    op: "resourceCreate3d",
    resourceId: 2,
    target: 2,
    format: 1,
    bind: 10,
    width: 64,
    height: 64,
    depth: 1,
    arraySize: 1,
    lastLevel: 0,
    sampleCount: 0,
    flags: 0,
  };
  const blob: Command = {
    op: "resourceCreateBlob",
    resourceId: 3,
    blobMemory: BlobMemory.HOST3D,
    blobFlags: BlobFlag.USE_MAPPABLE,
    blobIdLow: 1,
    blobIdHigh: 0,
    size: 4096,
    entries: [],
  };
  const context: Command = { op: "ctxCreate", nameLength: 0, contextInit: 0, debugName: new Uint8Array() };

  it("has its commands answered with ERR_UNSPEC, a fence at once, and is reset with the device", () => {
    const { tracer, errors } = recorder();
    const bench = new GpuBench({ renderer: brokenRenderer(), blob: true, hostVisibleBytes: 1 << 20, tracer });
    expect(bench.type({ op: "getCapset", capsetId: 1, capsetVersion: 1 })).toBe(U);
    expect(bench.type(context, inContext)).toBe(U);
    expect(bench.type(create3d)).toBe(U);
    expect(bench.type(blob)).toBe(U);
    expect(bench.type({ op: "getDisplayInfo" }, { flags: HeaderFlag.FENCE, fenceLow: 5 })).toBe(
      GpuReply.OK_DISPLAY_INFO,
    );
    bench.reset();
    expect(errors).toHaveLength(6);
    expect(errors.at(-1)).toBe("the renderer's reset threw: TypeError: the canvas is gone");
  });

  it("may break at any moment, with everything made", () => {
    const renderer = new MemoryRenderer({ bytesMax: 1 << 20 });
    const bench = new GpuBench({ renderer, blob: true, hostVisibleBytes: 1 << 20 });
    expect(bench.type(context, inContext)).toBe(OK);
    bench.run(create3d, blob, {
      op: "resourceAttachBacking",
      resourceId: 2,
      entries: [{ address: FREE_MEMORY, byteLength: 1 << 16 }],
    });
    Object.assign(renderer, Object.fromEntries(METHODS.map((name) => [name, fail])));
    const ofResource = { resourceId: 2 };
    expect(bench.type({ op: "submit3d", data: new Uint8Array(4) }, inContext)).toBe(U);
    expect(bench.type({ op: "ctxAttachResource", ...ofResource }, inContext)).toBe(U);
    expect(bench.type({ op: "ctxDetachResource", ...ofResource }, inContext)).toBe(U);
    const box = { ...full, z: 0, depth: 1, offset: 0, resourceId: 2, level: 0, stride: 0, layerStride: 0 };
    expect(bench.type({ op: "transferToHost3d", ...box })).toBe(U);
    expect(bench.type({ op: "transferFromHost3d", ...box })).toBe(U);
    expect(bench.type({ op: "setScanout", ...full, scanoutId: 0, ...ofResource })).toBe(U);
    bench.cursor({ op: "updateCursor", ...cursor, ...ofResource });
    expect(bench.type({ op: "resourceMapBlob", resourceId: 3, offset: 0 })).toBe(U);
    // What is not mapped is not unmapped.
    expect(bench.type({ op: "resourceUnmapBlob", resourceId: 3 })).toBe(U);
    expect(bench.type({ op: "resourceUnref", ...ofResource })).toBe(OK);
    expect(bench.type({ op: "ctxDestroy" }, inContext)).toBe(OK);
    bench.reset();
    expect(bench.device.usage.resources).toBe(0);
  });
});

const METHODS: readonly (keyof Renderer)[] = [
  "submit",
  "attachResource",
  "detachResource",
  "transferToHost",
  "transferFromHost",
  "pixels",
  "mapBlob",
  "unmapBlob",
  "destroyResource",
  "destroyContext",
  "reset",
];

describe("a tracer that throws", () => {
  it("is not heard of", () => {
    const bench = new GpuBench({ tracer: { enabled: true, trace: fail }, sink: brokenSink });
    bench.picture(1, { width: 64, height: 64 });
    bench.run({ op: "setScanout", ...full, scanoutId: 0, resourceId: 1 });
    bench.cursor({ op: "updateCursor", ...cursor });
    expect(bench.device.screenshot(0)).not.toBeNull();
  });
});

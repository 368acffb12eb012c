/**
 * 3D: capability sets, contexts, resources, blobs with host storage and their maps, fences, through the renderer in memory.
 */
import { describe, expect, it } from "vitest";
import type { Command } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, GpuFeature, GpuReply, HeaderFlag } from "../wire/gpu.ts";
import { featureBit } from "../wire/virtio.ts";
import { MemoryRenderer } from "./memory-renderer.ts";
import type { VirtioGpuDeviceOptions } from "./options.ts";
import { toRgba } from "./pixels.ts";
import type { Renderer } from "./renderer.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned } from "./test-bench.ts";

const { OK_NODATA: OK, OK_MAP_INFO, ERR_UNSPEC: U, ERR_INVALID_PARAMETER: P, ERR_INVALID_RESOURCE_ID: R } = GpuReply;
const C = GpuReply.ERR_INVALID_CONTEXT_ID;
const M = GpuReply.ERR_OUT_OF_MEMORY;
const WINDOW = 1 << 20;

function set3d(options: VirtioGpuDeviceOptions = {}): { bench: GpuBench; renderer: MemoryRenderer } {
  const renderer = new MemoryRenderer({ bytesMax: 8 << 20 });
  const bench = new GpuBench({ renderer, blob: true, hostVisibleBytes: WINDOW, ...options });
  return { bench, renderer };
}

const context: Command = { op: "ctxCreate", nameLength: 3, contextInit: 0, debugName: new TextEncoder().encode("app") };
const create3d = (resourceId: number, fields: object = {}): Command => ({
  op: "resourceCreate3d",
  resourceId,
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
  ...fields,
});
const hostBlob = (resourceId: number, size: number, fields: object = {}): Command => ({
  op: "resourceCreateBlob",
  resourceId,
  blobMemory: BlobMemory.HOST3D,
  blobFlags: BlobFlag.USE_MAPPABLE,
  blobIdLow: 1,
  blobIdHigh: 0,
  size,
  entries: [],
  ...fields,
});
const map = (resourceId: number, offset: number): Command => ({ op: "resourceMapBlob", resourceId, offset });
const box = { x: 0, y: 0, z: 0, width: 64, height: 64, depth: 1 };
const transfer = (op: "transferToHost3d" | "transferFromHost3d", fields: object = {}): Command => ({
  op,
  ...box,
  offset: 0,
  resourceId: 1,
  level: 0,
  stride: 0,
  layerStride: 0,
  ...fields,
});

describe("without a renderer, or without VIRGL negotiated", () => {
  it("3D commands are unspecified", () => {
    const plain = new GpuBench({ blob: true });
    const { bench } = set3d();
    expect(bench.device.features & 0b10001n).toBe(0b10001n);
    bench.reset(featureBit(GpuFeature.RESOURCE_BLOB));
    for (const { type } of [
      { type: (command: Command) => plain.type(command) },
      { type: (command: Command) => bench.type(command) },
    ]) {
      for (const command of [context, create3d(1), map(1, 0), { op: "ctxDestroy" }] satisfies Command[]) {
        expect(type(command)).toBe(U);
      }
      expect(type(hostBlob(1, 4096))).toBe(P);
    }
  });
});

describe("capability sets", () => {
  it("are counted, described, and given whole", () => {
    const { bench, renderer } = set3d();
    expect(bench.device.readConfig8(12)).toBe(1);
    expect(bench.reply({ op: "getCapsetInfo", capsetIndex: 0 })).toMatchObject({
      capsetId: 1,
      maxVersion: 1,
      maxSize: 308,
    });
    expect(bench.reply({ op: "getCapsetInfo", capsetIndex: 5 })).toMatchObject({
      capsetId: 0,
      maxVersion: 0,
      maxSize: 0,
    });
    renderer.capset = () => Uint8Array.of(1, 2, 3);
    const reply = bench.reply({ op: "getCapset", capsetId: 1, capsetVersion: 1 });
    if (reply?.code !== "okCapset") throw new Error("no capset");
    expect(reply.data.byteLength).toBe(308);
    expect([...reply.data.subarray(0, 4)]).toEqual([1, 2, 3, 0]);
    expect(bench.type({ op: "getCapset", capsetId: 2, capsetVersion: 0 })).toBe(P);
    expect(bench.type({ op: "getCapset", capsetId: 1, capsetVersion: 2 })).toBe(P);
  });
});

describe("contexts", () => {
  it("are made once, take resources and commands, and end", () => {
    const { bench, renderer } = set3d();
    bench.run(create3d(1));
    const inContext = { contextId: 5 };
    expect(bench.type(context)).toBe(C);
    expect(bench.type({ op: "ctxDestroy" }, inContext)).toBe(C);
    expect(bench.type(context, inContext)).toBe(OK);
    expect(bench.type(context, inContext)).toBe(C);
    expect(bench.type({ op: "ctxAttachResource", resourceId: 9 }, inContext)).toBe(R);
    expect(bench.type({ op: "ctxAttachResource", resourceId: 1 }, inContext)).toBe(OK);
    expect([...(renderer.contexts.get(5)?.resources ?? [])]).toEqual([1]);
    expect(bench.type({ op: "submit3d", data: patterned(64, 1) }, inContext)).toBe(OK);
    expect(renderer.submissions).toEqual([{ contextId: 5, commands: patterned(64, 1) }]);
    expect(bench.type({ op: "submit3d", data: patterned(64, 1) }, { contextId: 6 })).toBe(C);
    expect(bench.type({ op: "ctxDetachResource", resourceId: 1 }, inContext)).toBe(OK);
    expect(bench.type({ op: "ctxDetachResource", resourceId: 1 }, inContext)).toBe(R);
    expect(bench.type({ op: "ctxDestroy" }, inContext)).toBe(OK);
    expect(renderer.contexts.size).toBe(0);
  });

  it("name a capability set only with CONTEXT_INIT, and one that there is", () => {
    const { bench } = set3d();
    expect(bench.type({ ...context, contextInit: 2 }, { contextId: 1 })).toBe(P);
    expect(bench.type({ ...context, contextInit: 1 }, { contextId: 1 })).toBe(OK);
    bench.reset(bench.device.features & ~featureBit(GpuFeature.CONTEXT_INIT));
    expect(bench.type({ ...context, contextInit: 1 }, { contextId: 1 })).toBe(P);
  });

  it("are limited in number", () => {
    const { bench } = set3d({ contextsMax: 2 });
    expect([1, 2, 3].map((contextId) => bench.type(context, { contextId }))).toEqual([OK, OK, M]);
  });

  it("repeat the ring with the fence where CONTEXT_INIT was negotiated", () => {
    const { bench } = set3d();
    const header = { flags: HeaderFlag.FENCE | HeaderFlag.INFO_RING_IDX | 8, fenceLow: 9, contextId: 5, ringIndex: 63 };
    bench.type(context, { contextId: 5 });
    const send = (fields: object): readonly number[] => {
      bench.type({ op: "submit3d", data: new Uint8Array(4) }, { ...header, ...fields });
      return [...new Uint32Array(bench.ram.view(0x1c_0000, 24).slice().buffer)];
    };
    expect(send({})).toEqual([OK, 3, 9, 0, 5, 63]);
    expect(send({ ringIndex: 64 })).toEqual([P, 3, 9, 0, 5, 64]);
    bench.reset(bench.device.features & ~featureBit(GpuFeature.CONTEXT_INIT));
    bench.type(context, { contextId: 5 });
    expect(send({ ringIndex: 64 })).toEqual([OK, 1, 9, 0, 5, 0]);
  });
});

describe("3D resources", () => {
  it("take transfers both ways, by stride and level, and show", () => {
    const { bench, renderer } = set3d();
    const bytes = patterned(64 * 64 * 4, 3);
    bench.ram.write(FREE_MEMORY, bytes);
    bench.run(create3d(1, { lastLevel: 2 }));
    expect(bench.type(transfer("transferToHost3d"))).toBe(U);
    bench.run(
      { op: "resourceAttachBacking", resourceId: 1, entries: [{ address: FREE_MEMORY, byteLength: 1 << 16 }] },
      transfer("transferToHost3d"),
      { op: "setScanout", x: 0, y: 0, width: 64, height: 64, scanoutId: 0, resourceId: 1 },
      { op: "resourceFlush", x: 0, y: 0, width: 64, height: 64, resourceId: 1 },
    );
    const whole = { width: 64, height: 64, alpha: "opaque" } as const;
    const rgba = toRgba({ bytes, offset: 0, stride: 256, format: 1 }, whole);
    expect(firstDifference(bench.device.screenshot(0)?.rgba, rgba)).toBe(-1);
    bench.run(
      transfer("transferToHost3d", { level: 2, x: 4, y: 2, width: 8, height: 3, stride: 100, offset: 20 }),
      transfer("transferFromHost3d", { level: 2, width: 16, height: 16, offset: 0x8000 }),
    );
    const level = bench.ram.view(FREE_MEMORY + 0x8000, 16 * 16 * 4);
    const row = level.subarray(3 * 64 + 16, 3 * 64 + 48);
    expect(firstDifference(row, bytes.subarray(120, 152))).toBe(-1);
    expect(bench.type(transfer("transferToHost3d", { width: 65 }))).toBe(P);
    expect(bench.type(transfer("transferToHost3d", { level: 3 }))).toBe(P);
    expect(bench.type(transfer("transferToHost3d"), { contextId: 4 })).toBe(C);
    bench.run({ op: "resourceUnref", resourceId: 1 });
    expect(renderer.usedBytes).toBe(0);
    expect(bench.device.screenshot(0)).toBeNull();
  });

  it("are refused with ids in use, formats unknown, or beyond the renderer's memory", () => {
    const { bench } = set3d();
    bench.run(create3d(1));
    expect(bench.type(create3d(1))).toBe(R);
    expect(bench.type(create3d(0))).toBe(R);
    expect(bench.type(create3d(2, { format: 77 }))).toBe(P);
    expect(bench.type(create3d(2, { width: 0xffff_ffff }))).toBe(P);
    expect(bench.type(create3d(2, { width: 4096, height: 4096 }))).toBe(M);
    expect(bench.type(create3d(2, { target: 0, format: 64, width: 100, height: 1 }))).toBe(OK);
  });
});

describe("blobs with host storage", () => {
  it("appear in the host-visible region while they are mapped, and nowhere else", () => {
    const { bench } = set3d();
    const [region] = bench.device.sharedMemory;
    if (region === undefined) throw new Error("no region");
    expect({ id: region.id, byteLength: region.bytes.byteLength }).toEqual({ id: 1, byteLength: WINDOW });
    bench.run(hostBlob(1, 8192));
    expect(bench.reply(map(1, 4096))).toEqual({ code: "okMapInfo", mapInfo: 1 });
    region.bytes.set(patterned(8192, 4), 4096);
    bench.run({ op: "resourceUnmapBlob", resourceId: 1 });
    expect(region.bytes.every((byte) => byte === 0)).toBe(true);
    bench.run(map(1, 65536));
    expect(firstDifference(region.bytes.subarray(65536, 65536 + 8192), patterned(8192, 4))).toBe(-1);
    bench.run({ op: "resourceUnref", resourceId: 1 });
    expect(region.bytes.every((byte) => byte === 0)).toBe(true);
  });

  it("are mapped once, inside, aligned, and over no other", () => {
    const { bench } = set3d();
    bench.run(hostBlob(1, 8192), hostBlob(2, 4096), hostBlob(3, 4096, { blobFlags: 0 }), hostBlob(4, WINDOW + 4096));
    bench.run({
      op: "resourceCreateBlob",
      resourceId: 5,
      blobMemory: BlobMemory.GUEST,
      blobFlags: BlobFlag.USE_MAPPABLE,
      blobIdLow: 0,
      blobIdHigh: 0,
      size: 4096,
      entries: [{ address: FREE_MEMORY, byteLength: 4096 }],
    });
    expect(bench.type(map(9, 0))).toBe(R);
    expect(bench.type(map(3, 0)), "not mappable").toBe(P);
    expect(bench.type(map(5, 0)), "the guest's own").toBe(P);
    expect(bench.type(map(4, 0)), "too large").toBe(P);
    for (const offset of [1, 100, WINDOW - 4096, WINDOW, 2 ** 40, 2 ** 60]) expect(bench.type(map(1, offset))).toBe(P);
    expect(bench.type({ op: "resourceUnmapBlob", resourceId: 1 })).toBe(U);
    expect(bench.type(map(1, 8192))).toBe(OK_MAP_INFO);
    expect(bench.type(map(1, 0)), "twice").toBe(U);
    expect(bench.type(map(2, 8192))).toBe(P);
    expect(bench.type(map(2, 12288))).toBe(P);
    expect(bench.type(map(2, 4096))).toBe(OK_MAP_INFO);
    bench.run({ op: "resourceUnmapBlob", resourceId: 2 });
    expect(bench.type(map(2, 16384))).toBe(OK_MAP_INFO);
  });

  it("show, and name contexts that there are", () => {
    const { bench, renderer } = set3d();
    expect(bench.type(hostBlob(1, 16384), { contextId: 3 })).toBe(C);
    expect(bench.type(hostBlob(1, 16384, { entries: [{ address: FREE_MEMORY, byteLength: 4096 }] }))).toBe(P);
    bench.run(hostBlob(1, 16384));
    renderer.pixels(1)?.bytes.set(patterned(16384, 6));
    bench.run({
      op: "setScanoutBlob",
      ...box,
      scanoutId: 0,
      resourceId: 1,
      framebufferWidth: 64,
      framebufferHeight: 64,
      format: 67,
      strides: [256, 0, 0, 0],
      offsets: [0, 0, 0, 0],
    } as Command);
    const source = { bytes: patterned(16384, 6), offset: 0, stride: 256, format: 67 };
    const rgba = toRgba(source, { width: 64, height: 64, alpha: "opaque" });
    expect(firstDifference(bench.device.screenshot(0)?.rgba, rgba)).toBe(-1);
  });

  it("leave nothing behind over a reset", () => {
    const { bench, renderer } = set3d();
    bench.run(hostBlob(1, 8192), map(1, 0), create3d(2));
    bench.type(context, { contextId: 1 });
    bench.device.sharedMemory[0]?.bytes.fill(7, 0, 8192);
    bench.reset();
    expect(bench.device.sharedMemory[0]?.bytes.every((byte) => byte === 0)).toBe(true);
    expect({ contexts: renderer.contexts.size, bytes: renderer.usedBytes }).toEqual({ contexts: 0, bytes: 0 });
    bench.run(hostBlob(1, 8192), map(1, 0));
  });
});

describe("fences of a renderer that takes its time", () => {
  function slow(): { bench: GpuBench; signals: (() => void)[]; asked: (number | null)[] } {
    const signals: (() => void)[] = [];
    const asked: (number | null)[] = [];
    const renderer: Renderer = new MemoryRenderer();
    renderer.fence = (_contextId, ringIndex, signal) => {
      asked.push(ringIndex);
      signals.push(signal);
    };
    return { bench: new GpuBench({ renderer }), signals, asked };
  }
  const fenced = { flags: HeaderFlag.FENCE, fenceLow: 7 };

  it("hold the reply back until they are signalled, once; other commands pass", () => {
    const { bench, signals, asked } = slow();
    const [driver] = bench.drivers;
    bench.type({ op: "getDisplayInfo" }, fenced);
    expect(driver?.usedIndex).toBe(0);
    expect(() => bench.device.save()).toThrow(expect.objectContaining({ code: "EBUSY" }));
    bench.ram.write(0x1c_0000, new Uint8Array(4));
    expect(bench.type({ op: "resourceUnref", resourceId: 1 }, fenced), "errors do not wait").toBe(R);
    const interrupts = bench.host.interrupts.length;
    signals[0]?.();
    signals[0]?.();
    expect(driver?.usedIndex).toBe(2);
    expect(driver?.used(1)).toEqual({ id: 0, length: 408 });
    expect(bench.host.interrupts.length).toBe(interrupts + 1);
    expect(asked).toEqual([null]);
    bench.device.save();
  });

  it("are dropped by a reset: never answered afterwards", () => {
    const { bench, signals } = slow();
    bench.type({ op: "getDisplayInfo" }, fenced);
    bench.reset();
    bench.type({ op: "getDisplayInfo" }, fenced);
    bench.ram.write(0x1c_0000, new Uint8Array(24).fill(0x55));
    signals[0]?.();
    expect(() => bench.device.save(), "the new one is pending").toThrow(expect.objectContaining({ code: "EBUSY" }));
    expect(bench.drivers[0]?.usedIndex).toBe(0);
    expect(bench.ram.view(0x1c_0000, 24).every((byte) => byte === 0x55)).toBe(true);
  });

  it("write nothing once the queue was reset, and count no more", () => {
    const { bench, signals } = slow();
    bench.type({ op: "getDisplayInfo" }, fenced);
    bench.queues[0]?.close();
    bench.ram.write(0x1c_0000, new Uint8Array(24).fill(0x55));
    signals[0]?.();
    expect(bench.ram.view(0x1c_0000, 24).every((byte) => byte === 0x55)).toBe(true);
    bench.device.save();
  });

  it("that are signalled at once cost nothing", () => {
    const renderer: Renderer = new MemoryRenderer();
    renderer.fence = (_contextId, _ringIndex, signal) => signal();
    const bench = new GpuBench({ renderer });
    expect(bench.type({ op: "getDisplayInfo" }, fenced)).toBe(GpuReply.OK_DISPLAY_INFO);
  });
});

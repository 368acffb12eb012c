/**
 * What the sink hears and screenshots show: transfers by QEMU's offset rule, mirrored scanouts, flush intersections,
 * hotplug, what a reset keeps.
 */
import { describe, expect, it } from "vitest";
import { GpuConfig } from "../wire/gpu.gen.ts";
import { GpuReply } from "../wire/gpu.ts";
import type { DisplaySink, ScanoutPixels } from "./display-sink.ts";
import type { PixelRect } from "./pixels.ts";
import { toRgba } from "./pixels.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned } from "./test-bench.ts";

const full = { x: 0, y: 0, width: 64, height: 64 };
const two = [
  { width: 1280, height: 800 },
  { width: 800, height: 600 },
];

/** Writes down what it hears. */
class RecordingSink implements DisplaySink {
  readonly heard: string[] = [];
  pixels: ScanoutPixels | null = null;

  scanout(output: number, pixels: ScanoutPixels | null): void {
    this.pixels = pixels;
    this.heard.push(
      `scanout ${output} ${pixels === null ? "off" : `${pixels.width}x${pixels.height} ${pixels.format}`}`,
    );
  }

  flush(output: number, { x, y, width, height }: PixelRect): void {
    this.heard.push(`flush ${output} ${x},${y} ${width}x${height}`);
  }

  updateCursor(output: number): void {
    this.heard.push(`update ${output}`);
  }

  moveCursor(output: number): void {
    this.heard.push(`move ${output}`);
  }

  hideCursor(output: number): void {
    this.heard.push(`hide ${output}`);
  }

  take(): string[] {
    return this.heard.splice(0);
  }
}

describe("transfers", () => {
  it("take rows a pitch apart from the offset; the rectangle's place counts for the host's copy alone", () => {
    const bench = new GpuBench();
    const backing = bench.picture(1, { width: 64, height: 64 });
    const expected = backing.slice();
    const fresh = patterned(backing.byteLength, 99);
    bench.ram.write(FREE_MEMORY, fresh);
    bench.run(
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
      { op: "transferToHost2d", x: 8, y: 4, width: 16, height: 10, offset: 1000, resourceId: 1 },
    );
    for (let row = 0; row < 10; row += 1) {
      const source = 1000 + row * 256;
      expected.set(fresh.subarray(source, source + 64), (4 + row) * 256 + 32);
    }
    const rgba = toRgba({ bytes: expected, offset: 0, stride: 256, format: 2 }, { ...full, alpha: "opaque" });
    expect(firstDifference(bench.device.screenshot(0)?.rgba, rgba)).toBe(-1);
  });

  it("of full width are one linear copy from the offset, over scattered pages", () => {
    const bench = new GpuBench();
    const entries = [3, 1, 0, 2].map((page) => ({ address: FREE_MEMORY + page * 8192 + 40, byteLength: 4000 }));
    const bytes = patterned(16000, 4);
    for (const [index, { address }] of entries.entries()) {
      bench.ram.write(address, bytes.subarray(index * 4000, index * 4000 + 4000));
    }
    bench.run(
      { op: "resourceCreate2d", resourceId: 1, format: 67, width: 64, height: 64 },
      { op: "resourceAttachBacking", resourceId: 1, entries },
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
      { op: "transferToHost2d", x: 0, y: 3, width: 64, height: 50, offset: 12, resourceId: 1 },
    );
    const expected = new Uint8Array(64 * 64 * 4);
    expected.set(bytes.subarray(12, 12 + 50 * 256), 3 * 256);
    const rgba = toRgba({ bytes: expected, offset: 0, stride: 256, format: 67 }, { ...full, alpha: "opaque" });
    expect(firstDifference(bench.device.screenshot(0)?.rgba, rgba)).toBe(-1);
  });

  it("show without a flush, and not before they are made", () => {
    const bench = new GpuBench();
    bench.run(
      { op: "resourceCreate2d", resourceId: 1, format: 2, width: 64, height: 64 },
      { op: "resourceAttachBacking", resourceId: 1, entries: [{ address: FREE_MEMORY, byteLength: 16384 }] },
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
    );
    bench.ram.write(FREE_MEMORY, new Uint8Array(16384).fill(0x80));
    expect(bench.device.screenshot(0)?.rgba.subarray(0, 4)).toEqual(Uint8Array.of(0, 0, 0, 255));
    bench.run({ op: "transferToHost2d", ...full, offset: 0, resourceId: 1 });
    expect(bench.device.screenshot(0)?.rgba.subarray(0, 4)).toEqual(Uint8Array.of(0x80, 0x80, 0x80, 255));
  });
});

describe("the sink", () => {
  it("hears each scanout's part of a flush, in its own coordinates", () => {
    const sink = new RecordingSink();
    const bench = new GpuBench({ sink, outputs: two });
    bench.picture(1, { width: 64, height: 64 });
    bench.run(
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
      { op: "setScanout", x: 16, y: 16, width: 32, height: 32, scanoutId: 1, resourceId: 1 },
    );
    expect(sink.take()).toEqual(["scanout 0 64x64 2", "scanout 1 32x32 2"]);
    bench.run({ op: "resourceFlush", x: 8, y: 20, width: 16, height: 4, resourceId: 1 });
    expect(sink.take()).toEqual(["flush 0 8,20 16x4", "flush 1 0,4 8x4"]);
    bench.run({ op: "resourceFlush", x: 0, y: 0, width: 16, height: 64, resourceId: 1 });
    expect(sink.take()).toEqual(["flush 0 0,0 16x64"]);
    bench.run({ op: "resourceUnref", resourceId: 1 });
    expect(sink.take()).toEqual(["scanout 0 off", "scanout 1 off"]);
  });

  it("hears nothing of a resource that its scanout left", () => {
    const sink = new RecordingSink();
    const bench = new GpuBench({ sink });
    bench.picture(1, { width: 64, height: 64 });
    bench.picture(2, { width: 64, height: 64 });
    bench.run(
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 1 },
      { op: "setScanout", ...full, scanoutId: 0, resourceId: 2 },
    );
    sink.take();
    bench.run({ op: "resourceFlush", ...full, resourceId: 1 }, { op: "resourceUnref", resourceId: 1 });
    expect(sink.take()).toEqual([]);
  });

  it("reads pixels without a copy, clipped, and as RGBA", () => {
    const sink = new RecordingSink();
    const bench = new GpuBench({ sink });
    const bytes = bench.picture(1, { width: 64, height: 64 });
    bench.run({ op: "setScanout", x: 10, y: 20, width: 32, height: 40, scanoutId: 0, resourceId: 1 });
    const view = sink.pixels?.view();
    expect(view).toMatchObject({ offset: 20 * 256 + 40, stride: 256, format: 2 });
    expect(firstDifference(view?.bytes, bytes)).toBe(-1);
    const target = new Uint8Array(8 * 32).fill(0x55);
    sink.pixels?.read({ x: -2, y: 38, width: 8, height: 8 }, target, 0, 32);
    expect([...target.subarray(0, 8)]).toEqual(Array(8).fill(0x55));
    expect(firstDifference(target.subarray(8, 32), bytes.subarray(58 * 256 + 40, 58 * 256 + 64))).toBe(-1);
    expect(firstDifference(target.subarray(64), new Uint8Array(192).fill(0x55))).toBe(-1);
    const rgba = new Uint8ClampedArray(4);
    sink.pixels?.readRgba({ x: 3, y: 4, width: 1, height: 1 }, rgba, 0, 4);
    const at = 24 * 256 + 13 * 4;
    expect([...rgba]).toEqual([bytes[at + 2], bytes[at + 1], bytes[at], 255]);
  });

  it("is told of everything when it comes later", () => {
    const bench = new GpuBench({ outputs: two });
    bench.picture(1, { width: 64, height: 64 });
    bench.run({ op: "setScanout", ...full, scanoutId: 1, resourceId: 1 });
    bench.cursor({ op: "updateCursor", scanoutId: 1, x: 0, y: 0, resourceId: 1, hotX: 0, hotY: 0 });
    const sink = new RecordingSink();
    bench.device.setSink(sink);
    expect(sink.take()).toEqual(["scanout 0 off", "scanout 1 64x64 2", "hide 0", "update 1"]);
  });
});

describe("hotplug", () => {
  const events = (bench: GpuBench): number => bench.device.readConfig8(GpuConfig.EVENTS_READ);

  it("raises EVENT_DISPLAY, and shows in display info and EDID", () => {
    const bench = new GpuBench({ outputs: [{ width: 1280, height: 800 }, null] });
    const edid = bench.reply({ op: "getEdid", scanoutId: 1 });
    bench.device.setOutput(1, { width: 1920, height: 1080, refreshHz: 50, name: "second" });
    expect(events(bench)).toBe(1);
    expect(bench.host.configChanges).toBe(1);
    const info = bench.reply({ op: "getDisplayInfo" });
    expect(info?.code === "okDisplayInfo" ? info.modes[1] : null).toMatchObject({
      width: 1920,
      height: 1080,
      enabled: 1,
    });
    expect(bench.reply({ op: "getEdid", scanoutId: 1 })).not.toEqual(edid);
    bench.device.setOutput(1, null);
    expect(bench.host.configChanges).toBe(2);
    const after = bench.reply({ op: "getDisplayInfo" });
    expect(after?.code === "okDisplayInfo" ? after.modes[1] : null).toMatchObject({ width: 0, height: 0, enabled: 0 });
    expect(bench.device.outputs[1]).toMatchObject({ enabled: false, width: 1920 });
  });

  it("says nothing when nothing changes", () => {
    const bench = new GpuBench();
    bench.device.setOutput(0, { width: 1280, height: 800 });
    expect(bench.host.configChanges).toBe(0);
  });

  it("ends with events_clear, which clears what is written and nothing else", () => {
    const bench = new GpuBench();
    bench.device.setOutput(0, null);
    bench.device.writeConfig(GpuConfig.EVENTS_CLEAR, 4, 0xffff_fffe);
    bench.device.writeConfig(GpuConfig.EVENTS_READ, 4, 0);
    bench.device.writeConfig(GpuConfig.NUM_SCANOUTS, 4, 9);
    bench.device.writeConfig(GpuConfig.EVENTS_CLEAR + 2, 2, 1);
    bench.device.writeConfig(64, 4, 1);
    expect(events(bench)).toBe(1);
    expect(bench.device.readConfig8(GpuConfig.NUM_SCANOUTS)).toBe(1);
    bench.device.writeConfig(GpuConfig.EVENTS_CLEAR, 1, 1);
    expect(events(bench)).toBe(0);
    expect(bench.device.readConfig8(GpuConfig.EVENTS_CLEAR)).toBe(0);
    expect([-1, 16, 20, 4096].map((at) => bench.device.readConfig8(at))).toEqual([0, 0, 0, 0]);
  });

  it("refuses outputs and sizes that can't be, having changed nothing", () => {
    const bench = new GpuBench();
    for (const layout of [
      { width: 0, height: 10 },
      { width: 10.5, height: 10 },
      { width: 10, height: 16385 },
      { width: 640, height: 480, refreshHz: Number.NaN },
      { width: 640, height: 480, widthMm: -1 },
      { width: 640, height: 480, name: "a name that is far too long" },
    ]) {
      expect(() => bench.device.setOutput(0, layout)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    }
    expect(() => bench.device.setOutput(1, null)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(() => bench.device.screenshot(1)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    expect(bench.device.outputs).toMatchObject([{ width: 1280, height: 800, enabled: true }]);
    expect(bench.host.configChanges).toBe(0);
  });
});

describe("a reset", () => {
  it("wipes resources and scanouts, and keeps layout, events and the cursor's picture", () => {
    const sink = new RecordingSink();
    const bench = new GpuBench({ sink, outputs: two });
    bench.picture(1, { width: 64, height: 64 });
    bench.run({ op: "setScanout", ...full, scanoutId: 0, resourceId: 1 });
    bench.cursor({ op: "updateCursor", scanoutId: 0, x: 5, y: 6, resourceId: 1, hotX: 1, hotY: 2 });
    bench.device.setOutput(1, { width: 1024, height: 768 });
    sink.take();
    const cursor = bench.device.save().cursors[0];
    bench.reset();
    expect(sink.take()).toEqual(["scanout 0 off"]);
    expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
    expect(bench.device.screenshot(0)).toBeNull();
    expect(bench.type({ op: "resourceFlush", ...full, resourceId: 1 })).toBe(GpuReply.ERR_INVALID_RESOURCE_ID);
    expect(bench.device.readConfig8(GpuConfig.EVENTS_READ)).toBe(1);
    expect(bench.device.outputs[1]).toMatchObject({ width: 1024, height: 768 });
    expect(bench.device.save().cursors[0]).toEqual(cursor);
    bench.picture(1, { width: 64, height: 64 });
  });

  it("keeps resources and scanouts on a host of the other kind", () => {
    const bench = new GpuBench({ keepResourcesOverReset: true });
    bench.picture(1, { width: 64, height: 64 });
    bench.run({ op: "setScanout", ...full, scanoutId: 0, resourceId: 1 });
    const before = bench.device.screenshot(0);
    bench.reset();
    expect(firstDifference(bench.device.screenshot(0)?.rgba, before?.rgba)).toBe(-1);
    const create = { op: "resourceCreate2d", resourceId: 1, format: 2, width: 64, height: 64 } as const;
    expect(bench.type(create)).toBe(GpuReply.ERR_INVALID_RESOURCE_ID);
  });
});

/**
 * Blobs in the guest's memory: creation, and scanouts in every format straight from scattered pages.
 */
import { describe, expect, it } from "vitest";
import { SeededRandom } from "../sim/index.ts";
import type { Command } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, FORMATS, GpuFeature, GpuReply } from "../wire/gpu.ts";
import { featureBit } from "../wire/virtio.ts";
import type { ScanoutPixels } from "./display-sink.ts";
import { toRgba } from "./pixels.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned } from "./test-bench.ts";

const { OK_NODATA: OK, ERR_UNSPEC: U, ERR_INVALID_PARAMETER: P, ERR_INVALID_RESOURCE_ID: R } = GpuReply;
const PAGE = 4096;

type BlobFields = Partial<Extract<Command, { op: "resourceCreateBlob" }>>;
type ScanoutFields = Partial<Extract<Command, { op: "setScanoutBlob" }>>;

const createBlob = (fields: BlobFields = {}): Command => ({
  op: "resourceCreateBlob",
  resourceId: 5,
  blobMemory: BlobMemory.GUEST,
  blobFlags: BlobFlag.USE_SHAREABLE,
  blobIdLow: 0,
  blobIdHigh: 0,
  size: 8 * PAGE,
  entries: scattered(8),
  ...fields,
});

const scanoutBlob = (fields: ScanoutFields = {}): Command => ({
  op: "setScanoutBlob",
  x: 0,
  y: 0,
  width: 64,
  height: 64,
  scanoutId: 0,
  resourceId: 5,
  framebufferWidth: 64,
  framebufferHeight: 64,
  format: 2,
  strides: [256, 0, 0, 0],
  offsets: [0, 0, 0, 0],
  ...fields,
});

/** Pages that do not follow one another. */
function scattered(pages: number): { address: number; byteLength: number }[] {
  return Array.from({ length: pages }, (_, index) => ({
    address: FREE_MEMORY + ((index * 5) % (2 * pages + 1)) * 2 * PAGE,
    byteLength: PAGE,
  }));
}

/** Writes to the blob's pages in their order. */
function fill(bench: GpuBench, entries: readonly { address: number; byteLength: number }[], bytes: Uint8Array): void {
  let at = 0;
  for (const { address, byteLength } of entries) {
    bench.ram.write(address, bytes.subarray(at, at + byteLength));
    at += byteLength;
  }
}

describe("RESOURCE_CREATE_BLOB", () => {
  it("refuses ids, flags, kinds of memory and entries that can't be (blob-flags, blob-memory)", () => {
    const bench = new GpuBench({ blob: true });
    expect(bench.type(createBlob({ resourceId: 0 }))).toBe(R);
    expect(bench.type(createBlob({ blobFlags: 8 }))).toBe(P);
    expect(bench.type(createBlob({ blobMemory: 0 }))).toBe(P);
    expect(bench.type(createBlob({ blobMemory: 4 }))).toBe(P);
    expect(bench.type(createBlob({ blobMemory: BlobMemory.HOST3D, entries: [] }))).toBe(P);
    expect(bench.type(createBlob({ blobMemory: BlobMemory.HOST3D_GUEST }))).toBe(P);
    expect(bench.type(createBlob({ entries: [{ address: 1 << 30, byteLength: PAGE }] }))).toBe(U);
    expect(bench.type(createBlob({ entries: [{ address: FREE_MEMORY, byteLength: 0 }] }))).toBe(U);
    expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
    expect(bench.type(createBlob())).toBe(OK);
    expect(bench.type(createBlob())).toBe(R);
    expect(bench.device.usage).toEqual({ resources: 1, hostBytes: 0, entries: 8 });
  });

  it("takes no entries, which come with ATTACH_BACKING", () => {
    const bench = new GpuBench({ blob: true });
    bench.run(createBlob({ entries: [] }));
    expect(bench.type(scanoutBlob())).toBe(U);
    bench.run({ op: "resourceAttachBacking", resourceId: 5, entries: scattered(8) }, scanoutBlob());
    expect(bench.device.screenshot(0)?.width).toBe(64);
  });

  it("wants sizes in multiples of the alignment where that was negotiated", () => {
    const bench = new GpuBench({ blob: true, blobAlignment: 16384 });
    expect(bench.device.configBytes).toBe(20);
    expect([16, 17, 18, 19].map((at) => bench.device.readConfig8(at))).toEqual([0, 0x40, 0, 0]);
    expect(bench.type(createBlob({ size: 8 * PAGE + PAGE }))).toBe(P);
    expect(bench.type(createBlob({ size: 8 * PAGE }))).toBe(OK);
    bench.reset(bench.device.features & ~featureBit(GpuFeature.BLOB_ALIGNMENT));
    expect(bench.type(createBlob({ size: 8 * PAGE + PAGE }))).toBe(OK);
  });

  it("takes sizes beyond 32 bits, but not beyond 53", () => {
    const bench = new GpuBench({ blob: true });
    expect(bench.type(createBlob({ size: 2 ** 40 }))).toBe(OK);
    expect(bench.type(createBlob({ resourceId: 6, size: 2 ** 60 }))).toBe(P);
  });
});

describe("commands on a guest blob", () => {
  it("need no transfer: it is OK, and needs backing all the same", () => {
    const bench = new GpuBench({ blob: true });
    bench.run(createBlob({ entries: [] }));
    const transfer = { op: "transferToHost2d", x: 9, y: 9, width: 9, height: 9, offset: 9, resourceId: 5 } as const;
    expect(bench.type(transfer)).toBe(U);
    bench.run({ op: "resourceAttachBacking", resourceId: 5, entries: scattered(8) });
    expect(bench.type(transfer)).toBe(OK);
  });

  it("are flushed only where a scanout shows them", () => {
    const bench = new GpuBench({ blob: true, outputs: [{ width: 64, height: 64 }, null] });
    const flush = (x: number, width: number): number =>
      bench.type({ op: "resourceFlush", x, y: 0, width, height: 64, resourceId: 5 });
    bench.run(createBlob());
    expect(flush(0, 64)).toBe(P);
    bench.run(scanoutBlob({ x: 16, width: 32 }));
    expect(flush(0, 64)).toBe(OK);
    expect(flush(0, 17)).toBe(OK);
    expect(flush(0, 16)).toBe(P);
    expect(flush(48, 16)).toBe(P);
    expect(flush(20, 0)).toBe(P);
  });

  it("SET_SCANOUT refuses a blob: it has no size in pixels (set-scanout-of-blob)", () => {
    const bench = new GpuBench({ blob: true });
    bench.run(createBlob());
    expect(bench.type({ op: "setScanout", x: 0, y: 0, width: 64, height: 64, scanoutId: 0, resourceId: 5 })).toBe(P);
  });
});

describe("SET_SCANOUT_BLOB", () => {
  it("is answered in QEMU's order of tests (blob-scanout-row)", () => {
    const bench = new GpuBench({ blob: true });
    bench.run(createBlob());
    expect(bench.type(scanoutBlob({ scanoutId: 1, resourceId: 99 }))).toBe(GpuReply.ERR_INVALID_SCANOUT_ID);
    expect(bench.type(scanoutBlob({ resourceId: 0, format: 77 }))).toBe(OK);
    expect(bench.type(scanoutBlob({ resourceId: 99, format: 77 }))).toBe(R);
    for (const fields of [
      { format: 77 },
      { strides: [255, 0, 0, 0] },
      { strides: [252, 0, 0, 0] },
      { strides: [257, 0, 0, 0] },
      { strides: [0x8000_0000, 0, 0, 0] },
      { strides: [0xffff_fffc, 0, 0, 0] },
      { offsets: [0xffff_ff00, 0, 0, 0] },
      { offsets: [8 * PAGE - 64 * 256 + 1, 0, 0, 0] },
      { width: 15 },
      { height: 15 },
      { x: 1 },
      { y: 0xffff_ffff },
      { width: 65 },
      { y: 65, framebufferHeight: 0xffff_ffff },
      { y: 65, height: 63, framebufferHeight: 128, strides: [512, 0, 0, 0] },
    ] satisfies ScanoutFields[]) {
      expect(bench.type(scanoutBlob(fields)), JSON.stringify(fields)).toBe(P);
    }
    expect(bench.device.screenshot(0)).toBeNull();
    expect(bench.type(scanoutBlob({ offsets: [8 * PAGE - 64 * 256, 0, 0, 0] }))).toBe(OK);
    bench.picture(7, { width: 64, height: 64, address: FREE_MEMORY + (1 << 20) });
    expect(bench.type(scanoutBlob({ resourceId: 7 })), "not a blob").toBe(P);
  });

  it("shows every format from scattered pages, as they are at the moment", () => {
    const bench = new GpuBench({ blob: true });
    const entries = scattered(8);
    const bytes = patterned(8 * PAGE, 3);
    bench.run(createBlob({ entries }));
    const place = { strides: [320, 0, 0, 0], offsets: [4100, 0, 0, 0] } as const;
    for (const format of FORMATS.keys()) {
      bench.run(scanoutBlob({ ...place, format, x: 8, y: 4, width: 40, height: 32 }));
      bytes[5000] = (bytes[5000] ?? 0) ^ 0xff;
      fill(bench, entries, bytes);
      const source = { bytes, offset: 4100 + 4 * 320 + 8 * 4, stride: 320, format };
      const rgba = toRgba(source, { width: 40, height: 32, alpha: "opaque" });
      const shown = bench.device.screenshot(0);
      expect({ ...shown, rgba: firstDifference(shown?.rgba, rgba) }).toEqual({ width: 40, height: 32, rgba: -1 });
    }
  });

  it("shows zero where the backing is shorter than the blob claims (blob-scanout-short)", () => {
    const bench = new GpuBench({ blob: true });
    bench.run(createBlob({ entries: [{ address: FREE_MEMORY, byteLength: 100 }] }), scanoutBlob());
    bench.ram.write(FREE_MEMORY, new Uint8Array(4 * PAGE).fill(0x77));
    const rgba = bench.device.screenshot(0)?.rgba ?? new Uint8Array(0);
    expect([...rgba.subarray(96, 104)]).toEqual([0x77, 0x77, 0x77, 255, 0, 0, 0, 255]);
    let pixels: ScanoutPixels | null = null;
    const deaf = (): void => {};
    bench.device.setSink({
      scanout: (_output, shown) => {
        pixels = shown;
      },
      flush: deaf,
      updateCursor: deaf,
      moveCursor: deaf,
      hideCursor: deaf,
    });
    const target = new Uint8Array(64 * 4).fill(0x55);
    (pixels as ScanoutPixels | null)?.read({ x: 0, y: 0, width: 64, height: 1 }, target, 0, 256);
    expect([target[99], target[100], target[255]]).toEqual([0x77, 0, 0]);
    bench.run({ op: "resourceDetachBacking", resourceId: 5 });
    expect(bench.device.screenshot(0)?.rgba.subarray(0, 4)).toEqual(Uint8Array.of(0, 0, 0, 255));
  });
});

describe("RESOURCE_ASSIGN_UUID", () => {
  it("gives each resource one UUID of version 4, and keeps it (uuid)", () => {
    const bench = new GpuBench({ random: new SeededRandom(1) });
    bench.picture(1, { width: 16, height: 16 });
    bench.run({ op: "resourceCreate2d", resourceId: 2, format: 2, width: 16, height: 16 });
    const uuid = (resourceId: number): string => {
      const reply = bench.reply({ op: "resourceAssignUuid", resourceId });
      if (reply?.code !== "okResourceUuid") throw new Error("no UUID");
      return [...reply.uuid].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    };
    expect(uuid(1)).toMatch(/^.{12}4.{3}[89ab].{15}$/);
    expect(uuid(1)).toBe(uuid(1));
    expect(uuid(2)).not.toBe(uuid(1));
    expect(bench.type({ op: "resourceAssignUuid", resourceId: 3 })).toBe(R);
  });
});

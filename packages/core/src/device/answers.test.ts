/**
 * What QEMU answers, row by row as it was measured: every command in every wrong state, through a real ring. Where the
 * device differs on purpose the test says so by the difference's id.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { type Command, encodeCommand } from "../wire/gpu.gen.ts";
import { FORMATS, GpuReply, HeaderFlag } from "../wire/gpu.ts";
import { toRgba } from "./pixels.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned, RAM_BYTES, toBytes, toWords } from "./test-bench.ts";

const U = GpuReply.ERR_UNSPEC;
const M = GpuReply.ERR_OUT_OF_MEMORY;
const S = GpuReply.ERR_INVALID_SCANOUT_ID;
const R = GpuReply.ERR_INVALID_RESOURCE_ID;
const P = GpuReply.ERR_INVALID_PARAMETER;
const OK = GpuReply.OK_NODATA;
const BACKED = 1;
const BARE = 2;
const rect = { x: 0, y: 0, width: 64, height: 64 };
const page = { address: FREE_MEMORY, byteLength: 4096 };

let bench: GpuBench;

beforeEach(() => {
  bench = new GpuBench({ outputs: [{ width: 1280, height: 800 }, { width: 800, height: 600 }, null] });
  bench.picture(BACKED, { width: 64, height: 64 });
  bench.run({ op: "resourceCreate2d", resourceId: BARE, format: 2, width: 64, height: 64 });
});

const create = (resourceId: number, width: number, height: number, format: number = 2): Command => ({
  op: "resourceCreate2d",
  resourceId,
  format,
  width,
  height,
});
const scanout = (scanoutId: number, resourceId: number, part: Partial<typeof rect> = {}): Command => ({
  op: "setScanout",
  ...rect,
  ...part,
  scanoutId,
  resourceId,
});
const flush = (resourceId: number, part: Partial<typeof rect> = {}): Command => ({
  op: "resourceFlush",
  ...rect,
  ...part,
  resourceId,
});
const transfer = (resourceId: number, part: Partial<typeof rect> = {}, offset: number = 0): Command => ({
  op: "transferToHost2d",
  ...rect,
  ...part,
  offset,
  resourceId,
});
const attach = (resourceId: number, ...entries: { address: number; byteLength: number }[]): Command => ({
  op: "resourceAttachBacking",
  resourceId,
  entries,
});
const raw = (type: number, words: readonly number[] = []): Uint8Array =>
  toBytes(Uint32Array.of(type, 0, 0, 0, 0, 0, ...words));

describe("any command", () => {
  it("is refused when the request is shorter than a header, and the chain comes back (short-header)", () => {
    const { used, bytes } = bench.send(new Uint8Array(20).fill(1));
    expect(used).toBe(24);
    expect([...toWords(bytes)]).toEqual([U, 0, 0, 0, 0, 0]);
    expect(bench.send(new Uint8Array(0)).used).toBe(24);
  });

  it("is refused when the request is shorter than its structure, and nothing is done (short-request)", () => {
    const whole = toBytes(encodeCommand(create(9, 16, 16)));
    for (let byteLength = 24; byteLength < whole.byteLength; byteLength += 1) {
      expect(toWords(bench.send(whole.subarray(0, byteLength)).bytes)[0]).toBe(P);
    }
    expect(bench.type(flush(9))).toBe(R);
  });

  it("ignores what is longer than the structure", () => {
    const bytes = new Uint8Array(4096).fill(0xff);
    bytes.set(toBytes(encodeCommand(create(9, 16, 16))));
    expect(toWords(bench.send(bytes).bytes)[0]).toBe(OK);
  });

  it("cuts the reply to its buffer, and executes without one", () => {
    const request = toBytes(encodeCommand({ op: "getDisplayInfo" }));
    const whole = bench.send(request).bytes;
    expect(whole.byteLength).toBe(408);
    for (const capacity of [1, 4, 23, 24, 25, 60, 407]) {
      const { used, bytes } = bench.send(request, { capacity });
      expect(used).toBe(capacity);
      expect(bytes).toEqual(whole.subarray(0, capacity));
    }
    expect(bench.send(toBytes(encodeCommand(create(9, 16, 16))), { capacity: 0 }).used).toBe(0);
    expect(bench.type(create(9, 16, 16))).toBe(R);
  });

  it("repeats fence and context with FENCE alone, also on errors, and nothing without", () => {
    const header = { flags: 0xff, fenceLow: 0x1234_5678, fenceHigh: 0x9abc_def0, contextId: 7, ringIndex: 3 };
    for (const [command, type] of [
      [flush(BACKED), OK],
      [flush(99), R],
    ] as const) {
      const fenced = toWords(bench.send(toBytes(encodeCommand(command, header))).bytes);
      expect([...fenced]).toEqual([type, HeaderFlag.FENCE, 0x1234_5678, 0x9abc_def0, 7, 0]);
      const plain = toWords(bench.send(toBytes(encodeCommand(command, { ...header, flags: 0xfe }))).bytes);
      expect([...plain]).toEqual([type, 0, 0, 0, 0, 0]);
    }
  });

  it("is unspecified where a 2D device does not know it", () => {
    const types = [0, 1, 0xffff_ffff, 0x100 - 1, 0x10e, 0x108, 0x109, 0x10b, 0x300, 0x301];
    for (let type = 0x200; type <= 0x20a; type += 1) types.push(type);
    for (const type of types) {
      expect(toWords(bench.send(raw(type, Array(32).fill(0))).bytes)[0], `type ${type}`).toBe(U);
      expect(toWords(bench.send(raw(type)).bytes)[0], `type ${type}, short`).toBe(U);
    }
  });
});

describe("GET_DISPLAY_INFO", () => {
  it("gives enabled outputs a size and no place, and the rest zeros", () => {
    const reply = bench.reply({ op: "getDisplayInfo" });
    const off = { x: 0, y: 0, width: 0, height: 0, enabled: 0, flags: 0 };
    expect(reply).toEqual({
      code: "okDisplayInfo",
      modes: [
        { ...off, width: 1280, height: 800, enabled: 1 },
        { ...off, width: 800, height: 600, enabled: 1 },
        ...Array.from({ length: 14 }, () => off),
      ],
    });
  });
});

describe("GET_EDID", () => {
  it("refuses an output that is not there", () => {
    expect(bench.type({ op: "getEdid", scanoutId: 3 })).toBe(P);
    expect(bench.type({ op: "getEdid", scanoutId: 0xffff_ffff })).toBe(P);
  });

  it("answers also for a disabled output, and where EDID is not offered (edid)", () => {
    expect(bench.type({ op: "getEdid", scanoutId: 2 })).toBe(GpuReply.OK_EDID);
    const without = new GpuBench({ edid: false });
    expect(without.device.features).toBe(0n);
    const reply = without.reply({ op: "getEdid", scanoutId: 0 });
    if (reply?.code !== "okEdid") throw new Error("no EDID");
    expect(reply.size).toBeGreaterThanOrEqual(256);
    expect([...reply.edid.subarray(0, 8)]).toEqual([0, 255, 255, 255, 255, 255, 255, 0]);
    expect(reply.edid.subarray(reply.size).every((byte) => byte === 0)).toBe(true);
  });
});

describe("RESOURCE_CREATE_2D", () => {
  it("refuses id 0 and an id in use, before it looks at anything else", () => {
    expect(bench.type(create(0, 16, 16, 77))).toBe(R);
    expect(bench.type(create(BARE, 1 << 20, 1 << 20, 77))).toBe(R);
  });

  it("refuses unknown formats, before it looks at the size", () => {
    for (const format of [0, 5, 66, 77, 0xffff_ffff]) expect(bench.type(create(9, 1 << 20, 1 << 20, format))).toBe(P);
    let id = 100;
    for (const format of FORMATS.keys()) expect(bench.type(create((id += 1), 16, 16, format))).toBe(OK);
  });

  it("is out of memory where images together reach the limit exactly", () => {
    const fresh = new GpuBench();
    expect(fresh.type(create(1, 8192, 8192))).toBe(M);
    expect(fresh.type(create(1, 8192, 8190))).toBe(OK);
    fresh.run({ op: "resourceUnref", resourceId: 1 });
    for (let id = 1; id <= 15; id += 1) expect(fresh.type(create(id, 2048, 2048))).toBe(OK);
    expect(fresh.type(create(16, 2048, 2048))).toBe(M);
    expect(fresh.type(create(16, 2048, 2047))).toBe(OK);
    expect(fresh.device.usage.hostBytes).toBe((15 * 2048 + 2047) * 2048 * 4);
  });

  it("is out of memory where the size does not fit 32 bits (size-wraps)", () => {
    const huge = new GpuBench({ hostMemoryBytesMax: 2 ** 40 });
    expect(huge.type(create(1, 0x8000, 0x8000))).toBe(M);
    expect(huge.type(create(1, 0x10000, 0x10001))).toBe(M);
    expect(huge.type(create(1, 0x3fff_ffff, 1))).toBe(OK);
  });

  it("and entries are bounded in number (resources-in-all, entries-in-all)", () => {
    const small = new GpuBench({ resourcesMax: 3, entriesTotalMax: 5 });
    expect([1, 2, 3, 4].map((id) => small.type(create(id, 0, 0)))).toEqual([OK, OK, OK, M]);
    const apart = { address: FREE_MEMORY + 8192, byteLength: 4096 };
    expect(small.type(attach(1, page, apart, page))).toBe(OK);
    expect(small.type(attach(2, page, apart, page))).toBe(M);
    expect(small.type(attach(2, page, apart))).toBe(OK);
    small.run({ op: "resourceUnref", resourceId: 1 });
    expect(small.type(create(4, 0, 0))).toBe(OK);
    expect(small.type(attach(4, page, apart, page))).toBe(OK);
  });

  it("makes images of no pixels", () => {
    for (const [id, width, height] of [
      [10, 0, 64],
      [11, 64, 0],
      [12, 0, 0xffff_ffff],
    ] as const) {
      expect(bench.type(create(id, width, height))).toBe(OK);
    }
  });
});

describe("RESOURCE_UNREF", () => {
  it("refuses an unknown id", () => {
    expect(bench.type({ op: "resourceUnref", resourceId: 99 })).toBe(R);
    expect(bench.type({ op: "resourceUnref", resourceId: 0 })).toBe(R);
  });

  it("switches off what shows it and drops its backing", () => {
    bench.run(scanout(0, BACKED), scanout(1, BACKED));
    expect(bench.type({ op: "resourceUnref", resourceId: BACKED })).toBe(OK);
    expect(bench.device.screenshot(0)).toBeNull();
    expect(bench.device.screenshot(1)).toBeNull();
    expect(bench.device.usage).toEqual({ resources: 1, hostBytes: 64 * 64 * 4, entries: 0 });
    bench.run(create(BACKED, 32, 32));
  });
});

describe("SET_SCANOUT", () => {
  it("tests the output first, also for id 0", () => {
    for (const id of [0, 99, BACKED]) expect(bench.type(scanout(3, id))).toBe(S);
    expect(bench.type(scanout(0xffff_ffff, 0))).toBe(S);
  });

  it("switches off with id 0, output 0 included", () => {
    bench.run(scanout(0, BACKED));
    expect(bench.device.screenshot(0)).not.toBeNull();
    expect(bench.type(scanout(0, 0, { width: 0, height: 0 }))).toBe(OK);
    expect(bench.device.screenshot(0)).toBeNull();
    expect(bench.type(scanout(0, 0))).toBe(OK);
  });

  it("refuses an unknown id, and a resource without backing", () => {
    expect(bench.type(scanout(0, 99, { width: 1 }))).toBe(R);
    expect(bench.type(scanout(0, BARE, { width: 1 }))).toBe(U);
  });

  it("refuses rectangles under 16 pixels or outside, and keeps what was shown", () => {
    bench.run(scanout(0, BACKED));
    for (const part of [
      { width: 15 },
      { height: 15 },
      { x: 1 },
      { y: 1 },
      { width: 65 },
      { x: 0xffff_fff0 },
      { x: 64, width: 0 },
      { height: 0xffff_ffff },
    ]) {
      expect(bench.type(scanout(0, BACKED, part)), JSON.stringify(part)).toBe(P);
    }
    expect(bench.device.screenshot(0)?.width).toBe(64);
    expect(bench.type(scanout(0, BACKED, { x: 48, y: 48, width: 16, height: 16 }))).toBe(OK);
  });
});

describe("RESOURCE_FLUSH", () => {
  it("refuses an unknown id, then what lies outside", () => {
    expect(bench.type(flush(99, { width: 65 }))).toBe(R);
    for (const part of [{ width: 65 }, { x: 1 }, { x: 1, width: 0xffff_ffff }, { y: 0xffff_ffff, height: 1 }]) {
      expect(bench.type(flush(BACKED, part))).toBe(P);
    }
  });

  it("takes what is not shown, has no backing, or is empty", () => {
    expect(bench.type(flush(BARE))).toBe(OK);
    expect(bench.type(flush(BACKED))).toBe(OK);
    expect(bench.type(flush(BACKED, { x: 64, width: 0 }))).toBe(OK);
  });
});

describe("TRANSFER_TO_HOST_2D", () => {
  it("refuses an unknown id, then no backing, then a rectangle outside", () => {
    expect(bench.type(transfer(99, { width: 65 }))).toBe(R);
    expect(bench.type(transfer(BARE, { width: 65 }))).toBe(U);
    for (const part of [{ width: 65 }, { y: 1 }, { x: 0xffff_ffff, width: 2 }, { height: 0xffff_ffff }]) {
      expect(bench.type(transfer(BACKED, part))).toBe(P);
    }
  });

  it("takes an empty rectangle, and changes nothing", () => {
    expect(bench.type(transfer(BACKED, { x: 64, y: 64, width: 0, height: 0 }))).toBe(OK);
  });

  it("copies what the backing has, and leaves the rest (transfer-offset, transfer-behind-backing)", () => {
    bench.run({ op: "resourceDetachBacking", resourceId: BACKED }, scanout(0, 0));
    const short = patterned(64 * 4 * 2 + 100, 7);
    bench.ram.write(FREE_MEMORY + 0x10000, short);
    bench.run(attach(BACKED, { address: FREE_MEMORY + 0x10000, byteLength: short.byteLength }), scanout(0, BACKED));
    const before = bench.device.screenshot(0)?.rgba ?? new Uint8Array(0);
    expect(bench.type(transfer(BACKED))).toBe(OK);
    const after = bench.device.screenshot(0)?.rgba ?? new Uint8Array(0);
    const pixels = short.byteLength >> 2;
    expect(firstDifference(after.subarray(pixels * 4), before.subarray(pixels * 4))).toBe(-1);
    const source = { bytes: short, offset: 0, stride: pixels * 4, format: 2 };
    const copied = toRgba(source, { width: pixels, height: 1, alpha: "opaque" });
    expect(firstDifference(after.subarray(0, pixels * 4), copied)).toBe(-1);
    bench.ram.write(FREE_MEMORY + 0x10000, patterned(short.byteLength, 8));
    for (const offset of [short.byteLength, 1 << 20, 2 ** 32, 2 ** 52]) {
      expect(bench.type(transfer(BACKED, {}, offset))).toBe(OK);
      expect(firstDifference(bench.device.screenshot(0)?.rgba, after)).toBe(-1);
    }
  });
});

describe("RESOURCE_ATTACH_BACKING", () => {
  it("refuses an unknown id, then what is attached already", () => {
    expect(bench.type(attach(99, page))).toBe(R);
    expect(bench.type(attach(BACKED, page))).toBe(U);
    expect(bench.type(attach(BACKED))).toBe(U);
  });

  it("refuses too many entries, and fewer than announced", () => {
    const many = Array.from({ length: 16385 }, () => page);
    expect(bench.type({ op: "resourceDetachBacking", resourceId: BACKED })).toBe(OK);
    const request = toBytes(encodeCommand(attach(BARE, ...many.slice(0, 16384))));
    expect(request.byteLength).toBe(32 + 16 * 16384);
    expect(toWords(bench.send(request).bytes)[0]).toBe(OK);
    expect(bench.device.usage.entries).toBe(16384);
    expect(bench.type(attach(BACKED, ...many))).toBe(U);
    expect(toWords(bench.send(raw(0x106, [BACKED, 2, FREE_MEMORY, 0, 4096, 0])).bytes)[0]).toBe(U);
    expect(toWords(bench.send(raw(0x106, [BACKED, 0xffff_ffff, FREE_MEMORY, 0, 4096, 0])).bytes)[0]).toBe(U);
  });

  it("refuses empty entries and ranges that wrap", () => {
    expect(bench.type(attach(BARE, page, { address: FREE_MEMORY, byteLength: 0 }))).toBe(U);
    for (const [low, high, length] of [
      [0xffff_f000, 0xffff_ffff, 0x2000],
      [FREE_MEMORY, 0, 0xffff_ffff],
      [0, 0x20_0000, 4096],
    ] as const) {
      expect(toWords(bench.send(raw(0x106, [BARE, 1, low, high, length, 0])).bytes)[0]).toBe(U);
    }
    expect(bench.type(transfer(BARE))).toBe(U);
  });

  it("with no entries is OK and leaves no backing", () => {
    expect(bench.type(attach(BARE))).toBe(OK);
    expect(bench.type(scanout(0, BARE))).toBe(U);
    expect(bench.type(attach(BARE, page))).toBe(OK);
  });

  it("refuses the first entry that is not memory (entry-outside-memory)", () => {
    for (const entry of [
      { address: RAM_BYTES, byteLength: 4096 },
      { address: RAM_BYTES - 4095, byteLength: 4096 },
      { address: 2 ** 40, byteLength: 4096 },
    ]) {
      expect(bench.type(attach(BARE, page, entry))).toBe(U);
      expect(bench.type(transfer(BARE))).toBe(U);
    }
  });

  it("takes overlapping and duplicate entries, and fewer bytes than the image", () => {
    expect(bench.type(attach(BARE, page, page, { address: FREE_MEMORY + 100, byteLength: 200 }))).toBe(OK);
  });
});

describe("RESOURCE_DETACH_BACKING", () => {
  it("refuses an unknown id, and nothing attached", () => {
    expect(bench.type({ op: "resourceDetachBacking", resourceId: 99 })).toBe(R);
    expect(bench.type({ op: "resourceDetachBacking", resourceId: BARE })).toBe(U);
    bench.run({ op: "resourceDetachBacking", resourceId: BACKED });
    expect(bench.type({ op: "resourceDetachBacking", resourceId: BACKED })).toBe(U);
  });
});

describe("blob commands without blobs", () => {
  it("are wrong parameters", () => {
    expect(toWords(bench.send(raw(0x10c, Array(8).fill(0))).bytes)[0]).toBe(P);
    expect(toWords(bench.send(raw(0x10d, Array(18).fill(0))).bytes)[0]).toBe(P);
  });
});

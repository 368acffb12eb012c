/**
 * The inputs behind the CVEs and bugs of virtio-gpu devices, one test a row of the table that this project collected. What
 * was a crash, a leak or a disclosure elsewhere has to be an ordinary answer here, with the device in order afterwards.
 */
import { afterEach, beforeEach, expect, it } from "vitest";
import { GuestRam } from "../memory/guest-ram.ts";
import { createPackedDeviceQueue } from "../virtio/packed/index.ts";
import { RingViolation } from "../virtio/queue.ts";
import { createSplitDeviceQueue } from "../virtio/split/index.ts";
import { MockPackedDriver, MockSplitDriver } from "../virtio/test-utils.ts";
import { type Command, encodeCommand } from "../wire/gpu.gen.ts";
import { BlobFlag, BlobMemory, GpuReply } from "../wire/gpu.ts";
import { DescriptorFlag } from "../wire/ring.ts";
import { MemoryRenderer } from "./memory-renderer.ts";
import { firstDifference, FREE_MEMORY, GpuBench, patterned, RAM_BYTES, toBytes, toWords } from "./test-bench.ts";

const U = GpuReply.ERR_UNSPEC;
const M = GpuReply.ERR_OUT_OF_MEMORY;
const S = GpuReply.ERR_INVALID_SCANOUT_ID;
const R = GpuReply.ERR_INVALID_RESOURCE_ID;
const P = GpuReply.ERR_INVALID_PARAMETER;
const OK = GpuReply.OK_NODATA;
const { WRITE, NEXT, INDIRECT } = DescriptorFlag;
const full = { x: 0, y: 0, width: 64, height: 64 };
const page = { address: FREE_MEMORY, byteLength: 4096 };

let bench: GpuBench;

beforeEach(() => {
  bench = new GpuBench({ blob: true, renderer: new MemoryRenderer({ bytesMax: 1 << 20 }), hostVisibleBytes: 1 << 16 });
});

afterEach(() => {
  // Whatever was done to it, a reset brings back a device in order, which has let go of everything.
  bench.reset();
  expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
  bench.picture(1, { width: 64, height: 64 });
  bench.run({ op: "setScanout", ...full, scanoutId: 0, resourceId: 1 }, { op: "resourceUnref", resourceId: 1 });
});

const create = (resourceId: number, width: number, height: number, format: number = 2): Command => ({
  op: "resourceCreate2d",
  resourceId,
  format,
  width,
  height,
});
const attach = (resourceId: number, ...entries: { address: number; byteLength: number }[]): Command => ({
  op: "resourceAttachBacking",
  resourceId,
  entries,
});
const scanout = (scanoutId: number, resourceId: number, part: object = {}): Command => ({
  op: "setScanout",
  ...full,
  ...part,
  scanoutId,
  resourceId,
});
const unref = (resourceId: number): Command => ({ op: "resourceUnref", resourceId });
const blob = (resourceId: number, size: number, fields: object = {}): Command => ({
  op: "resourceCreateBlob",
  resourceId,
  blobMemory: BlobMemory.GUEST,
  blobFlags: BlobFlag.USE_SHAREABLE,
  blobIdLow: 0,
  blobIdHigh: 0,
  size,
  entries: [page],
  ...fields,
});
const hosted = { blobMemory: BlobMemory.HOST3D, blobFlags: BlobFlag.USE_MAPPABLE, entries: [] };
const blobScanout = (resourceId: number, fields: object = {}): Command => ({
  op: "setScanoutBlob",
  ...full,
  scanoutId: 0,
  resourceId,
  framebufferWidth: 64,
  framebufferHeight: 64,
  format: 2,
  strides: [256, 0, 0, 0],
  offsets: [0, 0, 0, 0],
  ...fields,
});
const update = (resourceId: number): Command => ({
  op: "updateCursor",
  scanoutId: 0,
  x: 0,
  y: 0,
  resourceId,
  hotX: 0,
  hotY: 0,
});
const create3d = (resourceId: number, width: number, height: number): Command => ({
  op: "resourceCreate3d",
  resourceId,
  target: 2,
  format: 1,
  bind: 0,
  width,
  height,
  depth: 1,
  arraySize: 1,
  lastLevel: 0,
  sampleCount: 0,
  flags: 0,
});
const raw = (type: number, words: readonly number[]): number =>
  toWords(bench.send(toBytes(Uint32Array.of(type, 0, 0, 0, 0, 0, ...words))).bytes)[0] ?? 0;

it("CVE row 1: SET_SCANOUT beyond the outputs", () => {
  bench.picture(1, { width: 64, height: 64 });
  for (const id of [1, 15, 16, 0x7fff_ffff, 0xffff_ffff]) {
    expect(bench.type(scanout(id, 1))).toBe(S);
    bench.cursor({ ...update(1), scanoutId: id } as Command);
  }
});

it("CVE row 2: GET_CAPSET of a set without contents", () => {
  const empty = new GpuBench({ renderer: new MemoryRenderer({ capsets: [{ id: 2, maxVersion: 1, maxSize: 0 }] }) });
  for (const capsetId of [0, 1, 2, 0xffff_ffff]) {
    expect(empty.type({ op: "getCapset", capsetId, capsetVersion: 0 })).toBe(P);
  }
});

it("CVE row 3: CREATE_2D with a bad format, again and again, keeps nothing", () => {
  for (let round = 0; round < 1000; round += 1) expect(bench.type(create(1, 512, 512, 3000 + round))).toBe(P);
  expect(bench.device.usage.hostBytes).toBe(0);
});

it("CVE row 4: replies carry nothing of earlier ones in their padding", () => {
  bench.reply({ op: "getEdid", scanoutId: 0 });
  const request = toBytes(encodeCommand({ op: "getCapsetInfo", capsetIndex: 0 }));
  const info = bench.send(request);
  expect(info.used).toBe(40);
  expect(toWords(bench.send(request).bytes)[9]).toBe(0);
  const capset = bench.send(toBytes(encodeCommand({ op: "getCapset", capsetId: 1, capsetVersion: 1 })));
  expect(capset.used).toBe(24 + 308);
  expect(capset.bytes.subarray(24).every((byte) => byte === 0)).toBe(true);
  const map = (): Uint8Array =>
    bench.send(toBytes(encodeCommand({ op: "resourceMapBlob", resourceId: 1, offset: 0 }))).bytes;
  bench.run(blob(1, 4096, hosted));
  expect([...toWords(map())]).toEqual([GpuReply.OK_MAP_INFO, 0, 0, 0, 0, 0, 1, 0]);
  expect(
    toWords(bench.send(toBytes(encodeCommand({ op: "getDisplayInfo" }))).bytes)
      .slice(12)
      .every((word) => word === 0),
  ).toBe(true);
});

it("CVE row 5: UPDATE_CURSOR with a 3D resource of another size keeps the picture", () => {
  bench.picture(1, { width: 64, height: 64, format: 1 });
  bench.cursor(update(1));
  const before = bench.device.save().cursors[0]?.rgba;
  bench.run(create3d(2, 63, 64), create3d(3, 256, 256));
  for (let round = 0; round < 100; round += 1) bench.cursor(update(2 + (round % 2)));
  expect(firstDifference(bench.device.save().cursors[0]?.rgba, before)).toBe(-1);
});

it("CVE row 6: UNREF without DETACH lets go of the backing", () => {
  for (let round = 0; round < 200; round += 1) bench.run(create(1, 16, 16), attach(1, page, page), unref(1));
  expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
});

it("CVE row 7: ATTACH_BACKING twice is refused and keeps the first", () => {
  const bytes = bench.picture(1, { width: 64, height: 64 });
  for (let round = 0; round < 100; round += 1) expect(bench.type(attach(1, { ...page, address: 0 }))).toBe(U);
  expect(bench.device.usage.entries).toBe(1);
  bench.run(scanout(0, 1), { op: "transferToHost2d", ...full, offset: 0, resourceId: 1 });
  expect(bench.device.screenshot(0)?.rgba[0]).toBe(bytes[2]);
});

it("CVE row 8: UNREF of a 3D resource with backing lets go of it", () => {
  for (let round = 0; round < 100; round += 1) bench.run(create3d(1, 64, 64), attach(1, page), unref(1));
  expect(bench.device.usage.entries).toBe(0);
  bench.run(create3d(1, 256, 256));
});

it("CVE row 9: many SET_SCANOUT keep nothing", () => {
  bench.picture(1, { width: 64, height: 64 });
  bench.picture(2, { width: 64, height: 64 });
  for (let round = 0; round < 500; round += 1) bench.run(scanout(0, 1 + (round % 2)));
  expect(bench.device.save().scanouts.filter((shown) => shown !== null).length).toBe(1);
});

it("CVE row 10: more requests than the queue has entries are a violation", () => {
  const [driver] = bench.drivers;
  const [queue] = bench.queues;
  if (driver === undefined || queue === undefined) throw new Error("no queue");
  driver.availableIndex(65);
  expect(() => bench.device.process(0, queue)).toThrow(RingViolation);
});

it.each(["control", "cursor"])("CVE row 11: a zero-length descriptor on the %s queue is a violation", (name) => {
  const index = name === "control" ? 0 : 1;
  expect(() => bench.chain(index, [{ address: FREE_MEMORY, length: 0 }])).toThrow(RingViolation);
});

it("CVE row 12: what vhost-user-gpu leaked is let go of here: failed creations, resources, contexts", () => {
  for (let round = 0; round < 50; round += 1) {
    expect(bench.type(create3d(1, 0xffff, 0xffff))).toBe(M);
    expect(bench.type(blob(1, 1 << 30, hosted))).toBe(M);
    expect(
      bench.type(blob(1, 4096, { ...hosted, blobMemory: BlobMemory.HOST3D_GUEST, size: 1 << 30, entries: [page] })),
    ).toBe(M);
    bench.type(
      { op: "ctxCreate", nameLength: 0xffff_ffff, contextInit: 0, debugName: new Uint8Array(64) },
      { contextId: 1 },
    );
    expect(bench.type({ op: "ctxDestroy" }, { contextId: 1 })).toBe(OK);
  }
  expect(bench.device.usage).toEqual({ resources: 0, hostBytes: 0, entries: 0 });
});

it("CVE row 13: a cursor of huge width and height", () => {
  bench.run(create(1, 0, 0xffff_ffff), create(2, 0xffff_ffff, 0), blob(3, 2 ** 52));
  for (const id of [1, 2, 3]) bench.cursor(update(id));
  expect(bench.device.save().cursors[0]?.rgba.every((byte) => byte === 0)).toBe(true);
});

it("CVE row 14: a reply buffer that reaches the device's own registers and resets it", () => {
  class Registers extends GuestRam {
    onWrite: () => void = () => {};
    override write(address: number, source: Uint8Array): void {
      super.write(address, source);
      if (address >= RAM_BYTES) this.onWrite();
    }
    override view(address: number, byteLength: number): Uint8Array {
      return address >= RAM_BYTES ? (null as unknown as Uint8Array) : super.view(address, byteLength);
    }
  }
  const ram = new Registers([
    { address: 0, byteLength: RAM_BYTES },
    { address: RAM_BYTES + 4096, byteLength: 4096 },
  ]);
  const other = new GpuBench({}, ram);
  other.picture(1, { width: 64, height: 64 });
  ram.onWrite = () => other.device.reset();
  ram.write(FREE_MEMORY, toBytes(encodeCommand(scanout(0, 1))));
  const chain = [
    { address: FREE_MEMORY, length: 48 },
    { address: RAM_BYTES + 4096, length: 24, flags: WRITE },
  ];
  expect(other.chain(0, chain)).toBe(-1);
  expect(other.device.usage.resources).toBe(0);
  expect(other.device.screenshot(0)).toBeNull();
});

it("CVE row 15: CREATE_2D whose size wraps 32 bits", () => {
  for (const [width, height] of [
    [0x10000, 0x10000],
    [0x8000, 0x8000],
    [0xffff_ffff, 0xffff_ffff],
    [0x4000_0001, 1],
    [1, 0x4000_0001],
    [0x8001, 0x20000],
  ] as const) {
    expect(bench.type(create(1, width, height)), `${width} x ${height}`).toBe(M);
  }
});

it("CVE row 16: CREATE_BLOB with an existing id leaves the existing resource alone", () => {
  bench.run(blob(1, 4096, hosted), { op: "resourceMapBlob", resourceId: 1, offset: 0 });
  bench.device.sharedMemory[0]?.bytes.fill(7, 0, 4096);
  expect(bench.type(blob(1, 4096, hosted))).toBe(R);
  expect(bench.type(blob(1, 4096))).toBe(R);
  expect(bench.type(create(1, 16, 16))).toBe(R);
  expect(bench.type(create3d(1, 16, 16))).toBe(R);
  bench.run({ op: "resourceUnmapBlob", resourceId: 1 }, { op: "resourceMapBlob", resourceId: 1, offset: 4096 });
  expect(bench.device.sharedMemory[0]?.bytes[4096]).toBe(7);
});

it("CVE row 17: SET_SCANOUT_BLOB with a stride under the width", () => {
  bench.run(blob(1, 1 << 20));
  for (const stride of [0, 4, 252, 255]) expect(bench.type(blobScanout(1, { strides: [stride, 0, 0, 0] }))).toBe(P);
  expect(bench.type(blobScanout(1, { framebufferWidth: 0x4000_0001, strides: [256, 0, 0, 0] }))).toBe(P);
});

it("CVE row 18: a queue of a size that it can't have", () => {
  const ram = GuestRam.of(RAM_BYTES);
  for (const size of [0, 48, 65536, -64, Number.NaN]) {
    const addresses = { size, descriptors: 0, driver: 0x10000, device: 0x20000 };
    expect(() => createSplitDeviceQueue({ memory: ram, addresses, indirect: true, eventIndex: false })).toThrow(
      RingViolation,
    );
  }
  expect(bench.device.queueSizes).toEqual([256, 16]);
});

it("CVE row 19: a packed ring that is broken already stays so, without a loop", () => {
  const ram = GuestRam.of(RAM_BYTES);
  const driver = new MockPackedDriver(ram, { size: 4, address: 0x1000 });
  const queue = createPackedDeviceQueue({
    memory: ram,
    addresses: driver.addresses,
    indirect: true,
    eventIndex: false,
  });
  for (let slot = 0; slot < 4; slot += 1) {
    driver.descriptor(slot, { address: FREE_MEMORY, length: 24, flags: NEXT | DescriptorFlag.AVAIL });
  }
  for (let round = 0; round < 3; round += 1) expect(() => bench.device.process(0, queue)).toThrow(RingViolation);
});

it("CVE row 20: feature bits that were never offered count for nothing", () => {
  const plain = new GpuBench();
  plain.device.activate((1n << 64n) - 1n);
  expect(plain.device.save().features).toBe(Number(plain.device.features));
  expect(plain.type({ op: "ctxDestroy" }, { contextId: 1, flags: 3, ringIndex: 200 })).toBe(U);
  expect(plain.type(blob(1, 4096))).toBe(P);
});

it("CVE row 21: a packed indirect table of length 0", () => {
  const ram = GuestRam.of(RAM_BYTES);
  const driver = new MockPackedDriver(ram, { size: 4, address: 0x1000 });
  const queue = createPackedDeviceQueue({
    memory: ram,
    addresses: driver.addresses,
    indirect: true,
    eventIndex: false,
  });
  driver.chain(0, [{ address: FREE_MEMORY, length: 0, flags: INDIRECT }]);
  expect(() => bench.device.process(0, queue)).toThrow(RingViolation);
});

it("CVE row 22: the limit of host memory counts bytes, not bits", () => {
  expect(bench.type(create(1, 0x2000_0000 / 64, 8))).toBe(M);
  expect(bench.type(create(1, 8192, 8190))).toBe(OK);
  expect(bench.type(create(2, 8192, 2))).toBe(M);
});

it("CVE row 23: scanouts and images of no size", () => {
  bench.picture(1, { width: 64, height: 64 });
  bench.run(create(2, 0, 0), attach(2, page), create(3, 64, 0), attach(3, page), create(4, 0, 64), attach(4, page));
  for (const id of [1, 2, 3, 4]) {
    for (const [width, height] of [
      [0, 0],
      [0, 64],
      [64, 0],
    ] as const) {
      expect(bench.type(scanout(0, id, { width, height }))).toBe(P);
    }
    bench.run({ op: "transferToHost2d", x: 0, y: 0, width: 0, height: 0, offset: 0, resourceId: id });
    bench.run({ op: "resourceFlush", x: 0, y: 0, width: 0, height: 0, resourceId: id });
  }
  bench.run(blob(5, 4096));
  expect(bench.type(blobScanout(5, { width: 0, height: 0, framebufferWidth: 0, framebufferHeight: 0 }))).toBe(P);
});

it("CVE row 24: a reset while commands are queued drops them", () => {
  const [driver] = bench.drivers;
  const [queue] = bench.queues;
  if (driver === undefined || queue === undefined) throw new Error("no queue");
  bench.ram.write(FREE_MEMORY, toBytes(encodeCommand(create(1, 16, 16))));
  for (let head = 0; head < 20; head += 2) {
    driver.chain(head, [
      { address: FREE_MEMORY, length: 40 },
      { address: FREE_MEMORY + 4096, length: 24, flags: WRITE },
    ]);
  }
  queue.close();
  bench.device.reset();
  bench.device.process(0, queue);
  expect(driver.usedIndex).toBe(0);
  expect(bench.device.usage.resources).toBe(0);
});

it("CVE row 25: SET_SCANOUT off on an output that there is not", () => {
  for (const id of [1, 16, 0xffff_ffff]) {
    expect(bench.type(scanout(id, 0))).toBe(S);
    expect(bench.type(blobScanout(0, { scanoutId: id }))).toBe(S);
  }
});

it("CVE row 26: ATTACH_BACKING that fails in the middle keeps nothing", () => {
  bench.run(create(1, 16, 16));
  for (const bad of [
    { address: RAM_BYTES, byteLength: 4096 },
    { address: FREE_MEMORY, byteLength: 0 },
  ]) {
    for (let good = 0; good < 5; good += 1) {
      expect(bench.type(attach(1, ...Array.from({ length: good }, () => page), bad, page))).toBe(U);
      expect(bench.type({ op: "resourceDetachBacking", resourceId: 1 })).toBe(U);
    }
    expect(bench.type(blob(2, 4096, { entries: [page, bad] }))).toBe(U);
  }
  expect(bench.device.usage).toMatchObject({ resources: 1, entries: 0 });
});

it("CVE row 27: SET_SCANOUT_BLOB whose stride times height wraps 32 bits", () => {
  bench.run(blob(1, 1 << 20));
  const tall = { framebufferHeight: 0xffff_ffff, height: 0x0100_0000 };
  expect(bench.type(blobScanout(1, tall))).toBe(P);
  expect(bench.type(blobScanout(1, { ...tall, height: 64, y: 0x00ff_ffc0 }))).toBe(P);
  expect(bench.type(blobScanout(1, { offsets: [0xffff_ffff, 0, 0, 0] }))).toBe(P);
});

it("CVE row 28: strides that are negative as an int, or no multiple of 4", () => {
  bench.run(blob(1, 2 ** 40));
  for (const stride of [0x8000_0000, 0xffff_ff00, 258, 257]) {
    expect(bench.type(blobScanout(1, { strides: [stride, 0, 0, 0] }))).toBe(P);
  }
  expect(bench.type(blobScanout(1, { strides: [0x7fff_fffc, 0, 0, 0] }))).toBe(OK);
  expect(bench.device.screenshot(0)?.rgba.length).toBe(64 * 64 * 4);
});

it("CVE row 29: MAP_BLOB behind the window", () => {
  bench.run(blob(1, 4096, hosted));
  for (const offset of [1 << 16, (1 << 16) - 4092, 2 ** 32, 2 ** 52, 2 ** 63]) {
    expect(bench.type({ op: "resourceMapBlob", resourceId: 1, offset })).toBe(P);
  }
});

it("CVE row 30: SUBMIT_3D of a huge size, its payload one page many times over", () => {
  bench.type({ op: "ctxCreate", nameLength: 0, contextInit: 0, debugName: new Uint8Array(64) }, { contextId: 1 });
  const header = toBytes(encodeCommand({ op: "submit3d", data: new Uint8Array(0) }, { contextId: 1 }));
  for (const size of [0xffff_fffc, (4 << 20) + 4, 6]) {
    new DataView(header.buffer).setUint32(24, size, true);
    bench.ram.write(FREE_MEMORY, header);
    const parts = Array.from({ length: 60 }, () => ({ address: FREE_MEMORY + 4096, length: 1 << 20 }));
    const reply = { address: FREE_MEMORY + 2048, length: 24, flags: WRITE };
    bench.ram.write(FREE_MEMORY + 2048, new Uint8Array(4));
    bench.chain(0, [{ address: FREE_MEMORY, length: 32 }, ...parts, reply]);
    expect(toWords(bench.ram.view(FREE_MEMORY + 2048, 4))[0]).toBe(P);
  }
});

it("CVE row 31: a saved state with a huge entry list, or an id twice", () => {
  bench.picture(1, { width: 64, height: 64 });
  const state = bench.device.save();
  const [resource] = state.resources;
  if (resource === undefined) throw new Error("no resource");
  const entry = { address: FREE_MEMORY, byteLength: 1 };
  const hostile = { code: "EINVAL" };
  const withResources = (resources: readonly unknown[]) => () => bench.device.restore({ ...state, resources });
  expect(withResources([resource, resource])).toThrow(expect.objectContaining(hostile));
  const many = Array.from({ length: 16385 }, () => entry);
  expect(withResources([{ ...resource, entries: many }])).toThrow(expect.objectContaining(hostile));
  const liar = { length: 2 ** 32, 0: entry };
  expect(withResources([{ ...resource, entries: liar }])).toThrow(expect.objectContaining(hostile));
});

it("CVE row 32: a blob of no entries, and ATTACH_BACKING later", () => {
  bench.run(blob(1, 16384, { entries: [] }));
  expect(bench.type(blobScanout(1))).toBe(U);
  bench.cursor(update(1));
  expect(bench.type({ op: "transferToHost2d", ...full, offset: 0, resourceId: 1 })).toBe(U);
  bench.run(attach(1), attach(1, { address: FREE_MEMORY, byteLength: 16384 }), blobScanout(1));
  bench.run({ op: "resourceDetachBacking", resourceId: 1 });
  expect(bench.device.screenshot(0)?.rgba.length).toBe(64 * 64 * 4);
});

it("CVE row 33: rutabaga's: outputs unchecked, a capset's reply not initialised", () => {
  bench.picture(1, { width: 64, height: 64 });
  bench.run(blob(2, 16384));
  expect(bench.type(blobScanout(2, { scanoutId: 16 }))).toBe(S);
  expect(bench.type(scanout(16, 1))).toBe(S);
  expect(bench.type({ op: "getEdid", scanoutId: 16 })).toBe(P);
});

it("CVE row 34: UNREF of what is shown, by every kind of resource", () => {
  bench.picture(1, { width: 64, height: 64 });
  bench.run(scanout(0, 1), unref(1), blob(2, 16384), blobScanout(2), unref(2));
  bench.run(create3d(3, 64, 64), scanout(0, 3), unref(3), blob(4, 16384, hosted), blobScanout(4), unref(4));
  expect(bench.device.screenshot(0)).toBeNull();
  bench.run(create(1, 64, 64), { op: "resourceFlush", ...full, resourceId: 1 });
});

it("CVE row 35: a message shorter than its structure", () => {
  for (const type of [0x101, 0x102, 0x103, 0x104, 0x105, 0x106, 0x10a, 0x10c, 0x10d, 0x204, 0x207, 0x208]) {
    expect(raw(type, []), `type ${type}`).toBe(P);
  }
  // The commands behind the header are never taken from bytes of an earlier request.
  bench.picture(9, { width: 64, height: 64 });
  expect(raw(0x102, [])).toBe(P);
  expect(bench.device.usage.resources).toBe(1);
});

it("a device on a split queue of its own survives the rows above by pattern, not by luck", () => {
  const driver = new MockSplitDriver(bench.ram, { size: 8, address: 0x3_0000 });
  const queue = createSplitDeviceQueue({
    memory: bench.ram,
    addresses: driver.addresses,
    indirect: false,
    eventIndex: true,
  });
  bench.ram.write(FREE_MEMORY, patterned(4096, 1));
  driver.chain(0, [
    { address: FREE_MEMORY, length: 4096 },
    { address: FREE_MEMORY + 4096, length: 24, flags: WRITE },
  ]);
  bench.device.process(0, queue);
  expect(driver.used(0)).toEqual({ id: 0, length: 24 });
});

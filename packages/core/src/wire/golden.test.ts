/**
 * Golden bytes, independent of schema.ts. First derived by hand from the tables of VIRTIO 1.2 section 5.7.6: one request
 * of every command, one reply of every kind; groups of eight digits are 32-bit words, as they lie in memory. Then
 * captured from a real QEMU (packages/lab/scripts/capture-golden.ts), where a second, independent encoder wrote the
 * requests.
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  type Command,
  decodeCommand,
  decodeReply,
  encodeCommand,
  encodeReply,
  type HeaderValues,
  type Reply,
} from "./gpu.gen.ts";

const rect = { x: 1, y: 2, width: 0x300, height: 0x400 };
const RECT = "01000000 02000000 00030000 00040000";
const box = { x: 1, y: 2, z: 3, width: 4, height: 5, depth: 6 };
const BOX = "01000000 02000000 03000000 04000000 05000000 06000000";
const entries = [
  { address: 0x1_2345_6000, byteLength: 0x2000 },
  { address: 0x1f_ffff_ffff_f000, byteLength: 0x1000 },
];
const ENTRIES = "00604523 01000000 00200000 00000000 00f0ffff ffff1f00 00100000 00000000";

/** Text in a fixed field, as the writer takes it and as the reader gives it. */
function padded(text: string, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  bytes.set(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  return bytes;
}

/** A header without flags, for this type. */
const plain = (type: string): string => `${type} 00000000 00000000 00000000 00000000 00000000`;
const zeros = (words: number): string => Array.from({ length: words }, () => "00000000").join(" ");

function hex(words: Uint32Array): string {
  const bytes = [...new Uint8Array(words.buffer, words.byteOffset, words.byteLength)];
  const digits = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replaceAll(/(.{8})(?=.)/g, "$1 ");
}

const requests: readonly (readonly [Command, string])[] = [
  [{ op: "getDisplayInfo" }, plain("00010000")],
  [
    { op: "resourceCreate2d", resourceId: 7, format: 67, width: 1280, height: 800 },
    `${plain("01010000")} 07000000 43000000 00050000 20030000`,
  ],
  [{ op: "resourceUnref", resourceId: 0x01020304 }, `${plain("02010000")} 04030201 00000000`],
  [{ op: "setScanout", ...rect, scanoutId: 15, resourceId: 7 }, `${plain("03010000")} ${RECT} 0f000000 07000000`],
  [{ op: "resourceFlush", ...rect, resourceId: 7 }, `${plain("04010000")} ${RECT} 07000000 00000000`],
  [
    { op: "transferToHost2d", ...rect, offset: 0x12_3456_789a, resourceId: 7 },
    `${plain("05010000")} ${RECT} 9a785634 12000000 07000000 00000000`,
  ],
  [{ op: "resourceAttachBacking", resourceId: 7, entries }, `${plain("06010000")} 07000000 02000000 ${ENTRIES}`],
  [{ op: "resourceDetachBacking", resourceId: 7 }, `${plain("07010000")} 07000000 00000000`],
  [{ op: "getCapsetInfo", capsetIndex: 1 }, `${plain("08010000")} 01000000 00000000`],
  [{ op: "getCapset", capsetId: 2, capsetVersion: 3 }, `${plain("09010000")} 02000000 03000000`],
  [{ op: "getEdid", scanoutId: 5 }, `${plain("0a010000")} 05000000 00000000`],
  [{ op: "resourceAssignUuid", resourceId: 7 }, `${plain("0b010000")} 07000000 00000000`],
  [
    {
      op: "resourceCreateBlob",
      resourceId: 7,
      blobMemory: 1,
      blobFlags: 3,
      blobIdLow: 0x55667788,
      blobIdHigh: 0x11223344,
      size: 0x1_0000_3000,
      entries,
    },
    `${plain("0c010000")} 07000000 01000000 03000000 02000000 88776655 44332211 00300000 01000000 ${ENTRIES}`,
  ],
  [
    {
      op: "setScanoutBlob",
      ...rect,
      scanoutId: 1,
      resourceId: 7,
      framebufferWidth: 1920,
      framebufferHeight: 1080,
      format: 2,
      strides: [7680, 1, 2, 3],
      offsets: [4096, 4, 5, 6],
    },
    `${plain("0d010000")} ${RECT} 01000000 07000000 80070000 38040000 02000000 00000000 ` +
      "001e0000 01000000 02000000 03000000 00100000 04000000 05000000 06000000",
  ],
  [
    { op: "ctxCreate", nameLength: 7, contextInit: 4, debugName: padded("virtgpu", 64) },
    `${plain("00020000")} 07000000 04000000 76697274 67707500 ${zeros(14)}`,
  ],
  [{ op: "ctxDestroy" }, plain("01020000")],
  [{ op: "ctxAttachResource", resourceId: 7 }, `${plain("02020000")} 07000000 00000000`],
  [{ op: "ctxDetachResource", resourceId: 7 }, `${plain("03020000")} 07000000 00000000`],
  [
    {
      op: "resourceCreate3d",
      resourceId: 7,
      target: 2,
      format: 3,
      bind: 4,
      width: 5,
      height: 6,
      depth: 7,
      arraySize: 8,
      lastLevel: 9,
      sampleCount: 10,
      flags: 1,
    },
    `${plain("04020000")} 07000000 02000000 03000000 04000000 05000000 06000000 07000000 ` +
      "08000000 09000000 0a000000 01000000 00000000",
  ],
  [
    { op: "transferToHost3d", ...box, offset: 0x1000, resourceId: 7, level: 8, stride: 9, layerStride: 10 },
    `${plain("05020000")} ${BOX} 00100000 00000000 07000000 08000000 09000000 0a000000`,
  ],
  [
    { op: "transferFromHost3d", ...box, offset: 0x1000, resourceId: 7, level: 8, stride: 9, layerStride: 10 },
    `${plain("06020000")} ${BOX} 00100000 00000000 07000000 08000000 09000000 0a000000`,
  ],
  [
    { op: "submit3d", data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
    `${plain("07020000")} 08000000 00000000 01020304 05060708`,
  ],
  [
    { op: "resourceMapBlob", resourceId: 7, offset: 0x2_0000_1000 },
    `${plain("08020000")} 07000000 00000000 00100000 02000000`,
  ],
  [{ op: "resourceUnmapBlob", resourceId: 7 }, `${plain("09020000")} 07000000 00000000`],
  [
    { op: "updateCursor", scanoutId: 1, x: 2, y: 3, resourceId: 7, hotX: 4, hotY: 5 },
    `${plain("00030000")} 01000000 02000000 03000000 00000000 07000000 04000000 05000000 00000000`,
  ],
  [
    { op: "moveCursor", scanoutId: 1, x: 2, y: 3, resourceId: 7, hotX: 4, hotY: 5 },
    `${plain("01030000")} 01000000 02000000 03000000 00000000 07000000 04000000 05000000 00000000`,
  ],
];

const off = { x: 0, y: 0, width: 0, height: 0, enabled: 0, flags: 0 };

const answers: readonly (readonly [Reply, string])[] = [
  [{ code: "okNoData" }, plain("00110000")],
  [
    {
      code: "okDisplayInfo",
      modes: [
        { ...rect, enabled: 1, flags: 9 },
        ...Array.from({ length: 14 }, () => off),
        { ...rect, enabled: 1, flags: 0 },
      ],
    },
    `${plain("01110000")} ${RECT} 01000000 09000000 ${zeros(14 * 6)} ${RECT} 01000000 00000000`,
  ],
  [
    { code: "okCapsetInfo", capsetId: 2, maxVersion: 1, maxSize: 1384 },
    `${plain("02110000")} 02000000 01000000 68050000 00000000`,
  ],
  [{ code: "okCapset", data: Uint8Array.of(1, 2, 3, 4) }, `${plain("03110000")} 01020304`],
  [
    { code: "okEdid", size: 256, edid: padded("\x00\xff\xff\xff", 1024) },
    `${plain("04110000")} 00010000 00000000 00ffffff ${zeros(255)}`,
  ],
  [
    { code: "okResourceUuid", uuid: padded("0123456789abcdef", 16) },
    `${plain("05110000")} 30313233 34353637 38396162 63646566`,
  ],
  [{ code: "okMapInfo", mapInfo: 3 }, `${plain("06110000")} 03000000 00000000`],
  [{ code: "errUnspec" }, plain("00120000")],
  [{ code: "errOutOfMemory" }, plain("01120000")],
  [{ code: "errInvalidScanoutId" }, plain("02120000")],
  [{ code: "errInvalidResourceId" }, plain("03120000")],
  [{ code: "errInvalidContextId" }, plain("04120000")],
  [{ code: "errInvalidParameter" }, plain("05120000")],
];

describe("golden bytes", () => {
  it.each(requests)("of $op", (command, bytes) => {
    const words = encodeCommand(command);
    expect(hex(words)).toBe(bytes);
    expect(decodeCommand(words, words.byteLength)).toMatchObject({ ok: true, command });
  });

  it.each(answers)("of $code", (reply, bytes) => {
    const words = encodeReply(reply);
    expect(hex(words)).toBe(bytes);
    expect(decodeReply(words, words.byteLength)).toMatchObject({ ok: true, reply });
  });

  it("of a header with everything in it", () => {
    const header = { flags: 3, fenceLow: 0x55667788, fenceHigh: 0x11223344, contextId: 9, ringIndex: 63 };
    expect(hex(encodeCommand({ op: "ctxDestroy" }, header))).toBe(
      "01020000 03000000 88776655 44332211 09000000 3f000000",
    );
  });

  it("cover every command and every kind of reply", () => {
    expect(new Set(requests.map(([{ op }]) => op)).size).toBe(26);
    expect(new Set(answers.map(([{ code }]) => code)).size).toBe(13);
  });
});

/** A line of the captured file; only what these tests read of it. */
interface Exchange {
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>> & { readonly command: string };
  readonly header?: { readonly flags: number; readonly fenceId: string; contextId: number; ringIndex: number };
  readonly request: string;
  readonly used: number;
  readonly reply: string;
}

function captured(): readonly Exchange[] {
  const file = new URL("../../test/golden/qemu-7.2.jsonl", import.meta.url);
  const [, ...lines] = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line): Exchange => JSON.parse(line));
}

/** The specification's names of fields, where ours are not the same in camel case. */
const RENAMED: Readonly<Record<string, string>> = { nr_entries: "entryCount", scanout: "scanoutId" };

function camel(name: string): string {
  return RENAMED[name] ?? name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** Our command with the same fields, or null for bytes that are none. */
function commandOf({ fields }: Exchange): Command | null {
  const {
    command: op,
    r,
    entries,
    cursor,
    ...rest
  } = fields as typeof fields & {
    readonly r?: readonly number[];
    readonly entries?: readonly (readonly [number, number])[];
    readonly cursor?: Readonly<Record<string, number>>;
  };
  if (op === "raw") return null;
  const [x, y, width, height] = r ?? [];
  const named = Object.entries({ ...rest, ...cursor }).map(([name, value]) => [camel(name), value]);
  return {
    op: camel(op),
    ...(r === undefined ? {} : { x, y, width, height }),
    ...(entries === undefined ? {} : { entries: entries.map(([address, byteLength]) => ({ address, byteLength })) }),
    ...Object.fromEntries(named),
  } as Command;
}

function headerOf({ header }: Exchange): Partial<HeaderValues> {
  if (header === undefined) return {};
  const { fenceId, ...rest } = header;
  const wide = BigInt(`0x${fenceId}`);
  return { ...rest, fenceLow: Number(wide & 0xffffffffn), fenceHigh: Number(wide >> 32n) };
}

/** Bytes as whole words; what is missing at the end is 0. */
function wordsOf(digits: string, byteLength: number): Uint32Array {
  const bytes = new Uint8Array((byteLength + 3) & ~3);
  bytes.set(Buffer.from(digits, "hex"));
  return new Uint32Array(bytes.buffer);
}

const REPLY_BYTES: Readonly<Record<string, number>> = { getDisplayInfo: 408, getEdid: 1056 };

describe("bytes exchanged with a real QEMU", () => {
  const exchanges = captured();

  it("are what our encoder writes for the same fields, and our decoder reads back", () => {
    let compared = 0;
    for (const exchange of exchanges) {
      const command = commandOf(exchange);
      if (command === null) continue;
      const request = wordsOf(exchange.request, exchange.request.length / 2);
      expect(hex(encodeCommand(command, headerOf(exchange))), exchange.name).toBe(hex(request));
      expect(decodeCommand(request, request.byteLength), exchange.name).toMatchObject({
        ok: true,
        command,
        header: headerOf(exchange),
      });
      compared += 1;
    }
    expect(compared).toBeGreaterThan(150);
  });

  it("are replies that our decoder reads and our encoder writes, with the fence exactly as QEMU echoes it", () => {
    const codes = new Set<string>();
    for (const exchange of exchanges) {
      const { used, header } = exchange;
      const words = wordsOf(exchange.reply, used);
      const decoded = decodeReply(words, used);
      if (!decoded.ok) {
        // Nothing (the cursor queue), or cut by the driver's buffer.
        expect([0, 4, 24, 60], exchange.name).toContain(used);
        continue;
      }
      const isFenced = ((header?.flags ?? 0) & 1) !== 0;
      const { fenceLow = 0, fenceHigh = 0, contextId = 0 } = isFenced ? headerOf(exchange) : {};
      const echo = { flags: isFenced ? 1 : 0, fenceLow, fenceHigh, contextId, ringIndex: 0 };
      expect(decoded.header, exchange.name).toMatchObject(echo);
      expect(hex(encodeReply(decoded.reply, echo)), exchange.name).toBe(hex(words));
      const op = commandOf(exchange)?.op ?? "";
      const isError = decoded.reply.code.startsWith("err");
      expect(used, exchange.name).toBe(isError ? 24 : (REPLY_BYTES[op] ?? 24));
      codes.add(decoded.reply.code);
    }
    expect([...codes].toSorted()).toEqual([
      "errInvalidParameter",
      "errInvalidResourceId",
      "errInvalidScanoutId",
      "errOutOfMemory",
      "errUnspec",
      "okDisplayInfo",
      "okEdid",
      "okNoData",
    ]);
  });
});

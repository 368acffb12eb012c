/**
 * The generated codecs against the table they come from, read by a second, slow interpreter over bytes: every field
 * lies where the table says, padding is 0, nothing beside is touched; and what is encoded is decoded.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Command,
  COMMANDS,
  decodeCommand,
  decodeReply,
  encodeCommand,
  encodeReply,
  HEADER_WORDS,
  type HeaderValues,
  readHeader,
  REPLIES,
  type Reply,
  writeHeader,
} from "./gpu.gen.ts";
import * as generated from "./gpu.gen.ts";
import {
  commands,
  displayMode,
  type Field,
  fieldOffsets,
  header,
  memoryEntry,
  replies,
  type Struct,
  structBytes,
} from "./schema.ts";

/** A structure's members by name. */
type Values = Record<string, unknown>;

const u32 = fc.nat({ max: 0xffffffff }).map((value) => value >>> 0);
const u64 = fc.oneof(fc.maxSafeNat(), u32);
const bytesOf = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

const RECT = ["x", "y", "width", "height"];
const BOX = ["x", "y", "z", "width", "height", "depth"];

const parts = (names: readonly string[]): Record<string, fc.Arbitrary<unknown>> =>
  Object.fromEntries(names.map((name) => [name, u32]));

function arbitrariesOf(field: Field): Record<string, fc.Arbitrary<unknown>> {
  switch (field.type) {
    case "u32":
      return { [field.name]: u32 };
    case "u8":
      return { [field.name]: fc.nat(255) };
    case "u64":
      return { [field.name]: u64 };
    case "opaque64":
      return { [`${field.name}Low`]: u32, [`${field.name}High`]: u32 };
    case "u32x4":
      return { [field.name]: fc.tuple(u32, u32, u32, u32) };
    case "bytes":
      return { [field.name]: bytesOf(field.byteLength) };
    case "rect":
      return parts(RECT);
    case "box":
      return parts(BOX);
    case "displayModes":
      return { [field.name]: fc.array(valuesOf(displayMode), { minLength: 16, maxLength: 16 }) };
    case "padding":
      return {};
  }
}

function valuesOf(struct: Struct): fc.Arbitrary<Values> {
  return fc.record(Object.assign({}, ...struct.fields.map(arbitrariesOf)) as Record<string, fc.Arbitrary<unknown>>);
}

/** The slow way: each member as bytes, by the table. */
function bytesOfField(field: Field, values: Values): readonly number[] {
  const little = (value: unknown, length: number): number[] =>
    Array.from({ length }, (_, index) => Number((BigInt(Number(value)) >> BigInt(8 * index)) & 0xffn));
  const value = values[field.name];
  switch (field.type) {
    case "u32":
    case "u8":
      return little(value, 4);
    case "u64":
      return little(value, 8);
    case "opaque64":
      return [...little(values[`${field.name}Low`], 4), ...little(values[`${field.name}High`], 4)];
    case "u32x4":
      return (value as number[]).flatMap((each) => little(each, 4));
    case "bytes":
      return [...(value as Uint8Array)];
    case "rect":
      return RECT.flatMap((name) => little(values[name], 4));
    case "box":
      return BOX.flatMap((name) => little(values[name], 4));
    case "displayModes":
      return (value as Values[]).flatMap((mode) => displayMode.fields.flatMap((each) => bytesOfField(each, mode)));
    case "padding":
      return [0, 0, 0, 0];
  }
}

const functions: Record<string, unknown> = { ...generated };

function callable(name: string): (...parameters: unknown[]) => unknown {
  const found = functions[name];
  if (typeof found !== "function") throw new Error(`gpu.gen.ts exports no ${name}`);
  return found as (...parameters: unknown[]) => unknown;
}

const structs = [
  memoryEntry,
  displayMode,
  ...new Set([...commands.map(({ body }) => body), ...replies.map(({ body }) => body)]),
].filter(({ fields }) => fields.length > 0);

describe("flat codecs", () => {
  it.each(structs.map((struct) => [struct.name, struct] as const))("%s", (name, struct) => {
    const write = callable(`write${name}`);
    const read = callable(`read${name}`);
    const words = structBytes(struct) / 4;
    const first = struct.hasHeader ? HEADER_WORDS : 0;
    fc.assert(
      fc.property(valuesOf(struct), fc.nat(5), (values, at) => {
        const memory = new Uint32Array(at + words + 3).fill(0xa5a5a5a5);
        write(memory, at, ...Object.values(values));
        const expected = new Uint8Array(memory.byteLength).fill(0xa5);
        for (const { field, offset } of fieldOffsets(struct)) {
          expected.set(bytesOfField(field, values), at * 4 + offset);
        }
        expect(new Uint8Array(memory.buffer)).toEqual(expected);
        expect(memory.subarray(0, at + first).every((word) => word === 0xa5a5a5a5)).toBe(true);
        expect(read(memory, at)).toEqual(values);
      }),
      { numRuns: 40 },
    );
  });

  it("read zero behind the end of the array", () => {
    expect(generated.readResourceFlush(new Uint32Array(2), 0)).toEqual({
      x: 0,
      y: 0,
      width: 0,
      height: 0,
      resourceId: 0,
    });
    expect(generated.readDisplayInfoReply(new Uint32Array(2), 0).modes).toHaveLength(16);
  });

  it("turn an address of 2^53 or more into Infinity", () => {
    const entry = Uint32Array.of(0x1000, 0x200000, 4096, 0);
    expect(generated.readMemoryEntryAddress(entry, 0)).toBe(Infinity);
    expect(generated.readMemoryEntry(entry, 0)).toEqual({ address: Infinity, byteLength: 4096 });
    expect(generated.readMemoryEntryByteLength(entry, 0)).toBe(4096);
    entry[1] = 0x1fffff;
    expect(generated.readMemoryEntryAddress(entry, 0)).toBe(0x1fffff00001000);
  });

  it("ignore padding", () => {
    const words = new Uint32Array(8).fill(0xffffffff);
    expect(generated.readResourceUnref(words, 0)).toEqual({ resourceId: 0xffffffff });
  });

  it("wrap negative cursor positions to 32 bits", () => {
    const words = new Uint32Array(14);
    generated.writeMoveCursor(words, 0, 0, -1, -2, 0, 0, 0);
    expect(generated.readMoveCursor(words, 0)).toMatchObject({ x: 0xffffffff, y: 0xfffffffe });
  });

  it("fill modes that are not given with zeros", () => {
    const words = new Uint32Array(102).fill(0xffffffff);
    generated.writeDisplayInfoReply(words, 0, [{ x: 1, y: 2, width: 3, height: 4, enabled: 1, flags: 0 }]);
    expect([...words.subarray(6, 12)]).toEqual([1, 2, 3, 4, 1, 0]);
    expect(words.subarray(12).every((word) => word === 0)).toBe(true);
  });
});

const headerValues: fc.Arbitrary<HeaderValues> = fc.record({
  flags: u32,
  fenceLow: u32,
  fenceHigh: u32,
  contextId: u32,
  ringIndex: fc.nat(255),
});

describe("the header", () => {
  it("lies as the table says, ring_idx in one byte and its padding 0", () => {
    fc.assert(
      fc.property(u32, headerValues, fc.nat(3), (type, values, at) => {
        const memory = new Uint32Array(at + 7).fill(0xa5a5a5a5);
        const { flags, fenceLow, fenceHigh, contextId, ringIndex } = values;
        writeHeader(memory, at, type, flags, fenceLow, fenceHigh, contextId, ringIndex + 0x100);
        const bytes = header.fields.flatMap((field) => bytesOfField(field, { type, ...values }));
        expect([...new Uint8Array(memory.buffer, at * 4, 24)]).toEqual(bytes);
        expect(memory[at + 6]).toBe(0xa5a5a5a5);
        expect(readHeader(memory, at)).toEqual({ type, ...values });
      }),
    );
  });

  it("is read without its padding", () => {
    expect(readHeader(Uint32Array.of(1, 2, 3, 4, 5, 0xffffff3f), 0).ringIndex).toBe(0x3f);
  });
});

/** An object of the face, from the table: the structure, without its count, with its tail. */
function objectOf(tag: "op" | "code", name: string, struct: Struct): fc.Arbitrary<Values> {
  const tail: Record<string, fc.Arbitrary<unknown>> = {};
  if (struct.tail?.kind === "entries") tail["entries"] = fc.array(valuesOf(memoryEntry), { maxLength: 5 });
  if (struct.tail?.kind === "data") tail["data"] = fc.uint8Array({ maxLength: 21 });
  return fc.tuple(valuesOf(struct), fc.record(tail)).map(([values, rest]) => {
    const { [struct.tail?.countField ?? ""]: _count, ...body } = values;
    return { [tag]: name, ...body, ...rest };
  });
}

const anyCommand = fc.oneof(...commands.map(({ op, body }) => objectOf("op", op, body))) as fc.Arbitrary<unknown>;
const anyReply = fc.oneof(...replies.map(({ code, body }) => objectOf("code", code, body))) as fc.Arbitrary<unknown>;

function exactBytes(value: Command | Reply, words: Uint32Array): number {
  return "data" in value ? words.byteLength - ((4 - (value.data.length % 4)) % 4) : words.byteLength;
}

describe("the object face", () => {
  it.each(commands.map(({ op, key, body }) => [op, key, body] as const))("%s survives the wire", (op, key, body) => {
    fc.assert(
      fc.property(objectOf("op", op, body), headerValues, (value, values) => {
        const words = encodeCommand(value as Command, values);
        const decoded = decodeCommand(words, exactBytes(value as Command, words));
        expect(decoded).toMatchObject({ ok: true, command: value, header: values });
        expect(COMMANDS.get(words[0] ?? 0)).toMatchObject({ name: key, requestBytes: structBytes(body) });
      }),
      { numRuns: 30 },
    );
  });

  it.each(replies.map(({ code, key, body }) => [code, key, body] as const))(
    "%s survives the wire",
    (code, key, body) => {
      fc.assert(
        fc.property(objectOf("code", code, body), headerValues, (value, values) => {
          const words = encodeReply(value as Reply, values);
          const decoded = decodeReply(words, exactBytes(value as Reply, words));
          expect(decoded).toMatchObject({ ok: true, reply: value, header: values });
          expect(REPLIES.get(words[0] ?? 0)).toMatchObject({ name: key, bytes: structBytes(body) });
        }),
        { numRuns: 30 },
      );
    },
  );

  it("ignores bytes behind a command", () => {
    const words = Uint32Array.of(...encodeCommand({ op: "resourceUnref", resourceId: 7 }), 1, 2);
    expect(decodeCommand(words, 40)).toMatchObject({ ok: true, command: { op: "resourceUnref", resourceId: 7 } });
  });

  it("refuses every cut of every command and reply, and tells its type", () => {
    fc.assert(
      fc.property(anyCommand, (value) => {
        const words = encodeCommand(value as Command);
        const whole = exactBytes(value as Command, words);
        for (let cut = 0; cut < whole; cut += 1) {
          expect(decodeCommand(words, cut)).toMatchObject({ ok: false, type: cut < 24 ? 0 : words[0] });
        }
      }),
      { numRuns: 60 },
    );
  });

  it("refuses what is announced and not there", () => {
    const words = encodeCommand({ op: "resourceAttachBacking", resourceId: 1, entries: [] });
    words[7] = 0xffffffff;
    expect(decodeCommand(words, 32)).toMatchObject({ ok: false, type: 0x106 });
    expect(decodeCommand(words, 36)).toMatchObject({ ok: false, type: 0 });
    expect(decodeReply(words, 32)).toMatchObject({ ok: false, type: 0x106 });
  });
});

describe("hostile bytes", () => {
  const types = fc.oneof(u32, fc.constantFrom(...COMMANDS.keys()), fc.constantFrom(...REPLIES.keys()));
  const words = fc
    .tuple(types, fc.array(fc.oneof(u32, fc.nat(4)), { maxLength: 300 }))
    .map(([type, rest]) => Uint32Array.of(type, ...rest));
  const lengths = fc.oneof(fc.nat(1300), fc.double(), fc.constantFrom(-1, NaN, Infinity, 24.5, 25.5, 2 ** 40));

  it("never make a decoder throw, whatever length is claimed", () => {
    fc.assert(
      fc.property(words, lengths, (memory, byteLength) => {
        for (const decoded of [decodeCommand(memory, byteLength), decodeReply(memory, byteLength)]) {
          if (!decoded.ok) expect(decoded.reason).not.toBe("");
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("that decode as a command are that command: encoding gives the same bytes, padding and surplus apart", () => {
    fc.assert(
      fc.property(anyCommand, anyReply, (command, reply) => {
        const request = encodeCommand(command as Command);
        const decoded = decodeCommand(request, exactBytes(command as Command, request));
        if (!decoded.ok) throw new Error(decoded.reason);
        expect(encodeCommand(decoded.command, decoded.header)).toEqual(request);
        const answer = encodeReply(reply as Reply);
        const read = decodeReply(answer, exactBytes(reply as Reply, answer));
        if (!read.ok) throw new Error(read.reason);
        expect(encodeReply(read.reply, read.header)).toEqual(answer);
      }),
    );
  });
});

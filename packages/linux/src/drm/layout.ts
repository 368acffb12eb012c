/**
 * Structures as a C compiler lays them out on the kernel's 64-bit little-endian machines: naturally aligned fields, the size
 * a multiple of the widest. Tables of names say what is in them ({@link structs}); bytes are made of values and values of bytes by those.
 *
 * These are messages to the kernel, private until it is called: DataView does for them.
 */
import { type FieldType, type StructName, structs } from "./structs.ts";

/** The value of a field of a type. */
export type FieldValue<T extends string> = T extends "u64"
  ? bigint
  : T extends `u64[${number}]`
    ? readonly bigint[]
    : T extends `u32[${number}]`
      ? readonly number[]
      : T extends `char[${number}]`
        ? string
        : T extends StructName
          ? StructValue<T>
          : number;

/** The value of a structure. */
export type StructValue<N extends StructName> = {
  readonly [K in keyof (typeof structs)[N]]: (typeof structs)[N][K] extends string
    ? FieldValue<(typeof structs)[N][K]>
    : never;
};

/** Where the fields of a structure lie, and how long it is. */
export interface StructLayout {
  readonly bytes: number;
  readonly align: number;
  readonly fields: readonly { readonly name: string; readonly type: FieldType; readonly offset: number }[];
}

/** How a type is laid out, and how its values go in and out. */
interface Codec {
  readonly bytes: number;
  readonly align: number;
  write(view: DataView, at: number, value: unknown): void;
  read(view: DataView, at: number): unknown;
}

const scalars: Readonly<Record<"u16" | "u32" | "s32" | "u64", Codec>> = {
  u16: {
    bytes: 2,
    align: 2,
    write: (view, at, value) => view.setUint16(at, Number(value), true),
    read: (view, at) => view.getUint16(at, true),
  },
  u32: {
    bytes: 4,
    align: 4,
    write: (view, at, value) => view.setUint32(at, Number(value), true),
    read: (view, at) => view.getUint32(at, true),
  },
  s32: {
    bytes: 4,
    align: 4,
    write: (view, at, value) => view.setInt32(at, Number(value), true),
    read: (view, at) => view.getInt32(at, true),
  },
  u64: {
    bytes: 8,
    align: 8,
    write: (view, at, value) => view.setBigUint64(at, value as bigint, true),
    read: (view, at) => view.getBigUint64(at, true),
  },
};

/** A char array: its string ends with a NUL, and what doesn't fit is cut off. */
function charsCodec(bytes: number): Codec {
  return {
    bytes,
    align: 1,
    write: (view, at, value) => {
      const text = String(value);
      for (let index = 0; index < Math.min(text.length, bytes - 1); index += 1)
        view.setUint8(at + index, text.charCodeAt(index) & 0x7f);
    },
    read: (view, at) => {
      const all = new Uint8Array(view.buffer, view.byteOffset + at, bytes);
      const end = all.indexOf(0);
      return String.fromCharCode(...all.subarray(0, end === -1 ? bytes : end));
    },
  };
}

function arrayCodec(of: Codec, count: number): Codec {
  const indices = Array.from({ length: count }, (_, index) => index);
  return {
    bytes: of.bytes * count,
    align: of.align,
    write: (view, at, value) => {
      for (const [index, element] of (value as readonly unknown[]).slice(0, count).entries())
        of.write(view, at + index * of.bytes, element);
    },
    read: (view, at) => indices.map((index) => of.read(view, at + index * of.bytes)),
  };
}

function structCodec(name: StructName): Codec {
  const { bytes, align, fields } = layoutOf(name);
  const codecs = fields.map((field) => ({ ...field, codec: codecOf(field.type) }));
  return {
    bytes,
    align,
    write: (view, at, value) => {
      const values = value as Readonly<Record<string, unknown>>;
      for (const field of codecs) {
        const given = values[field.name];
        if (given !== undefined) field.codec.write(view, at + field.offset, given);
      }
    },
    read: (view, at) =>
      Object.fromEntries(codecs.map((field) => [field.name, field.codec.read(view, at + field.offset)])),
  };
}

const known = new Map<FieldType, Codec>();

function codecOf(type: FieldType): Codec {
  const codec = known.get(type) ?? makeCodec(type);
  known.set(type, codec);
  return codec;
}

function makeCodec(type: FieldType): Codec {
  if (isStructName(type)) return structCodec(type);
  const [, of = type, count = "1"] = /^(\w+)\[(\d+)\]$/.exec(type) ?? [];
  if (of === "char") return charsCodec(Number(count));
  const scalar = scalars[of as keyof typeof scalars];
  return of === type ? scalar : arrayCodec(scalar, Number(count));
}

const isStructName = (type: string): type is StructName => Object.hasOwn(structs, type);

const alignUp = (value: number, align: number): number => Math.ceil(value / align) * align;

/** The layout of a structure. */
export function layoutOf(name: StructName): StructLayout {
  const fields = Object.entries<FieldType>(structs[name]);
  let end = 0;
  let widest = 1;
  const placed = fields.map(([field, type]) => {
    const { bytes, align } = codecOf(type);
    const offset = alignUp(end, align);
    end = offset + bytes;
    widest = Math.max(widest, align);
    return { name: field, type, offset };
  });
  return { bytes: alignUp(end, widest), align: widest, fields: placed };
}

/** A structure's bytes. Fields that are not given are zero. */
export function encode<N extends StructName>(name: N, value: Partial<StructValue<N>>): Uint8Array<ArrayBuffer> {
  const codec = codecOf(name);
  const encoded = new Uint8Array(codec.bytes);
  codec.write(new DataView(encoded.buffer), 0, value);
  return encoded;
}

/** A structure's value. Throws RangeError where the bytes are too few. */
export function decode<N extends StructName>(name: N, bytes: Uint8Array): StructValue<N> {
  return codecOf(name).read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0) as StructValue<N>;
}

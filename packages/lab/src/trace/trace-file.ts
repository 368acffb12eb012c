/**
 * A recorded run as a file: JSON lines, the first one a header, then what happened in the order in which it did. Requests
 * and replies are there byte by byte, and so is the guest memory that a command had the device read.
 */
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { deflateRawSync, inflateRawSync } from "node:zlib";
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import * as v from "valibot";

/** Version of the format. */
export const TRACE_VERSION = 1;

/** No line is longer: a page, or a request with all the entries that a device takes. */
const LINE_BYTES_MAX = 4 << 20;
const COMMAND_BYTES_MAX = 1 << 20;

const ZEROS = Buffer.alloc(PAGE_BYTES);
/** The driver waits while a page is packed. */
const FAST = 1;

const hex = (bytesMax: number): v.GenericSchema<string> =>
  v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2})*$/), v.maxLength(2 * bytesMax));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(16_384));
const name = v.pipe(v.string(), v.maxLength(200));
const queue = v.picklist(["control", "cursor"]);

/** The first line: what was recorded, and the sizes of its outputs in pixels. */
export interface TraceHeader {
  readonly kind: "virtgpu-trace";
  readonly version: number;
  readonly host: string;
  readonly outputs: readonly { readonly width: number; readonly height: number }[];
}

/** Queues by their names. */
export type TraceQueue = "control" | "cursor";

/**
 * What happened. Times are milliseconds from the beginning; bytes are in hexadecimal.
 *
 * `power`: a machine was switched on, in the process of this number (from 1), with an image to come back from or without;
 * nothing is left of an earlier one's device. `session`: the device was reset, these features were negotiated. `page`: guest memory that the next command has the
 * device read, deflated, in base64; empty: all zero. `command`: `capacity` is the room for the reply. `phase`: of a
 * sleep. `picture`: what an output showed then, its RGBA bytes hashed; null: it was dark.
 */
export type TraceEntry =
  | { readonly kind: "power"; readonly atMs: number; readonly process: number; readonly fromImage: boolean }
  | { readonly kind: "session"; readonly device: string; readonly atMs: number; readonly features: string }
  | { readonly kind: "page"; readonly address: number; readonly data: string }
  | {
      readonly kind: "command";
      readonly device: string;
      readonly queue: TraceQueue;
      readonly sequence: number;
      readonly atMs: number;
      readonly capacity: number;
      readonly request: string;
    }
  | {
      readonly kind: "reply";
      readonly device: string;
      readonly queue: TraceQueue;
      readonly sequence: number;
      readonly atMs: number;
      readonly bytes: string;
    }
  | {
      readonly kind: "phase";
      readonly device: string;
      readonly phase: string;
      readonly state: "begin" | "end" | "fail";
      readonly atMs: number;
    }
  | {
      readonly kind: "picture";
      readonly device: string;
      readonly output: number;
      readonly picture: { readonly width: number; readonly height: number; readonly sha256: string } | null;
    };

const headerSchema: v.GenericSchema<unknown, TraceHeader> = v.strictObject({
  kind: v.literal("virtgpu-trace"),
  version: v.number(),
  host: name,
  outputs: v.pipe(v.array(v.strictObject({ width: size, height: size })), v.minLength(1), v.maxLength(16)),
});

const entrySchema: v.GenericSchema<unknown, TraceEntry> = v.variant("kind", [
  v.strictObject({ kind: v.literal("power"), atMs: v.number(), process: count, fromImage: v.boolean() }),
  v.strictObject({ kind: v.literal("session"), device: name, atMs: v.number(), features: hex(8) }),
  v.strictObject({ kind: v.literal("page"), address: count, data: v.pipe(v.string(), v.base64(), v.maxLength(8192)) }),
  v.strictObject({
    kind: v.literal("command"),
    device: name,
    queue,
    sequence: count,
    atMs: v.number(),
    capacity: v.pipe(count, v.maxValue(COMMAND_BYTES_MAX)),
    request: hex(COMMAND_BYTES_MAX),
  }),
  v.strictObject({
    kind: v.literal("reply"),
    device: name,
    queue,
    sequence: count,
    atMs: v.number(),
    bytes: hex(COMMAND_BYTES_MAX),
  }),
  v.strictObject({
    kind: v.literal("phase"),
    device: name,
    phase: name,
    state: v.picklist(["begin", "end", "fail"]),
    atMs: v.number(),
  }),
  v.strictObject({
    kind: v.literal("picture"),
    device: name,
    output: v.pipe(count, v.maxValue(15)),
    picture: v.nullable(v.strictObject({ width: size, height: size, sha256: hex(32) })),
  }),
]);

/** An entry of one kind. */
export type TraceEntryOf<Kind extends TraceEntry["kind"]> = Extract<TraceEntry, { kind: Kind }>;

/** A recorded run, open to be read once. */
export interface Trace {
  readonly header: TraceHeader;
  readonly entries: AsyncIterable<TraceEntry>;
}

/** A page of guest memory for an entry; an empty text for one that is all zero. */
export function packPage(page: Uint8Array): string {
  return ZEROS.equals(page) ? "" : deflateRawSync(page, { level: FAST }).toString("base64");
}

/** The page again. Throws GpuError EINVAL when it is none. */
export function unpackPage(data: string): Uint8Array {
  if (data === "") return new Uint8Array(PAGE_BYTES);
  try {
    const page = inflateRawSync(Buffer.from(data, "base64"), { maxOutputLength: PAGE_BYTES });
    if (page.byteLength === PAGE_BYTES) return new Uint8Array(page);
  } catch {
    // Said below.
  }
  throw new GpuError("EINVAL", "the trace holds a page of memory that can't be unpacked");
}

/** Opens a trace. Throws GpuError EINVAL for what is none, and while it is read where a line is wrong; ENOENT and its like. */
export async function openTrace(path: string): Promise<Trace> {
  const lines = linesOf(path);
  const first = await lines.next();
  if (first.done === true) throw notATrace(path);
  const header = parse(headerSchema, first.value, path, 1);
  if (header.version !== TRACE_VERSION) {
    throw new GpuError(
      "EINVAL",
      `${path} has version ${header.version} of the format; this program reads ${TRACE_VERSION}`,
    );
  }
  return { header, entries: entriesOf(lines, path) };
}

async function* entriesOf(lines: AsyncIterable<string>, path: string): AsyncGenerator<TraceEntry> {
  let number = 1;
  for await (const line of lines) {
    number += 1;
    yield parse(entrySchema, line, path, number);
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  const stream = createReadStream(path, "utf8");
  // A file without line ends is refused before it fills the memory.
  let sinceLineEnd = 0;
  stream.on("data", (chunk) => {
    const text = String(chunk);
    const end = text.lastIndexOf("\n");
    sinceLineEnd = end < 0 ? sinceLineEnd + text.length : text.length - end;
    if (sinceLineEnd > LINE_BYTES_MAX) stream.destroy(notATrace(path));
  });
  const failed = new Promise<never>((_, reject) => stream.on("error", reject));
  failed.catch(() => {});
  const lines = createInterface({ input: stream, crlfDelay: Infinity })[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([lines.next(), failed]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    stream.destroy();
  }
}

function parse<T>(schema: v.GenericSchema<unknown, T>, line: string, path: string, number: number): T {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw number === 1 ? notATrace(path) : wrongLine(path, number, "is cut off, or no JSON");
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const where = v.getDotPath(issue);
  throw number === 1 ? notATrace(path) : wrongLine(path, number, `${where ?? "entry"}: ${issue.message}`);
}

function notATrace(path: string): GpuError {
  return new GpuError("EINVAL", `${path} is no trace of virtgpu`);
}

function wrongLine(path: string, number: number, why: string): GpuError {
  return new GpuError("EINVAL", `line ${number} of ${path} ${why.slice(0, 200)}`);
}

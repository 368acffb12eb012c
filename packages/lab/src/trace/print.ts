/**
 * A trace for people: one line a command, with its fields by the specification's names, and what became of it.
 */
import { GpuCommand, HEADER_BYTES, HeaderFlag, commandName, joinU64, readHeader, replyName } from "@virtgpu/core/wire";
import * as wire from "@virtgpu/core/wire";
import { rangesOfRequest, wordsOf } from "./backings.ts";
import type { Trace, TraceEntry, TraceEntryOf } from "./trace-file.ts";

type Read = (u32: Uint32Array, at: number) => object;

/** How the fields of each command are read. */
const FIELDS: ReadonlyMap<number, Read> = new Map<number, Read>([
  [GpuCommand.RESOURCE_CREATE_2D, wire.readResourceCreate2d],
  [GpuCommand.RESOURCE_UNREF, wire.readResourceUnref],
  [GpuCommand.SET_SCANOUT, wire.readSetScanout],
  [GpuCommand.RESOURCE_FLUSH, wire.readResourceFlush],
  [GpuCommand.TRANSFER_TO_HOST_2D, wire.readTransferToHost2d],
  [GpuCommand.RESOURCE_ATTACH_BACKING, wire.readResourceAttachBacking],
  [GpuCommand.RESOURCE_DETACH_BACKING, wire.readResourceDetachBacking],
  [GpuCommand.GET_CAPSET_INFO, wire.readGetCapsetInfo],
  [GpuCommand.GET_CAPSET, wire.readGetCapset],
  [GpuCommand.GET_EDID, wire.readGetEdid],
  [GpuCommand.RESOURCE_ASSIGN_UUID, wire.readResourceAssignUuid],
  [GpuCommand.RESOURCE_CREATE_BLOB, wire.readResourceCreateBlob],
  [GpuCommand.SET_SCANOUT_BLOB, wire.readSetScanoutBlob],
  [GpuCommand.CTX_CREATE, wire.readCtxCreate],
  [GpuCommand.CTX_ATTACH_RESOURCE, wire.readCtxResource],
  [GpuCommand.CTX_DETACH_RESOURCE, wire.readCtxResource],
  [GpuCommand.RESOURCE_CREATE_3D, wire.readResourceCreate3d],
  [GpuCommand.TRANSFER_TO_HOST_3D, wire.readTransferHost3d],
  [GpuCommand.TRANSFER_FROM_HOST_3D, wire.readTransferHost3d],
  [GpuCommand.SUBMIT_3D, wire.readSubmit3d],
  [GpuCommand.RESOURCE_MAP_BLOB, wire.readResourceMapBlob],
  [GpuCommand.RESOURCE_UNMAP_BLOB, wire.readResourceUnmapBlob],
  [GpuCommand.UPDATE_CURSOR, wire.readUpdateCursor],
  [GpuCommand.MOVE_CURSOR, wire.readUpdateCursor],
]);

const RANGES_SHOWN = 4;

/** The trace's lines. */
export async function* printTrace({ header, entries }: Trace): AsyncGenerator<string> {
  const sizes = header.outputs.map(({ width, height }) => `${width}x${height}`).join(", ");
  yield `recorded on ${header.host}, outputs ${sizes}`;
  const open = new Map<string, { readonly name: string; readonly atMs: number }>();
  let pages = 0;
  for await (const entry of entries) {
    if (entry.kind === "page") {
      pages += 1;
      continue;
    }
    if (entry.kind === "command" && pages > 0) yield `${place(entry.atMs)}${pages} pages of guest memory`;
    if (entry.kind === "command") pages = 0;
    yield lineOf(entry, open);
  }
}

function lineOf(
  entry: Exclude<TraceEntry, { kind: "page" }>,
  open: Map<string, { readonly name: string; readonly atMs: number }>,
): string {
  switch (entry.kind) {
    case "power":
      return `${place(entry.atMs)}machine ${entry.process} is switched on${entry.fromImage ? ", with the image" : ""}`;
    case "session":
      return `${place(entry.atMs)}${entry.device}: reset; features 0x${entry.features.replace(/^0+(?=.)/, "")}`;
    case "phase":
      return `${place(entry.atMs)}${entry.device}: ${entry.phase} ${entry.state}`;
    case "picture": {
      const { picture } = entry;
      const shown = picture === null ? "dark" : `${picture.width}x${picture.height} ${picture.sha256.slice(0, 16)}`;
      return `${" ".repeat(12)}${entry.device}: output ${entry.output} shows ${shown}`;
    }
    case "command": {
      const words = wordsOf(Buffer.from(entry.request, "hex"));
      const name = commandName(words[0] ?? 0);
      open.set(keyOf(entry), { name, atMs: entry.atMs });
      return `${place(entry.atMs)}${numberOf(entry)} ${describeRequest(words)}`;
    }
    case "reply": {
      const asked = open.get(keyOf(entry));
      open.delete(keyOf(entry));
      const words = wordsOf(Buffer.from(entry.bytes, "hex"));
      const took = asked === undefined ? "" : ` (${asked.name}, ${(entry.atMs - asked.atMs).toFixed(3)} ms)`;
      return `${place(entry.atMs)}${numberOf(entry)}   -> ${describeReply(words, entry.bytes.length / 2)}${took}`;
    }
  }
}

/** A request in a line: its name, its fields, its fence, its memory. */
export function describeRequest(words: Uint32Array): string {
  if (4 * words.length < HEADER_BYTES) return `${4 * words.length} bytes, less than a header`;
  const { type, flags, fenceLow, fenceHigh, contextId, ringIndex } = readHeader(words, 0);
  const read = FIELDS.get(type);
  const parts = [commandName(type)];
  if (read !== undefined) parts.push(fieldsOf(read(words, 0)));
  if (contextId !== 0) parts.push(`context ${contextId}`);
  if ((flags & HeaderFlag.FENCE) !== 0) parts.push(`fence ${joinU64(fenceLow, fenceHigh)}`);
  if ((flags & HeaderFlag.INFO_RING_IDX) !== 0) parts.push(`ring ${ringIndex}`);
  const ranges = rangesOfRequest(words);
  const shown = ranges
    .slice(0, RANGES_SHOWN)
    .map(({ address, byteLength }) => `0x${address.toString(16)}+${byteLength}`);
  if (ranges.length > RANGES_SHOWN) shown.push(`${ranges.length - RANGES_SHOWN} more`);
  if (shown.length > 0) parts.push(`memory ${shown.join(", ")}`);
  return parts.filter((part) => part !== "").join("  ");
}

function describeReply(words: Uint32Array, byteLength: number): string {
  if (byteLength === 0) return "returned";
  if (byteLength < HEADER_BYTES) return `${byteLength} bytes, less than a header`;
  const { type, flags, fenceLow, fenceHigh } = readHeader(words, 0);
  const fence = (flags & HeaderFlag.FENCE) === 0 ? "" : `  fence ${joinU64(fenceLow, fenceHigh)}`;
  const more = byteLength > HEADER_BYTES ? `  and ${byteLength - HEADER_BYTES} bytes` : "";
  return `${replyName(type)}${fence}${more}`;
}

function fieldsOf(fields: object): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? `[${value.join(" ")}]` : String(value)}`)
    .join(", ");
}

function place(atMs: number): string {
  return `${atMs.toFixed(3).padStart(10)}  `;
}

function numberOf({ device, queue, sequence }: TraceEntryOf<"command" | "reply">): string {
  return `${device} ${queue.padEnd(7)} ${String(sequence).padStart(5)}`;
}

function keyOf({ device, queue, sequence }: TraceEntryOf<"command" | "reply">): string {
  return `${device} ${queue} ${sequence}`;
}

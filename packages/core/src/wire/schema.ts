/**
 * Every structure, command and reply of virtio-gpu, declared once, as data (VIRTIO 1.2 section 5.7, with v1.4's
 * `blob_alignment`). The codecs of gpu.gen.ts are printed from this table by `npm run wire`, and a test holds its sizes
 * and offsets against the kernel's own header. Nothing interprets it at run time.
 *
 * Names on the left are ours; the C names are the specification's, to be searched for there.
 */
import { type GpuCommand, GpuQueue, GpuReply } from "./gpu.ts";

/**
 * How a field lies on the wire.
 *
 * | type | bytes | in code |
 * | --- | --- | --- |
 * | u32 | 4 | number |
 * | u8 | 4 | number: one byte, and the three padding bytes after it |
 * | u64 | 8 | one number: exact below 2^53, `Infinity` from there on |
 * | opaque64 | 8 | two numbers, low and high: never calculated with |
 * | u32x4 | 16 | a tuple |
 * | bytes | `byteLength` | Uint8Array |
 * | rect | 16 | x, y, width, height |
 * | box | 24 | x, y, z, width, height, depth |
 * | displayModes | 16 x 24 | array of {@link displayMode} |
 * | padding | 4 | written as 0, not read |
 */
export type FieldType =
  | "u32"
  | "u8"
  | "u64"
  | "opaque64"
  | "u32x4"
  | "bytes"
  | "rect"
  | "box"
  | "displayModes"
  | "padding";

/** One field: our name, the C name, and how it lies on the wire. */
export interface Field {
  readonly name: string;
  readonly cName: string;
  readonly type: FieldType;
  readonly byteLength: number;
  readonly doc: string;
}

/** What follows the fixed part: `countField` memory entries, `countField` bytes, or all the bytes there are. */
export type Tail =
  | { readonly kind: "entries"; readonly countField: string }
  | { readonly kind: "data"; readonly countField: string | null };

/** A C structure, with or without the 24-byte header in front. */
export interface Struct {
  /** Our name, in upper camel case; the generated functions and constants are named by it. */
  readonly name: string;
  readonly cName: string;
  readonly section: string;
  readonly hasHeader: boolean;
  readonly fields: readonly Field[];
  readonly tail: Tail | null;
}

/** A command: its type, its queue, its body and the reply that means success. */
export interface CommandSpec {
  readonly key: keyof typeof GpuCommand;
  /** The discriminant of the object face. */
  readonly op: string;
  readonly queue: GpuQueue;
  readonly body: Struct;
  readonly reply: GpuReply;
}

/** A reply with its body. */
export interface ReplySpec {
  readonly key: keyof typeof GpuReply;
  /** The discriminant of the object face. */
  readonly code: string;
  readonly body: Struct;
}

const BYTES: Readonly<Record<Exclude<FieldType, "bytes">, number>> = {
  u32: 4,
  u8: 4,
  u64: 8,
  opaque64: 8,
  u32x4: 16,
  rect: 16,
  box: 24,
  displayModes: 16 * 24,
  padding: 4,
};

/** The header that starts every request and reply, in bytes. */
export const HEADER_STRUCT_BYTES = 24;

function field(type: Exclude<FieldType, "bytes" | "padding">, name: string, cName: string, doc: string): Field {
  return { name, cName, type, byteLength: BYTES[type], doc };
}

function bytes(name: string, cName: string, byteLength: number, doc: string): Field {
  return { name, cName, type: "bytes", byteLength, doc };
}

const padding: Field = { name: "padding", cName: "padding", type: "padding", byteLength: 4, doc: "" };
const rect: Field = field("rect", "rect", "r", "");
const resourceId: Field = field("u32", "resourceId", "resource_id", "Chosen by the driver, not 0.");
const scanoutId: Field = field("u32", "scanoutId", "scanout_id", "0 to 15.");

/** What a structure is named, and where it is specified. */
interface Naming {
  readonly cName: string;
  readonly section: string;
}

/** A request or reply: the header, these fields, and perhaps a tail. */
function body(name: string, naming: Naming, fields: readonly Field[], tail: Tail | null = null): Struct {
  return { name, ...naming, hasHeader: true, fields, tail };
}

const control = (cName: string): Naming => ({ cName: `virtio_gpu_${cName}`, section: "5.7.6.8" });
const threeD = (cName: string): Naming => ({ cName: `virtio_gpu_${cName}`, section: "5.7.6.9" });
const cursor = (cName: string): Naming => ({ cName: `virtio_gpu_${cName}`, section: "5.7.6.10" });

/** Bytes of a structure's fixed part, header included. */
export function structBytes(struct: Struct): number {
  const start = struct.hasHeader ? HEADER_STRUCT_BYTES : 0;
  return struct.fields.reduce((sum, each) => sum + each.byteLength, start);
}

/** A structure's fields with their byte offsets. */
export function fieldOffsets(struct: Struct): readonly { readonly field: Field; readonly offset: number }[] {
  let next = struct.hasHeader ? HEADER_STRUCT_BYTES : 0;
  return struct.fields.map((each) => {
    const offset = next;
    next += each.byteLength;
    return { field: each, offset };
  });
}

/** A request or reply that is the header alone. */
const empty: Struct = body("Empty", { cName: "virtio_gpu_ctrl_hdr", section: "5.7.6.7" }, []);

/** What starts every request and reply. */
export const header: Struct = {
  name: "Header",
  cName: "virtio_gpu_ctrl_hdr",
  section: "5.7.6.7",
  hasHeader: false,
  fields: [
    field("u32", "type", "type", "A GpuCommand or GpuReply."),
    field("u32", "flags", "flags", "Bits of HeaderFlag."),
    field("opaque64", "fence", "fence_id", "The driver's; the device repeats it when FENCE is set."),
    field("u32", "contextId", "ctx_id", "3D only."),
    field("u8", "ringIndex", "ring_idx", "0 to 63, with INFO_RING_IDX."),
  ],
  tail: null,
};

/** One range of guest memory (section 5.7.6.8). */
export const memoryEntry: Struct = {
  name: "MemoryEntry",
  cName: "virtio_gpu_mem_entry",
  section: "5.7.6.8",
  hasHeader: false,
  fields: [
    field("u64", "address", "addr", "Where the range starts: a guest-physical, or bus, address."),
    field("u32", "byteLength", "length", "Bytes."),
    padding,
  ],
  tail: null,
};

/** One output in GET_DISPLAY_INFO's reply. */
export const displayMode: Struct = {
  name: "DisplayMode",
  cName: "virtio_gpu_display_one",
  section: "5.7.6.8",
  hasHeader: false,
  fields: [
    rect,
    field("u32", "enabled", "enabled", "Not 0: somebody looks at this output."),
    field("u32", "flags", "flags", "None is defined."),
  ],
  tail: null,
};

/** The device-specific configuration space (section 5.7.4). */
export const configSpace: Struct = {
  name: "GpuConfig",
  cName: "virtio_gpu_config",
  section: "5.7.4",
  hasHeader: false,
  fields: [
    field("u32", "EVENTS_READ", "events_read", "Pending events, bits of GpuEvent. Read-only."),
    field("u32", "EVENTS_CLEAR", "events_clear", "Bits written here are cleared in events_read."),
    field("u32", "NUM_SCANOUTS", "num_scanouts", "Outputs, 1 to 16. Read-only."),
    field("u32", "NUM_CAPSETS", "num_capsets", "Capability sets, may be 0. Read-only."),
    field("u32", "BLOB_ALIGNMENT", "blob_alignment", "v1.4: bytes; absent without the feature. Read-only."),
  ],
  tail: null,
};

const resourceUnref = body("ResourceUnref", control("resource_unref"), [resourceId, padding]);
const resourceCreate2d = body("ResourceCreate2d", control("resource_create_2d"), [
  resourceId,
  field("u32", "format", "format", "A Format."),
  field("u32", "width", "width", "Pixels."),
  field("u32", "height", "height", "Pixels."),
]);
const setScanout = body("SetScanout", control("set_scanout"), [
  rect,
  scanoutId,
  field("u32", "resourceId", "resource_id", "What to show; 0 switches the output off."),
]);
const resourceFlush = body("ResourceFlush", control("resource_flush"), [rect, resourceId, padding]);
const transferToHost2d = body("TransferToHost2d", control("transfer_to_host_2d"), [
  rect,
  field("u64", "offset", "offset", "Byte offset of the rectangle's first pixel in the backing."),
  resourceId,
  padding,
]);
const resourceAttachBacking = body(
  "ResourceAttachBacking",
  control("resource_attach_backing"),
  [resourceId, field("u32", "entryCount", "nr_entries", "Memory entries that follow.")],
  { kind: "entries", countField: "entryCount" },
);
const resourceDetachBacking = body("ResourceDetachBacking", control("resource_detach_backing"), [resourceId, padding]);
const getCapsetInfo = body("GetCapsetInfo", control("get_capset_info"), [
  field("u32", "capsetIndex", "capset_index", "0 to num_capsets - 1: an index, not an id."),
  padding,
]);
const getCapset = body("GetCapset", control("get_capset"), [
  field("u32", "capsetId", "capset_id", "A Capset."),
  field("u32", "capsetVersion", "capset_version", "At most the version in CapsetInfoReply."),
]);
const getEdid = body("GetEdid", control("cmd_get_edid"), [field("u32", "scanoutId", "scanout", "0 to 15."), padding]);
const resourceAssignUuid = body("ResourceAssignUuid", control("resource_assign_uuid"), [resourceId, padding]);
const resourceCreateBlob = body(
  "ResourceCreateBlob",
  control("resource_create_blob"),
  [
    resourceId,
    field("u32", "blobMemory", "blob_mem", "A BlobMemory."),
    field("u32", "blobFlags", "blob_flags", "Bits of BlobFlag."),
    field("u32", "entryCount", "nr_entries", "Memory entries that follow; may be 0."),
    field("opaque64", "blobId", "blob_id", "Names host storage, together with the context id in the header."),
    field("u64", "size", "size", "Bytes."),
  ],
  { kind: "entries", countField: "entryCount" },
);
const setScanoutBlob = body("SetScanoutBlob", control("set_scanout_blob"), [
  rect,
  scanoutId,
  field("u32", "resourceId", "resource_id", "The blob to show; 0 switches the output off."),
  field("u32", "framebufferWidth", "width", "Pixels, of the whole image in the blob."),
  field("u32", "framebufferHeight", "height", "Pixels, of the whole image in the blob."),
  field("u32", "format", "format", "A Format."),
  padding,
  field("u32x4", "strides", "strides", "Bytes from row to row, per plane; plane 0 is used."),
  field("u32x4", "offsets", "offsets", "Byte offset in the blob, per plane; plane 0 is used."),
]);

const ctxCreate = body("CtxCreate", threeD("ctx_create"), [
  field("u32", "nameLength", "nlen", "Bytes of debugName that count."),
  field("u32", "contextInit", "context_init", "Low 8 bits: a Capset; with CONTEXT_INIT only."),
  bytes("debugName", "debug_name", 64, "Text, not necessarily ending in 0."),
]);
const ctxResource = body("CtxResource", threeD("ctx_resource"), [resourceId, padding]);
const resourceCreate3d = body("ResourceCreate3d", threeD("resource_create_3d"), [
  resourceId,
  field("u32", "target", "target", "A Gallium texture target."),
  field("u32", "format", "format", "A virgl format."),
  field("u32", "bind", "bind", "virgl bind bits."),
  field("u32", "width", "width", "Pixels, or bytes of a buffer."),
  field("u32", "height", "height", "Pixels."),
  field("u32", "depth", "depth", "Pixels."),
  field("u32", "arraySize", "array_size", "Layers."),
  field("u32", "lastLevel", "last_level", "Highest mipmap level."),
  field("u32", "sampleCount", "nr_samples", "Samples per pixel."),
  field("u32", "flags", "flags", "Bits of Resource3dFlag."),
  padding,
]);
const transferHost3d = body("TransferHost3d", threeD("transfer_host_3d"), [
  field("box", "box", "box", ""),
  field("u64", "offset", "offset", "Byte offset in the backing."),
  resourceId,
  field("u32", "level", "level", "Mipmap level."),
  field("u32", "stride", "stride", "Bytes from row to row; 0: as the format has it."),
  field("u32", "layerStride", "layer_stride", "Bytes from layer to layer; 0: as the format has it."),
]);
const submit3d = body(
  "Submit3d",
  threeD("cmd_submit"),
  [field("u32", "size", "size", "Bytes of command stream that follow."), padding],
  { kind: "data", countField: "size" },
);
const resourceMapBlob = body("ResourceMapBlob", threeD("resource_map_blob"), [
  resourceId,
  padding,
  field("u64", "offset", "offset", "Bytes, into the HOST_VISIBLE shared memory region."),
]);
const resourceUnmapBlob = body("ResourceUnmapBlob", threeD("resource_unmap_blob"), [resourceId, padding]);

const updateCursor = body("UpdateCursor", cursor("update_cursor"), [
  field("u32", "scanoutId", "pos.scanout_id", "0 to 15."),
  field("u32", "x", "pos.x", "Pixels, in the output."),
  field("u32", "y", "pos.y", "Pixels, in the output."),
  { ...padding, cName: "pos.padding" },
  field(
    "u32",
    "resourceId",
    "resource_id",
    "The picture, 64 x 64; 0 hides the cursor. MOVE_CURSOR leaves the picture.",
  ),
  field("u32", "hotX", "hot_x", "Pixels, in the picture."),
  field("u32", "hotY", "hot_y", "Pixels, in the picture."),
  padding,
]);

const displayInfoReply = body("DisplayInfoReply", control("resp_display_info"), [
  field("displayModes", "modes", "pmodes", "16 outputs, the existing ones first."),
]);
const capsetInfoReply = body("CapsetInfoReply", control("resp_capset_info"), [
  field("u32", "capsetId", "capset_id", "A Capset."),
  field("u32", "maxVersion", "capset_max_version", "Highest version."),
  field("u32", "maxSize", "capset_max_size", "Bytes of the set, at most."),
  padding,
]);
const capsetReply = body("CapsetReply", control("resp_capset"), [], { kind: "data", countField: null });
const edidReply = body("EdidReply", control("resp_edid"), [
  field("u32", "size", "size", "Bytes of edid that count, as the device claims; may exceed what it filled."),
  padding,
  bytes("edid", "edid", 1024, "EDID blocks of 128 bytes, then zeros."),
]);
const resourceUuidReply = body("ResourceUuidReply", control("resp_resource_uuid"), [
  bytes("uuid", "uuid", 16, "A UUID, in its textual order."),
]);
const mapInfoReply = body("MapInfoReply", threeD("resp_map_info"), [
  field("u32", "mapInfo", "map_info", "Under MAP_CACHE_MASK: a MapCache."),
  padding,
]);

type CommandKey = keyof typeof GpuCommand;

function command(key: CommandKey, op: string, struct: Struct, reply: GpuReply = GpuReply.OK_NODATA): CommandSpec {
  return { key, op, queue: GpuQueue.CONTROL, body: struct, reply };
}

function cursorCommand(key: CommandKey, op: string): CommandSpec {
  return { key, op, queue: GpuQueue.CURSOR, body: updateCursor, reply: GpuReply.OK_NODATA };
}

/** All commands, in the order of their numbers. */
export const commands: readonly CommandSpec[] = [
  command("GET_DISPLAY_INFO", "getDisplayInfo", empty, GpuReply.OK_DISPLAY_INFO),
  command("RESOURCE_CREATE_2D", "resourceCreate2d", resourceCreate2d),
  command("RESOURCE_UNREF", "resourceUnref", resourceUnref),
  command("SET_SCANOUT", "setScanout", setScanout),
  command("RESOURCE_FLUSH", "resourceFlush", resourceFlush),
  command("TRANSFER_TO_HOST_2D", "transferToHost2d", transferToHost2d),
  command("RESOURCE_ATTACH_BACKING", "resourceAttachBacking", resourceAttachBacking),
  command("RESOURCE_DETACH_BACKING", "resourceDetachBacking", resourceDetachBacking),
  command("GET_CAPSET_INFO", "getCapsetInfo", getCapsetInfo, GpuReply.OK_CAPSET_INFO),
  command("GET_CAPSET", "getCapset", getCapset, GpuReply.OK_CAPSET),
  command("GET_EDID", "getEdid", getEdid, GpuReply.OK_EDID),
  command("RESOURCE_ASSIGN_UUID", "resourceAssignUuid", resourceAssignUuid, GpuReply.OK_RESOURCE_UUID),
  command("RESOURCE_CREATE_BLOB", "resourceCreateBlob", resourceCreateBlob),
  command("SET_SCANOUT_BLOB", "setScanoutBlob", setScanoutBlob),
  command("CTX_CREATE", "ctxCreate", ctxCreate),
  command("CTX_DESTROY", "ctxDestroy", empty),
  command("CTX_ATTACH_RESOURCE", "ctxAttachResource", ctxResource),
  command("CTX_DETACH_RESOURCE", "ctxDetachResource", ctxResource),
  command("RESOURCE_CREATE_3D", "resourceCreate3d", resourceCreate3d),
  command("TRANSFER_TO_HOST_3D", "transferToHost3d", transferHost3d),
  command("TRANSFER_FROM_HOST_3D", "transferFromHost3d", transferHost3d),
  command("SUBMIT_3D", "submit3d", submit3d),
  command("RESOURCE_MAP_BLOB", "resourceMapBlob", resourceMapBlob, GpuReply.OK_MAP_INFO),
  command("RESOURCE_UNMAP_BLOB", "resourceUnmapBlob", resourceUnmapBlob),
  cursorCommand("UPDATE_CURSOR", "updateCursor"),
  cursorCommand("MOVE_CURSOR", "moveCursor"),
];

/** All replies, in the order of their numbers. */
export const replies: readonly ReplySpec[] = [
  { key: "OK_NODATA", code: "okNoData", body: empty },
  { key: "OK_DISPLAY_INFO", code: "okDisplayInfo", body: displayInfoReply },
  { key: "OK_CAPSET_INFO", code: "okCapsetInfo", body: capsetInfoReply },
  { key: "OK_CAPSET", code: "okCapset", body: capsetReply },
  { key: "OK_EDID", code: "okEdid", body: edidReply },
  { key: "OK_RESOURCE_UUID", code: "okResourceUuid", body: resourceUuidReply },
  { key: "OK_MAP_INFO", code: "okMapInfo", body: mapInfoReply },
  { key: "ERR_UNSPEC", code: "errUnspec", body: empty },
  { key: "ERR_OUT_OF_MEMORY", code: "errOutOfMemory", body: empty },
  { key: "ERR_INVALID_SCANOUT_ID", code: "errInvalidScanoutId", body: empty },
  { key: "ERR_INVALID_RESOURCE_ID", code: "errInvalidResourceId", body: empty },
  { key: "ERR_INVALID_CONTEXT_ID", code: "errInvalidContextId", body: empty },
  { key: "ERR_INVALID_PARAMETER", code: "errInvalidParameter", body: empty },
];

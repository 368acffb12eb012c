/**
 * The numbers of virtio-gpu: VIRTIO 1.2 section 5.7 (v1.4 where said). Names are the specification's, without their
 * `VIRTIO_GPU_` prefixes. Objects are open on the wire: a peer may send any number, so a field is a `number` until it
 * was found in one of these.
 */

/** Virtio device id of a GPU; as a PCI device it is 1af4:1050. */
export const GPU_DEVICE_ID = 16;

/** Queue indexes (section 5.7.2). The cursor queue is a fast path for cursor commands only. */
export const GpuQueue = { CONTROL: 0, CURSOR: 1 } as const;
export type GpuQueue = (typeof GpuQueue)[keyof typeof GpuQueue];

/** Device-type feature bit numbers (section 5.7.3). */
export const GpuFeature = {
  /** 3D mode: contexts, 3D resources, capability sets. */
  VIRGL: 0,
  EDID: 1,
  RESOURCE_UUID: 2,
  /** Resources by size instead of by format. */
  RESOURCE_BLOB: 3,
  /** Context types and a timeline of fences per context; needs VIRGL. */
  CONTEXT_INIT: 4,
  /** v1.4: the `blob_alignment` configuration field; needs RESOURCE_BLOB. */
  BLOB_ALIGNMENT: 5,
} as const;
export type GpuFeature = (typeof GpuFeature)[keyof typeof GpuFeature];

/** Bits of `events_read` and `events_clear` (section 5.7.4). */
export const GpuEvent = {
  /** The display configuration changed: ask for it, and for EDID, again. */
  DISPLAY: 1,
} as const;
export type GpuEvent = (typeof GpuEvent)[keyof typeof GpuEvent];

/** Command types (section 5.7.6.7). */
export const GpuCommand = {
  GET_DISPLAY_INFO: 0x100,
  RESOURCE_CREATE_2D: 0x101,
  RESOURCE_UNREF: 0x102,
  SET_SCANOUT: 0x103,
  RESOURCE_FLUSH: 0x104,
  TRANSFER_TO_HOST_2D: 0x105,
  RESOURCE_ATTACH_BACKING: 0x106,
  RESOURCE_DETACH_BACKING: 0x107,
  GET_CAPSET_INFO: 0x108,
  GET_CAPSET: 0x109,
  GET_EDID: 0x10a,
  RESOURCE_ASSIGN_UUID: 0x10b,
  RESOURCE_CREATE_BLOB: 0x10c,
  SET_SCANOUT_BLOB: 0x10d,
  CTX_CREATE: 0x200,
  CTX_DESTROY: 0x201,
  CTX_ATTACH_RESOURCE: 0x202,
  CTX_DETACH_RESOURCE: 0x203,
  RESOURCE_CREATE_3D: 0x204,
  TRANSFER_TO_HOST_3D: 0x205,
  TRANSFER_FROM_HOST_3D: 0x206,
  SUBMIT_3D: 0x207,
  RESOURCE_MAP_BLOB: 0x208,
  RESOURCE_UNMAP_BLOB: 0x209,
  UPDATE_CURSOR: 0x300,
  MOVE_CURSOR: 0x301,
} as const;
export type GpuCommand = (typeof GpuCommand)[keyof typeof GpuCommand];

/** Reply types (section 5.7.6.7). From {@link GpuReply.ERR_UNSPEC} on they are errors. */
export const GpuReply = {
  OK_NODATA: 0x1100,
  OK_DISPLAY_INFO: 0x1101,
  OK_CAPSET_INFO: 0x1102,
  OK_CAPSET: 0x1103,
  OK_EDID: 0x1104,
  OK_RESOURCE_UUID: 0x1105,
  OK_MAP_INFO: 0x1106,
  ERR_UNSPEC: 0x1200,
  ERR_OUT_OF_MEMORY: 0x1201,
  ERR_INVALID_SCANOUT_ID: 0x1202,
  ERR_INVALID_RESOURCE_ID: 0x1203,
  ERR_INVALID_CONTEXT_ID: 0x1204,
  ERR_INVALID_PARAMETER: 0x1205,
} as const;
export type GpuReply = (typeof GpuReply)[keyof typeof GpuReply];

/** Bits of the header's `flags` (section 5.7.6.7). */
export const HeaderFlag = {
  /** Finish the operation before replying; the reply repeats the flag and the fence id. */
  FENCE: 1,
  /** `ring_idx` names the context's timeline; only with CONTEXT_INIT. */
  INFO_RING_IDX: 2,
} as const;
export type HeaderFlag = (typeof HeaderFlag)[keyof typeof HeaderFlag];

/** Timelines per context: `ring_idx` is below this. */
export const CONTEXT_RINGS_MAX = 64;

/** Pixel formats (section 5.7.6.8, RESOURCE_CREATE_2D): the name is the order of the bytes in memory. */
export const Format = {
  B8G8R8A8: 1,
  B8G8R8X8: 2,
  A8R8G8B8: 3,
  X8R8G8B8: 4,
  R8G8B8A8: 67,
  X8B8G8R8: 68,
  A8B8G8R8: 121,
  R8G8B8X8: 134,
} as const;
export type Format = (typeof Format)[keyof typeof Format];

/** Every format has four bytes a pixel. */
export const BYTES_PER_PIXEL = 4;

/** Which byte of a pixel holds which channel. `alpha` is -1 for formats without: their fourth byte means nothing, the pixel is opaque. */
export interface FormatChannels {
  readonly name: keyof typeof Format;
  readonly bytesPerPixel: number;
  readonly red: number;
  readonly green: number;
  readonly blue: number;
  readonly alpha: number;
}

/**
 * Formats by number, with what is needed to convert a pixel to RGBA. Measured on QEMU: bytes 10 20 30 40 are shown as
 * RGB 30 20 10 (formats 1, 2), 20 30 40 (3, 4), 10 20 30 (67, 134), 40 30 20 (68, 121).
 */
export const FORMATS: ReadonlyMap<number, FormatChannels> = new Map<number, FormatChannels>([
  [Format.B8G8R8A8, { name: "B8G8R8A8", bytesPerPixel: 4, red: 2, green: 1, blue: 0, alpha: 3 }],
  [Format.B8G8R8X8, { name: "B8G8R8X8", bytesPerPixel: 4, red: 2, green: 1, blue: 0, alpha: -1 }],
  [Format.A8R8G8B8, { name: "A8R8G8B8", bytesPerPixel: 4, red: 1, green: 2, blue: 3, alpha: 0 }],
  [Format.X8R8G8B8, { name: "X8R8G8B8", bytesPerPixel: 4, red: 1, green: 2, blue: 3, alpha: -1 }],
  [Format.R8G8B8A8, { name: "R8G8B8A8", bytesPerPixel: 4, red: 0, green: 1, blue: 2, alpha: 3 }],
  [Format.X8B8G8R8, { name: "X8B8G8R8", bytesPerPixel: 4, red: 3, green: 2, blue: 1, alpha: -1 }],
  [Format.A8B8G8R8, { name: "A8B8G8R8", bytesPerPixel: 4, red: 3, green: 2, blue: 1, alpha: 0 }],
  [Format.R8G8B8X8, { name: "R8G8B8X8", bytesPerPixel: 4, red: 0, green: 1, blue: 2, alpha: -1 }],
]);

/** Where a blob's storage is (section 5.7.6.8). HOST3D and HOST3D_GUEST need VIRGL. */
export const BlobMemory = { GUEST: 1, HOST3D: 2, HOST3D_GUEST: 3 } as const;
export type BlobMemory = (typeof BlobMemory)[keyof typeof BlobMemory];

/** What a blob will be used for. */
export const BlobFlag = { USE_MAPPABLE: 1, USE_SHAREABLE: 2, USE_CROSS_DEVICE: 4 } as const;
export type BlobFlag = (typeof BlobFlag)[keyof typeof BlobFlag];

/** Caching of a mapped blob: the bits of `map_info` under {@link MAP_CACHE_MASK}. */
export const MapCache = { NONE: 0, CACHED: 1, UNCACHED: 2, WRITE_COMBINED: 3 } as const;
export type MapCache = (typeof MapCache)[keyof typeof MapCache];

/** The part of `map_info` that is a {@link MapCache}. */
export const MAP_CACHE_MASK = 0xf;

/** Capability sets. 1 and 2 are the specification's; the others are from the Linux header. */
export const Capset = { VIRGL: 1, VIRGL2: 2, GFXSTREAM_VULKAN: 3, VENUS: 4, CROSS_DOMAIN: 5, DRM: 6 } as const;
export type Capset = (typeof Capset)[keyof typeof Capset];

/** The part of `context_init` that is a {@link Capset}. */
export const CONTEXT_INIT_CAPSET_MASK = 0xff;

/** Bits of RESOURCE_CREATE_3D's `flags`. */
export const Resource3dFlag = { Y_0_TOP: 1 } as const;
export type Resource3dFlag = (typeof Resource3dFlag)[keyof typeof Resource3dFlag];

/** Ids of shared memory regions. HOST_VISIBLE is where RESOURCE_MAP_BLOB maps to. */
export const SharedMemoryId = { UNDEFINED: 0, HOST_VISIBLE: 1 } as const;
export type SharedMemoryId = (typeof SharedMemoryId)[keyof typeof SharedMemoryId];

/** Outputs a device can have; `num_scanouts` is 1 to this. */
export const MAX_SCANOUTS = 16;
/** A cursor resource is this wide and high, in pixels. */
export const CURSOR_SIZE = 64;
/** Most memory entries in one RESOURCE_ATTACH_BACKING or RESOURCE_CREATE_BLOB that QEMU takes. */
export const ENTRIES_MAX = 16384;
/** Smallest width and height of a scanout rectangle that QEMU takes, in pixels. */
export const SCANOUT_SIZE_MIN = 16;
/** What to show when no output is enabled at start (section 5.7.5), in pixels. */
export const FALLBACK_MODE: { readonly width: number; readonly height: number } = { width: 1024, height: 768 };

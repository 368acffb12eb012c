/**
 * What a virtio-gpu device is configured with, and the checks on it.
 */
import { GpuError } from "../base/errors.ts";
import { Guard } from "../base/guard.ts";
import type { Random } from "../base/random.ts";
import { silentTracer, type Tracer, unfailing } from "../base/tracer.ts";
import { ENTRIES_MAX, GpuFeature, MAX_SCANOUTS } from "../wire/gpu.ts";
import { EDID_BLOCK_BYTES, EDID_BYTES_MAX, generateEdid } from "../wire/edid/index.ts";
import { featureBit } from "../wire/virtio.ts";
import type { DisplaySink } from "./display-sink.ts";
import { GuardedRenderer } from "./guards.ts";
import type { Renderer } from "./renderer.ts";

/** A monitor on an output. */
export interface OutputLayout {
  /** The preferred mode, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Hertz; default 60. */
  readonly refreshHz?: number;
  /** Size of the picture in millimetres, 10 to 2550; default 0: unknown. */
  readonly widthMm?: number;
  readonly heightMm?: number;
  /** The monitor's name in its EDID: at most 13 printable ASCII characters. */
  readonly name?: string;
}

/** An output as it stands. A disabled one keeps the rest of its layout. */
export interface DeviceOutput {
  readonly enabled: boolean;
  readonly width: number;
  readonly height: number;
  readonly refreshHz: number;
  readonly widthMm: number;
  readonly heightMm: number;
  /** Empty: no name of its own. */
  readonly name: string;
}

/** Options of {@link VirtioGpuDevice}. */
export interface VirtioGpuDeviceOptions {
  /** 1 to 16 outputs, null where no monitor is connected. Default: one of 1280 x 800. */
  readonly outputs?: readonly (OutputLayout | null)[];
  /** Offer EDID; default true. */
  readonly edid?: boolean;
  /** Offer RESOURCE_BLOB; default false, as QEMU. */
  readonly blob?: boolean;
  /** Offer RESOURCE_UUID, which needs `random`; default: whether there is one. */
  readonly uuid?: boolean;
  /** Offer BLOB_ALIGNMENT (v1.4, needs `blob`) with this value: a power of two, in bytes. */
  readonly blobAlignment?: number;
  /** Host copies of 2D resources together stay below this many bytes; default 256 MiB, as QEMU. */
  readonly hostMemoryBytesMax?: number;
  /** Most resources; default 2^20. */
  readonly resourcesMax?: number;
  /** Most memory entries of one resource; default 16384, as QEMU. */
  readonly entriesMax?: number;
  /** Most memory entries of all resources; default 2^22. */
  readonly entriesTotalMax?: number;
  /** Most contexts; default 1024. */
  readonly contextsMax?: number;
  /** For tests: a host that keeps resources and scanouts over a device reset, as a vhost-user back end may. */
  readonly keepResourcesOverReset?: boolean;
  /** Size of the host-visible shared memory region, a multiple of 4096; default 0: none. Needs `renderer`. */
  readonly hostVisibleBytes?: number;
  /** Maximum sizes of control and cursor queue; default 64 (256 with a renderer) and 16, as QEMU. */
  readonly queueSizes?: readonly [control: number, cursor: number];
  /** The 3D back end. Without one VIRGL and CONTEXT_INIT are not offered, and 3D commands are answered ERR_UNSPEC. */
  readonly renderer?: Renderer;
  /** Hears what is to be shown. */
  readonly sink?: DisplaySink;
  /** For UUIDs. */
  readonly random?: Random;
  /** Hears each command and reply, as the device sees them. */
  readonly tracer?: Tracer;
  /** Names the device in messages and traces; default `virtio-gpu device`. */
  readonly label?: string;
  /** The EDID of an output: a multiple of 128 bytes, at most 1024. Default: made from its layout. */
  readonly edidOf?: (output: DeviceOutput) => Uint8Array;
}

/** Limits against a guest that asks for too much. */
export interface GpuLimits {
  readonly hostMemoryBytesMax: number;
  readonly resourcesMax: number;
  readonly entriesMax: number;
  readonly entriesTotalMax: number;
  readonly contextsMax: number;
}

/** The options, checked and complete. */
export interface GpuSetup {
  readonly label: string;
  readonly tracer: Tracer;
  readonly random: Random | null;
  /** For what else is the embedder's. */
  readonly guard: Guard;
  readonly renderer: GuardedRenderer | null;
  /** Offered device-type feature bits. */
  readonly features: number;
  readonly limits: GpuLimits;
  readonly outputs: readonly DeviceOutput[];
  readonly queueSizes: readonly [number, number];
  /** 0: BLOB_ALIGNMENT is not offered. */
  readonly blobAlignment: number;
  readonly keepResourcesOverReset: boolean;
  readonly hostVisibleBytes: number;
  readonly edidOf: (output: DeviceOutput) => Uint8Array;
}

/** A monitor of which nothing is known. */
const DEFAULT_LAYOUT: DeviceOutput = {
  enabled: false,
  width: 1280,
  height: 800,
  refreshHz: 60,
  widthMm: 0,
  heightMm: 0,
  name: "",
};
const SIZE_MAX = 16384;
const WINDOW_UNIT = 4096;

/** Checks a layout against what a monitor can be. Throws GpuError EINVAL. */
export function toDeviceOutput(layout: OutputLayout | null, before: DeviceOutput = DEFAULT_LAYOUT): DeviceOutput {
  if (layout === null) return { ...before, enabled: false };
  const { width, height, refreshHz = 60, widthMm = 0, heightMm = 0, name = before.name } = layout;
  for (const [what, value, least, most] of [
    ["width", width, 1, SIZE_MAX],
    ["height", height, 1, SIZE_MAX],
    ["widthMm", widthMm, 0, 65535],
    ["heightMm", heightMm, 0, 65535],
  ] as const) {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new GpuError("EINVAL", `an output's ${what} is a whole number from ${least} to ${most}, not ${value}`);
    }
  }
  if (!(refreshHz >= 1 && refreshHz <= 1000)) throw new GpuError("EINVAL", `${refreshHz} Hz is no refresh rate`);
  return { enabled: true, width, height, refreshHz, widthMm, heightMm, name };
}

/** Fills in defaults. Throws GpuError EINVAL for options that can't be. */
export function setUp(options: VirtioGpuDeviceOptions): GpuSetup {
  const outputs = (options.outputs ?? [{ width: 1280, height: 800 }]).map((layout) => toDeviceOutput(layout));
  if (outputs.length < 1 || outputs.length > MAX_SCANOUTS) {
    throw new GpuError("EINVAL", `a device has 1 to ${MAX_SCANOUTS} outputs, not ${outputs.length}`);
  }
  const label = options.label ?? "virtio-gpu device";
  const tracer = unfailing(options.tracer ?? silentTracer);
  const guard = new Guard(label, tracer);
  const renderer = options.renderer === undefined ? null : new GuardedRenderer(options.renderer, guard);
  return {
    label,
    tracer,
    guard,
    random: options.random ?? null,
    renderer,
    features: offeredFeatures(options),
    limits: {
      hostMemoryBytesMax: options.hostMemoryBytesMax ?? 256 << 20,
      resourcesMax: options.resourcesMax ?? 1 << 20,
      entriesMax: options.entriesMax ?? ENTRIES_MAX,
      entriesTotalMax: options.entriesTotalMax ?? 1 << 22,
      contextsMax: options.contextsMax ?? 1024,
    },
    outputs,
    queueSizes: options.queueSizes ?? [renderer === null ? 64 : 256, 16],
    blobAlignment: options.blobAlignment ?? 0,
    keepResourcesOverReset: options.keepResourcesOverReset ?? false,
    hostVisibleBytes: windowBytes(options),
    edidOf: (output) => checkedEdid((options.edidOf ?? edidOfLayout)(output)),
  };
}

function checkedEdid(edid: Uint8Array): Uint8Array {
  if (edid.byteLength <= EDID_BYTES_MAX && edid.byteLength % EDID_BLOCK_BYTES === 0) return edid;
  throw new GpuError("EINVAL", `an EDID has up to 8 blocks of ${EDID_BLOCK_BYTES} bytes, not ${edid.byteLength} bytes`);
}

function edidOfLayout({ width, height, refreshHz, widthMm, heightMm, name }: DeviceOutput): Uint8Array {
  return generateEdid({
    width,
    height,
    refreshMilliHz: Math.round(refreshHz * 1000),
    ...(widthMm > 0 && heightMm > 0 ? { widthMm, heightMm } : {}),
    ...(name === "" ? {} : { name }),
  });
}

function offeredFeatures(options: VirtioGpuDeviceOptions): number {
  const { blob = false, uuid = options.random !== undefined, blobAlignment = 0 } = options;
  if (uuid && options.random === undefined) throw new GpuError("EINVAL", "RESOURCE_UUID needs a source of randomness");
  const isPower = Number.isInteger(Math.log2(blobAlignment)) && blobAlignment >= 1 && blobAlignment < 2 ** 32;
  if (blobAlignment !== 0 && !(blob && isPower)) {
    throw new GpuError("EINVAL", "the alignment of blobs is a power of two, and needs blobs");
  }
  let bits = 0n;
  if (options.renderer !== undefined) {
    bits |= featureBit(GpuFeature.VIRGL) | featureBit(GpuFeature.CONTEXT_INIT);
  }
  if (options.edid ?? true) bits |= featureBit(GpuFeature.EDID);
  if (uuid) bits |= featureBit(GpuFeature.RESOURCE_UUID);
  if (blob) bits |= featureBit(GpuFeature.RESOURCE_BLOB);
  if (blobAlignment !== 0) bits |= featureBit(GpuFeature.BLOB_ALIGNMENT);
  return Number(bits);
}

function windowBytes(options: VirtioGpuDeviceOptions): number {
  const bytes = options.hostVisibleBytes ?? 0;
  if (!Number.isSafeInteger(bytes) || bytes < 0 || bytes % WINDOW_UNIT !== 0) {
    throw new GpuError("EINVAL", `the host-visible region is a multiple of ${WINDOW_UNIT} bytes, not ${bytes}`);
  }
  if (bytes > 0 && !(options.blob === true && options.renderer !== undefined)) {
    throw new GpuError("EINVAL", "the host-visible region needs blobs and a renderer");
  }
  return bytes;
}

/**
 * Makes an EDID: VESA E-EDID 1.4 base block, a CTA-861 extension, and DisplayID 1.3 extensions where a timing is too
 * large for a detailed timing (a direction of 4096 or more, or a pixel clock above 655.35 MHz).
 *
 * Like QEMU's it has the preferred timing first. Unlike QEMU's it keeps one there even where the preferred timing is in
 * DisplayID: a smaller one, because EDID 1.4 demands it, and readers that know no DisplayID then show a picture.
 */
import { GpuError } from "../../base/errors.ts";
import { DESCRIPTOR_BYTES, fitsDetailed, writeDetailed } from "./detailed-timing.ts";
import { checksum, type DisplayIdTiming, displayIdBlocks, fitsDisplayId } from "./display-id.ts";
import {
  ESTABLISHED_1_2,
  ESTABLISHED_3,
  ESTABLISHED_640X480_60,
  isSameMode,
  readStandard,
  STANDARD_UNUSED,
  setEstablished,
  standardCode,
} from "./established.ts";
import { type EdidTiming, exactTiming } from "./timing.ts";

/** A size and how often a second it is shown. */
export interface EdidMode {
  /** Pixels, 1 to 16384. */
  readonly width: number;
  /** Lines, 1 to 16384. */
  readonly height: number;
  /** Thousandths of a hertz, 1000 to 1,000,000; 60,000 unless given. */
  readonly refreshMilliHz?: number;
}

/** What a display says of itself. Width, height and refresh rate are the preferred mode's. */
export interface EdidOptions extends EdidMode {
  /** Picture size in whole millimetres, 10 to 2550 each; that of 100 dots per inch unless both are given. */
  readonly widthMm?: number;
  readonly heightMm?: number;
  /** The product's name: 1 to 13 printable ASCII characters, no space at either end. `virtgpu` unless given. */
  readonly name?: string;
  /** A serial number as text, under the same rules; none unless given. */
  readonly serial?: string;
  /** A serial number, 32 bits; 0, which means none, unless given. */
  readonly serialNumber?: number;
  /** Three capital letters as assigned by UEFI's registry of PNP ids; `VGP` unless given. */
  readonly vendor?: string;
  /** 16 bits; 0x1050 unless given. */
  readonly product?: number;
  /** What it can show besides the preferred mode. The usual sizes up to it unless given; 640x480 always. */
  readonly modes?: readonly EdidMode[];
}

/** The most that a virtio-gpu device can hand over: 8 blocks. */
export const EDID_BYTES_MAX = 1024;
/** Bytes of a block. */
export const EDID_BLOCK_BYTES = 128;

const SIZE_MAX = 16384;
const MODEL_YEAR = 2026;
const REVISION = 4;

/** Sizes that every system expects to find; all of them have a code of two bytes or a bit. */
const USUAL_MODES: readonly EdidMode[] = [
  { width: 800, height: 600 },
  { width: 1024, height: 768 },
  { width: 1280, height: 720 },
  { width: 1280, height: 800 },
  { width: 1280, height: 1024 },
  { width: 1440, height: 900 },
  { width: 1600, height: 1200 },
  { width: 1680, height: 1050 },
  { width: 1920, height: 1080 },
  { width: 1920, height: 1200 },
];

interface Display {
  readonly mode: Required<EdidMode>;
  readonly widthMm: number;
  readonly heightMm: number;
  readonly name: string;
  readonly serial: string | null;
  readonly serialNumber: number;
  readonly vendor: string;
  readonly product: number;
  readonly modes: readonly Required<EdidMode>[];
}

/** Where each timing goes. */
interface Plan {
  /** What the base block's first descriptor holds. */
  readonly first: EdidTiming;
  /** Whether that is the preferred timing itself. */
  readonly firstIsPreferred: boolean;
  readonly established12: readonly number[];
  readonly established3: readonly number[];
  readonly standard: readonly number[];
  readonly cta: readonly EdidTiming[];
  readonly displayId: readonly DisplayIdTiming[];
  /** Every timing that the display claims to show, for its range limits. */
  readonly all: readonly EdidTiming[];
}

/**
 * The EDID of a display, 256 to 1024 bytes, whole blocks. Throws GpuError EINVAL when an option is out of its range or
 * the modes do not fit.
 */
export function generateEdid(options: EdidOptions): Uint8Array {
  const display = check(options);
  const plan = planTimings(display);
  const extensions = [ctaBlock(display, plan), ...displayIdBlocks(displayIdProduct(display), plan.displayId)];
  const byteLength = EDID_BLOCK_BYTES * (1 + extensions.length);
  if (byteLength > EDID_BYTES_MAX) throw tooManyModes();
  const edid = new Uint8Array(byteLength);
  edid.set(baseBlock(display, plan, extensions.length));
  for (const [index, block] of extensions.entries()) edid.set(block, EDID_BLOCK_BYTES * (index + 1));
  return edid;
}

function tooManyModes(): GpuError {
  return new GpuError("EINVAL", `more modes than an EDID of ${EDID_BYTES_MAX} bytes can hold`);
}

function check(options: EdidOptions): Display {
  const mode = checkMode(options);
  const name = checkText(options.name ?? "virtgpu", "name");
  const serial = options.serial === undefined ? null : checkText(options.serial, "serial");
  const vendor = options.vendor ?? "VGP";
  if (!/^[A-Z]{3}$/.test(vendor)) throw new GpuError("EINVAL", `the vendor "${vendor}" is not three capital letters`);
  const usual = USUAL_MODES.filter(({ width, height }) => width <= mode.width && height <= mode.height);
  return {
    mode,
    ...physicalSize(options),
    name,
    serial,
    serialNumber: integer(options.serialNumber ?? 0, 0, 0xffffffff, "serialNumber"),
    vendor,
    product: integer(options.product ?? 0x1050, 0, 0xffff, "product"),
    modes: (options.modes ?? usual).map(checkMode),
  };
}

function integer(value: number, least: number, most: number, what: string): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new GpuError("EINVAL", `${what} ${value} is not a whole number from ${least} to ${most}`);
}

function checkMode({ width, height, refreshMilliHz }: EdidMode): Required<EdidMode> {
  return {
    width: integer(width, 1, SIZE_MAX, "width"),
    height: integer(height, 1, SIZE_MAX, "height"),
    refreshMilliHz: integer(refreshMilliHz ?? 60_000, 1000, 1_000_000, "refreshMilliHz"),
  };
}

function checkText(text: string, what: string): string {
  if (/^[!-~](?:[ -~]{0,11}[!-~])?$/.test(text)) return text;
  throw new GpuError("EINVAL", `the ${what} "${text}" is not 1 to 13 printable characters without spaces at its ends`);
}

/** What the base block can say in centimetres; neither side may be 0 there, for then the other is an aspect ratio. */
const MM_MIN = 10;
const MM_MAX = 2550;

/** 100 dots per inch, unless told; unknown (0, 0) where that is more than can be said. */
function physicalSize({ width, height, widthMm, heightMm }: EdidOptions): Pick<Display, "widthMm" | "heightMm"> {
  if (widthMm !== undefined && heightMm !== undefined) {
    return {
      widthMm: integer(widthMm, MM_MIN, MM_MAX, "widthMm"),
      heightMm: integer(heightMm, MM_MIN, MM_MAX, "heightMm"),
    };
  }
  const at100Dpi = (pixels: number): number => Math.max(MM_MIN, Math.round(pixels * 0.254));
  const known = Math.max(at100Dpi(width), at100Dpi(height)) <= MM_MAX;
  return known ? { widthMm: at100Dpi(width), heightMm: at100Dpi(height) } : { widthMm: 0, heightMm: 0 };
}

function planTimings({ mode, modes, serial }: Display): Plan {
  const preferred = timingFor(mode);
  const firstIsPreferred = fitsDetailed(preferred);
  const first = firstIsPreferred ? preferred : fallbackTiming(mode);
  const established12 = new Set([ESTABLISHED_640X480_60]);
  const established3 = new Set<number>();
  const standard = new Set<number>();
  const cta: EdidTiming[] = [];
  const displayId = firstIsPreferred ? [] : [{ timing: preferred, preferred: true }];
  const known: EdidTiming[] = [preferred, first];
  for (const wanted of modes) {
    const is = (timing: EdidTiming | null): boolean =>
      timing !== null && isSameMode(timing, wanted.width, wanted.height, wanted.refreshMilliHz);
    if (known.some(is)) continue;
    const bit12 = ESTABLISHED_1_2.findIndex(is);
    const code = standardCode(wanted.width, wanted.height, wanted.refreshMilliHz);
    const bit3 = serial === null ? ESTABLISHED_3.findIndex(is) : -1;
    const timing = timingFor(wanted);
    if (bit12 >= 0) established12.add(bit12);
    else if (code !== null && standard.size < STANDARD_TIMINGS_MAX) standard.add(code);
    else if (bit3 >= 0) established3.add(bit3);
    else {
      known.push(timing);
      if (fitsDetailed(timing) && cta.length < CTA_TIMINGS_MAX) cta.push(timing);
      else displayId.push({ timing, preferred: false });
    }
  }
  return {
    first,
    firstIsPreferred,
    established12: [...established12],
    established3: [...established3],
    standard: [...standard],
    cta,
    displayId,
    all: known,
  };
}

function timingFor({ width, height, refreshMilliHz }: Required<EdidMode>): EdidTiming {
  const timing = exactTiming(width, height, refreshMilliHz);
  if (fitsDetailed(timing) || fitsDisplayId(timing)) return timing;
  throw new GpuError("EINVAL", `${width}x${height} at ${refreshMilliHz} mHz needs a pixel clock that no EDID can name`);
}

/** The preferred mode at 60 Hz at most, then halved until it fits: the same shape, less of it. */
function fallbackTiming({ width, height, refreshMilliHz }: Required<EdidMode>): EdidTiming {
  for (let shift = 0; ; shift += 1) {
    const across = Math.max(1, width >> shift);
    const down = Math.max(1, height >> shift);
    const timing = exactTiming(across, down, Math.min(refreshMilliHz, 60_000));
    if (fitsDetailed(timing)) return timing;
  }
}

const STANDARD_TIMINGS_MAX = 8;
const DESCRIPTORS_AT = 54;
const DESCRIPTORS = 4;

const HEADER: readonly number[] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
/** Digital, 8 bits a colour, DisplayPort. */
const INPUT = 0xa5;
const GAMMA_2_2 = 120;
/** RGB 4:4:4 only, sRGB is the default colour space; with bit 1, the first detailed timing is the native one. */
const FEATURES_SRGB = 0x04;
const FEATURES_NATIVE = 0x02;
/** The primaries and the white point of sRGB, as ten bits each. */
const SRGB: readonly number[] = [0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54];

function baseBlock(display: Display, plan: Plan, extensions: number): Uint8Array {
  const block = new Uint8Array(EDID_BLOCK_BYTES);
  const serial = display.serialNumber;
  const features = FEATURES_SRGB | (plan.firstIsPreferred ? FEATURES_NATIVE : 0);
  block.set([
    ...HEADER,
    ...vendorBytes(display.vendor),
    display.product & 0xff,
    display.product >> 8,
    serial & 0xff,
    (serial >> 8) & 0xff,
    (serial >> 16) & 0xff,
    serial >>> 24,
    0,
    MODEL_YEAR - 1990,
    1,
    REVISION,
    INPUT,
    Math.round(display.widthMm / 10),
    Math.round(display.heightMm / 10),
    GAMMA_2_2,
    features,
    ...SRGB,
  ]);
  for (const bit of plan.established12) setEstablished(block, 35, bit);
  for (let index = 0; index < STANDARD_TIMINGS_MAX; index += 1) {
    const code = plan.standard[index] ?? STANDARD_UNUSED;
    block.set([code >> 8, code & 0xff], 38 + 2 * index);
  }
  writeDescriptors(block, display, plan);
  block[126] = extensions;
  block[127] = checksum(block, 0, 127);
  return block;
}

/** Five bits a letter, the high byte first. */
function vendorBytes(vendor: string): readonly [number, number] {
  const [first = 0, second = 0, third = 0] = [0, 1, 2].map((index) => vendor.charCodeAt(index) - 64);
  const word = (first << 10) | (second << 5) | third;
  return [word >> 8, word & 0xff];
}

const TAG_SERIAL = 0xff;
const TAG_NAME = 0xfc;
const TAG_RANGE = 0xfd;
const TAG_ESTABLISHED_3 = 0xf7;
const TAG_DUMMY = 0x10;

function writeDescriptors(block: Uint8Array, display: Display, plan: Plan): void {
  const { widthMm, heightMm, name, serial } = display;
  writeDetailed(block, DESCRIPTORS_AT, { timing: plan.first, widthMm, heightMm });
  const descriptors: (readonly number[])[] = [];
  if (serial !== null) descriptors.push(textDescriptor(TAG_SERIAL, serial));
  if (plan.established3.length > 0) descriptors.push(established3Descriptor(plan.established3));
  const range = rangeDescriptor(plan);
  if (range !== null) descriptors.push(range);
  descriptors.push(textDescriptor(TAG_NAME, name));
  while (descriptors.length < DESCRIPTORS - 1) descriptors.push([0, 0, 0, TAG_DUMMY]);
  for (const [index, descriptor] of descriptors.entries()) {
    block.set(descriptor, DESCRIPTORS_AT + DESCRIPTOR_BYTES * (index + 1));
  }
}

/** 13 characters; a shorter text ends with a line feed and is filled up with spaces. */
function textDescriptor(tag: number, text: string): readonly number[] {
  const padded = text.length < 13 ? `${text}\n`.padEnd(13, " ") : text;
  return [0, 0, 0, tag, 0, ...Array.from(padded, (letter) => letter.charCodeAt(0))];
}

function established3Descriptor(bits: readonly number[]): readonly number[] {
  const descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  descriptor.set([0, 0, 0, TAG_ESTABLISHED_3, 0, 10]);
  for (const bit of bits) setEstablished(descriptor, 6, bit);
  return [...descriptor];
}

/** Rates above 255 are written as what exceeds 255, with a flag. */
const RANGE_OFFSET = 255;

/** Bounds around all timings; null where a field can't hold them, for then the display is better left unlimited. */
function rangeDescriptor(plan: Plan): readonly number[] | null {
  const timings = [...plan.all, ...listedTimings(plan)];
  const vertical = timings.map(({ refreshMilliHz }) => refreshMilliHz / 1000);
  const horizontal = timings.map(
    ({ pixelClockKhz, width, horizontal: { blanking } }) => pixelClockKhz / (width + blanking),
  );
  const clock = Math.ceil(Math.max(...timings.map(({ pixelClockKhz }) => pixelClockKhz)) / 10_000);
  const bounds = [vertical, horizontal].map((rates) => ({
    least: Math.max(1, Math.floor(Math.min(...rates))),
    most: Math.ceil(Math.max(...rates)),
  }));
  const [v, h] = bounds;
  if (v === undefined || h === undefined || clock > 0xff) return null;
  if (Math.max(v.most, h.most) > 2 * RANGE_OFFSET) return null;
  const offsets = [v, h].map(({ least, most }) => (least > RANGE_OFFSET ? 3 : most > RANGE_OFFSET ? 2 : 0));
  const field = (rate: number): number => (rate > RANGE_OFFSET ? rate - RANGE_OFFSET : rate);
  const flags = (offsets[0] ?? 0) | ((offsets[1] ?? 0) << 2);
  const bareLimits = [1, 0x0a, 0x20, 0x20, 0x20, 0x20, 0x20, 0x20];
  return [
    0,
    0,
    0,
    TAG_RANGE,
    flags,
    field(v.least),
    field(v.most),
    field(h.least),
    field(h.most),
    clock,
    ...bareLimits,
  ];
}

/** The timings behind bits and codes. */
function listedTimings(plan: Plan): readonly EdidTiming[] {
  const bits = [
    ...plan.established12.map((bit) => ESTABLISHED_1_2[bit]),
    ...plan.established3.map((bit) => ESTABLISHED_3[bit]),
    ...plan.standard.map((code) => readStandard(code, REVISION)),
  ];
  return bits.filter((timing) => timing !== null && timing !== undefined);
}

const CTA_TAG = 2;
const CTA_REVISION = 3;
const CTA_TIMINGS_MAX = 6;
/** Shows a computer's picture to its edges. */
const CTA_UNDERSCAN = 0x80;
/** Video capability data block: the RGB range can be selected, and no picture is scanned beyond the edges. */
const VIDEO_CAPABILITY: readonly number[] = [0xe2, 0x00, 0x4a];

function ctaBlock({ widthMm, heightMm }: Display, plan: Plan): Uint8Array {
  const block = new Uint8Array(EDID_BLOCK_BYTES);
  const timingsAt = 4 + VIDEO_CAPABILITY.length;
  const native = plan.firstIsPreferred ? 1 : 0;
  block.set([CTA_TAG, CTA_REVISION, timingsAt, CTA_UNDERSCAN | native, ...VIDEO_CAPABILITY]);
  for (const [index, timing] of plan.cta.entries()) {
    writeDetailed(block, timingsAt + index * DESCRIPTOR_BYTES, { timing, widthMm, heightMm });
  }
  block[127] = checksum(block, 0, 127);
  return block;
}

function displayIdProduct(display: Display): Parameters<typeof displayIdBlocks>[0] {
  const { vendor, product, serialNumber, widthMm, heightMm, mode } = display;
  return { vendor, product, serialNumber, year: MODEL_YEAR, widthMm, heightMm, width: mode.width, height: mode.height };
}

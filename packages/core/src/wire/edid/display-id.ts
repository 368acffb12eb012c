/**
 * DisplayID 1.3 sections in extension blocks: timings that the 18 bytes of a detailed timing can't hold. Only what EDID
 * needs of it; timings of DisplayID 2.0 (type VII) are read as well, for they differ in the clock's unit alone.
 */
import { within } from "./detailed-timing.ts";
import { type EdidTiming, withRefresh } from "./timing.ts";

/** Tag of the extension block. */
export const DISPLAY_ID_TAG = 0x70;
/** Bytes of data blocks in one section: what is left of 128 after header, section checksum and block checksum. */
const PAYLOAD_BYTES = 121;
const HEADER_BYTES = 5;
const BLOCK_HEADER_BYTES = 3;
const TIMING_BYTES = 20;
const VERSION_1_3 = 0x13;

const BLOCK_PRODUCT = 0x00;
const BLOCK_PARAMETERS = 0x01;
const BLOCK_TIMING_1 = 0x03;
const BLOCK_INTERFACE = 0x0f;
const BLOCK_TIMING_7 = 0x22;

const TIMING_PREFERRED = 0x80;
const TIMING_INTERLACED = 0x10;
const SYNC_POSITIVE = 0x8000;
const FIELD_MAX = 0x1_0000;

/** A timing of a DisplayID section, and whether the section calls it preferred. */
export interface DisplayIdTiming {
  readonly timing: EdidTiming;
  readonly preferred: boolean;
}

/** What a section says of the display besides timings. Sizes are millimetres. */
export interface DisplayIdProduct {
  readonly vendor: string;
  readonly product: number;
  readonly serialNumber: number;
  readonly year: number;
  readonly widthMm: number;
  readonly heightMm: number;
  readonly width: number;
  readonly height: number;
}

/** Whether every number of a progressive timing fits its field. */
export function fitsDisplayId({ width, height, pixelClockKhz, horizontal, vertical, interlaced }: EdidTiming): boolean {
  const widest = Math.max(width, height, horizontal.blanking, vertical.blanking);
  return !interlaced && widest <= FIELD_MAX && pixelClockKhz <= 0x100_0000 * 10;
}

const u16 = (value: number): readonly [number, number] => [value & 0xff, (value >> 8) & 0xff];

/** Aspect ratios that have a code; the ninth says that it is another. */
const ASPECTS: readonly (readonly [number, number])[] = [
  [1, 1],
  [5, 4],
  [4, 3],
  [15, 9],
  [16, 9],
  [16, 10],
  [64, 27],
  [256, 135],
];

function aspectCode(width: number, height: number): number {
  const found = ASPECTS.findIndex(([across, down]) => width * down === height * across);
  return found < 0 ? ASPECTS.length : found;
}

function timingBytes({ timing, preferred }: DisplayIdTiming): readonly number[] {
  const { width, height, horizontal, vertical } = timing;
  const clock = timing.pixelClockKhz / 10 - 1;
  const front = ({ frontPorch, syncPositive }: EdidTiming["horizontal"]): number =>
    (frontPorch - 1) | (syncPositive ? SYNC_POSITIVE : 0);
  return [
    ...u16(clock),
    clock >> 16,
    (preferred ? TIMING_PREFERRED : 0) | aspectCode(width, height),
    ...u16(width - 1),
    ...u16(horizontal.blanking - 1),
    ...u16(front(horizontal)),
    ...u16(horizontal.syncWidth - 1),
    ...u16(height - 1),
    ...u16(vertical.blanking - 1),
    ...u16(front(vertical)),
    ...u16(vertical.syncWidth - 1),
  ];
}

const dataBlock = (tag: number, data: readonly number[]): readonly number[] => [tag, 0, data.length, ...data];

/** Product identification, display parameters and interface: what a first section must say (DisplayID 1.3 section 3). */
function productBlocks(product: DisplayIdProduct): readonly number[] {
  const letters = [0, 1, 2].map((index) => product.vendor.charCodeAt(index));
  const serial = product.serialNumber;
  const identity = [
    ...letters,
    ...u16(product.product),
    ...u16(serial),
    ...u16(serial >>> 16),
    0,
    product.year - 2000,
    0,
  ];
  const { width, height } = product;
  const aspect = Math.round((100 * Math.max(width, height)) / Math.min(width, height)) - 100;
  const parameters = [
    ...u16(product.widthMm * 10),
    ...u16(product.heightMm * 10),
    ...u16(width),
    ...u16(height),
    0,
    120,
    Math.min(aspect, 0xff),
    0x77,
  ];
  const displayPort = [0xa1, 0x11, 2, 0, 0, 0, 0, 0, 0, 0];
  return [
    ...dataBlock(BLOCK_PRODUCT, identity),
    ...dataBlock(BLOCK_PARAMETERS, parameters),
    ...dataBlock(BLOCK_INTERFACE, displayPort),
  ];
}

/** The extension blocks, 128 bytes each, that hold these timings; checksums included. */
export function displayIdBlocks(product: DisplayIdProduct, timings: readonly DisplayIdTiming[]): readonly Uint8Array[] {
  const payloads: number[][] = [];
  let head = productBlocks(product);
  for (let next = 0; next < timings.length; ) {
    const room = Math.floor((PAYLOAD_BYTES - head.length - BLOCK_HEADER_BYTES) / TIMING_BYTES);
    const fitting = timings.slice(next, next + room);
    payloads.push([...head, ...dataBlock(BLOCK_TIMING_1, fitting.flatMap(timingBytes))]);
    next += room;
    head = [];
  }
  return payloads.map((payload, index) => {
    const block = new Uint8Array(128);
    const following = index === 0 ? payloads.length - 1 : 0;
    const standalone = index === 0 ? 3 : 0;
    block.set([DISPLAY_ID_TAG, VERSION_1_3, PAYLOAD_BYTES, standalone, following, ...payload]);
    block[126] = checksum(block, 1, 126);
    block[127] = checksum(block, 0, 127);
    return block;
  });
}

/** The byte that makes the sum of bytes from `start` up to and with itself a multiple of 256. */
export function checksum(bytes: Uint8Array, start: number, end: number): number {
  let sum = 0;
  for (let at = start; at < end; at += 1) sum += bytes[at] ?? 0;
  return -sum & 0xff;
}

/** What a DisplayID extension block says, or why it can't be used. */
export type DisplayIdSection =
  | { readonly ok: true; readonly timings: readonly DisplayIdTiming[] }
  | { readonly ok: false; readonly reason: string };

/** Reads an extension block of 128 bytes. Data blocks that do not fit the section end it; unknown ones are passed over. */
export function readDisplayId(block: Uint8Array): DisplayIdSection {
  const payload = block[2] ?? 0;
  if (payload > PAYLOAD_BYTES) return { ok: false, reason: `a DisplayID section of ${payload} bytes` };
  const end = HEADER_BYTES + payload;
  if (block[end] !== checksum(block, 1, end)) return { ok: false, reason: "a DisplayID section's checksum is wrong" };
  const timings: DisplayIdTiming[] = [];
  for (let at = HEADER_BYTES; at + BLOCK_HEADER_BYTES <= end; ) {
    const tag = block[at] ?? 0;
    const data = at + BLOCK_HEADER_BYTES;
    const next = data + (block[at + 2] ?? 0);
    // Zeros fill a section up, and zeros are also the tag of an empty product block.
    if (next > end || (tag === BLOCK_PRODUCT && next === data)) break;
    const unitKhz = tag === BLOCK_TIMING_1 ? 10 : 1;
    if (tag === BLOCK_TIMING_1 || tag === BLOCK_TIMING_7) {
      for (let from = data; from + TIMING_BYTES <= next; from += TIMING_BYTES) {
        timings.push(readTiming(block, from, unitKhz));
      }
    }
    at = next;
  }
  return { ok: true, timings };
}

function readTiming(block: Uint8Array, at: number, unitKhz: number): DisplayIdTiming {
  const word = (offset: number): number => (block[at + offset] ?? 0) | ((block[at + offset + 1] ?? 0) << 8);
  const flags = block[at + 3] ?? 0;
  const interlaced = (flags & TIMING_INTERLACED) !== 0;
  const direction = (offset: number): EdidTiming["horizontal"] => ({
    ...within(word(offset + 2) + 1, (word(offset + 4) & 0x7fff) + 1, word(offset + 6) + 1),
    syncPositive: (word(offset + 4) & SYNC_POSITIVE) !== 0,
  });
  const lines = word(12) + 1;
  const timing = withRefresh({
    width: word(4) + 1,
    height: interlaced ? 2 * lines : lines,
    pixelClockKhz: (word(0) + (block[at + 2] ?? 0) * 0x1_0000 + 1) * unitKhz,
    horizontal: direction(4),
    vertical: direction(12),
    interlaced,
  });
  return { timing, preferred: (flags & TIMING_PREFERRED) !== 0 };
}

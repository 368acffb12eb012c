/**
 * Reads an EDID that a host hands over: VESA E-EDID 1.x with CTA-861 and DisplayID extensions. The bytes are the other
 * side's: nothing throws, nothing is read outside of them, and what comes out is bounded by their number.
 *
 * Refused, for nothing in it can be believed: fewer than 128 bytes, another header, a version other than 1, a wrong
 * checksum of the base block. Tolerated, and told in {@link Edid.tolerated}: more extensions announced than there are, an
 * extension whose checksum is wrong or whose kind is unknown (left out), data blocks and timings that begin or end
 * outside of theirs (reading of that block stops there), timings without a picture (left out), porches wider than their
 * blanking (cut).
 */
import { DESCRIPTOR_BYTES, type DetailedTiming, readDetailed } from "./detailed-timing.ts";
import { checksum, DISPLAY_ID_TAG, type DisplayIdTiming, readDisplayId } from "./display-id.ts";
import { ESTABLISHED_1_2, ESTABLISHED_3, readEstablished, readStandard } from "./established.ts";
import type { EdidTiming } from "./timing.ts";
import { timingByVic } from "./vic.ts";

/** A short video descriptor of CTA-861. */
export interface EdidVideo {
  /** The video identification code, 1 to 253. */
  readonly vic: number;
  /** Whether the display calls it one of its native formats. */
  readonly native: boolean;
  /** What the code stands for; null where it is reserved. */
  readonly timing: EdidTiming | null;
}

/** What a display says of itself. */
export interface Edid {
  /** y of version 1.y. */
  readonly revision: number;
  /** Three letters; `?` for what is no letter. */
  readonly vendor: string;
  readonly product: number;
  /** 0: none. */
  readonly serialNumber: number;
  readonly name: string | null;
  readonly serial: string | null;
  /** Year of manufacture, or of the model. */
  readonly year: number;
  readonly digital: boolean;
  /** Picture size in millimetres; 0 where the display does not tell. */
  readonly widthMm: number;
  readonly heightMm: number;
  /**
   * The timing to use: the one that DisplayID marks, else the first detailed timing (before revision 4 only where the
   * display says that it is preferred), else none.
   */
  readonly preferred: EdidTiming | null;
  /** Detailed timings, the base block's first. */
  readonly detailed: readonly EdidTiming[];
  /** Established timings I, II and III. */
  readonly established: readonly EdidTiming[];
  readonly standard: readonly EdidTiming[];
  readonly video: readonly EdidVideo[];
  readonly displayId: readonly EdidTiming[];
  /** What is wrong with these bytes and was put up with: a sentence each. */
  readonly tolerated: readonly string[];
}

/** An EDID, or why these bytes are none. */
export type EdidResult = { readonly ok: true; readonly edid: Edid } | { readonly ok: false; readonly reason: string };

const BLOCK_BYTES = 128;
const HEADER: readonly number[] = [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0];
const DESCRIPTORS_AT = 54;
const DESCRIPTORS_END = 126;
const CTA_TAG = 2;
const BLOCK_MAP_TAG = 0xf0;

/** What is gathered while the blocks are read. */
interface Findings {
  name: string | null;
  serial: string | null;
  readonly details: DetailedTiming[];
  readonly established: EdidTiming[];
  readonly standard: EdidTiming[];
  readonly video: EdidVideo[];
  readonly displayId: DisplayIdTiming[];
  readonly tolerated: string[];
}

/** See the file's head. `bytes` may be longer than the EDID. */
export function parseEdid(bytes: Uint8Array): EdidResult {
  const refusal = refuse(bytes);
  if (refusal !== null) return { ok: false, reason: refusal };
  const base = bytes.subarray(0, BLOCK_BYTES);
  const byte = (at: number): number => base[at] ?? 0;
  const revision = byte(19);
  const found: Findings = {
    name: null,
    serial: null,
    details: [],
    established: readEstablished(base, 35, ESTABLISHED_1_2),
    standard: readStandards(base, 38, 8, revision),
    video: [],
    displayId: [],
    tolerated: [],
  };
  for (let at = DESCRIPTORS_AT; at < DESCRIPTORS_END; at += DESCRIPTOR_BYTES) readDescriptor(base, at, revision, found);
  const first = readDetailed(base, DESCRIPTORS_AT);
  readExtensions(bytes, byte(126), found);
  const firstIsPreferred = revision >= 4 || (byte(24) & 2) !== 0;
  const marked = found.displayId.find(({ preferred }) => preferred);
  return {
    ok: true,
    edid: {
      revision,
      vendor: vendorOf((byte(8) << 8) | byte(9)),
      product: byte(10) | (byte(11) << 8),
      serialNumber: (byte(12) | (byte(13) << 8) | (byte(14) << 16) | (byte(15) << 24)) >>> 0,
      name: found.name,
      serial: found.serial,
      year: 1990 + byte(17),
      digital: (byte(20) & 0x80) !== 0,
      ...physicalSize(byte(21), byte(22), first),
      preferred: marked?.timing ?? (firstIsPreferred ? (first?.timing ?? null) : null),
      detailed: found.details.map(({ timing }) => timing),
      established: found.established,
      standard: found.standard,
      video: found.video,
      displayId: found.displayId.map(({ timing }) => timing),
      tolerated: found.tolerated,
    },
  };
}

function refuse(bytes: Uint8Array): string | null {
  if (bytes.length < BLOCK_BYTES) return `${bytes.length} bytes are less than a block of ${BLOCK_BYTES}`;
  if (HEADER.some((value, at) => bytes[at] !== value)) return "the header is not that of an EDID";
  if (bytes[18] !== 1) return `version ${bytes[18] ?? 0} is not 1`;
  if (bytes[127] !== checksum(bytes, 0, 127)) return "the base block's checksum is wrong";
  return null;
}

function vendorOf(word: number): string {
  const letters = [word >> 10, word >> 5, word].map((bits) => {
    const letter = bits & 31;
    return letter >= 1 && letter <= 26 ? String.fromCharCode(64 + letter) : "?";
  });
  return letters.join("");
}

/** How far a detailed timing's millimetres may be from the base block's centimetres before they are not believed. */
const SIZE_TOLERANCE_MM = 10;

/** The first detailed timing's millimetres, unless the base block's centimetres contradict them. */
function physicalSize(
  widthCm: number,
  heightCm: number,
  first: DetailedTiming | null,
): { readonly widthMm: number; readonly heightMm: number } {
  // One side alone is an aspect ratio.
  const coarse = widthCm > 0 && heightCm > 0 ? { widthMm: widthCm * 10, heightMm: heightCm * 10 } : null;
  if (first === null || first.widthMm === 0 || first.heightMm === 0) return coarse ?? { widthMm: 0, heightMm: 0 };
  const { widthMm, heightMm } = first;
  const agrees =
    coarse === null ||
    (Math.abs(coarse.widthMm - widthMm) <= SIZE_TOLERANCE_MM &&
      Math.abs(coarse.heightMm - heightMm) <= SIZE_TOLERANCE_MM);
  return agrees ? { widthMm, heightMm } : coarse;
}

function readStandards(bytes: Uint8Array, at: number, count: number, revision: number): EdidTiming[] {
  const codes = Array.from({ length: count }, (_, index) => {
    const from = at + 2 * index;
    return ((bytes[from] ?? 0) << 8) | (bytes[from + 1] ?? 0);
  });
  return codes.map((code) => readStandard(code, revision)).filter((timing) => timing !== null);
}

const TAG_SERIAL = 0xff;
const TAG_NAME = 0xfc;
const TAG_STANDARD = 0xfa;
const TAG_ESTABLISHED_3 = 0xf7;

function readDescriptor(base: Uint8Array, at: number, revision: number, found: Findings): void {
  if (base[at] !== 0 || base[at + 1] !== 0) {
    const detailed = readDetailed(base, at);
    if (detailed === null) found.tolerated.push(`the detailed timing at byte ${at} has no picture`);
    else found.details.push(detailed);
    return;
  }
  const tag = base[at + 3] ?? 0;
  switch (tag) {
    case TAG_NAME:
      found.name ??= readText(base, at + 5);
      break;
    case TAG_SERIAL:
      found.serial ??= readText(base, at + 5);
      break;
    case TAG_STANDARD:
      found.standard.push(...readStandards(base, at + 5, 6, revision));
      break;
    case TAG_ESTABLISHED_3:
      found.established.push(...readEstablished(base, at + 6, ESTABLISHED_3));
      break;
  }
}

/** 13 characters at most, up to a line feed, without spaces at the end; `?` for what can't be printed. Null if empty. */
function readText(bytes: Uint8Array, at: number): string | null {
  const codes = [...bytes.subarray(at, at + 13)];
  const end = codes.indexOf(0x0a);
  const text = codes
    .slice(0, end < 0 ? codes.length : end)
    .map((code) => (code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : "?"))
    .join("")
    .trimEnd();
  return text === "" ? null : text;
}

function readExtensions(bytes: Uint8Array, announced: number, found: Findings): void {
  const present = Math.min(announced, Math.floor(bytes.length / BLOCK_BYTES) - 1);
  if (present < announced) found.tolerated.push(`${announced} extensions are announced, ${present} are there`);
  for (let index = 1; index <= present; index += 1) {
    const block = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    if (block[127] !== checksum(block, 0, 127)) {
      found.tolerated.push(`extension ${index} is left out: its checksum is wrong`);
      continue;
    }
    const problem = readExtension(block, found);
    if (problem !== null) found.tolerated.push(`extension ${index}: ${problem}`);
  }
}

function readExtension(block: Uint8Array, found: Findings): string | null {
  switch (block[0]) {
    case CTA_TAG:
      return readCta(block, found);
    case DISPLAY_ID_TAG: {
      const section = readDisplayId(block);
      if (!section.ok) return section.reason;
      found.displayId.push(...section.timings);
      return null;
    }
    case BLOCK_MAP_TAG:
      return null;
    default:
      return `left out: the kind 0x${(block[0] ?? 0).toString(16)} is unknown`;
  }
}

const CTA_DATA_AT = 4;
const CTA_END = 127;
const CTA_VIDEO = 2;

/** CTA-861 section 7.5: data blocks from byte 4 up to the byte that byte 2 names, then detailed timings. */
function readCta(block: Uint8Array, found: Findings): string | null {
  const timingsAt = block[2] ?? 0;
  if (timingsAt === 0) return null;
  if (timingsAt < CTA_DATA_AT || timingsAt > CTA_END) return `left out: its timings begin at byte ${timingsAt}`;
  const hasDataBlocks = (block[1] ?? 0) >= 3;
  const problem = hasDataBlocks ? readCtaData(block, timingsAt, found) : null;
  for (let at = timingsAt; at + DESCRIPTOR_BYTES <= CTA_END; at += DESCRIPTOR_BYTES) {
    if (block[at] === 0 && block[at + 1] === 0) break;
    const detailed = readDetailed(block, at);
    if (detailed !== null) found.details.push(detailed);
  }
  return problem;
}

function readCtaData(block: Uint8Array, end: number, found: Findings): string | null {
  for (let at = CTA_DATA_AT; at < end; ) {
    const head = block[at] ?? 0;
    const next = at + 1 + (head & 31);
    if (next > end) return `the data block at byte ${at} ends outside of its collection`;
    if (head >> 5 === CTA_VIDEO) {
      for (const code of block.subarray(at + 1, next)) {
        const video = readVideo(code);
        if (video !== null) found.video.push(video);
      }
    }
    at = next;
  }
  return null;
}

/** A short video descriptor: the high bit marks a native format, but only codes up to 64 have room for it. */
function readVideo(code: number): EdidVideo | null {
  const native = code > 128 && code <= 192;
  const vic = native ? code - 128 : code;
  if (vic === 0 || vic === 128 || vic > 253) return null;
  return { vic, native, timing: timingByVic(vic) };
}

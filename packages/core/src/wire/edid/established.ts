/**
 * Established timings: one bit a timing (EDID 1.4 section 3.8 for I and II, section 3.10.3.9 for III), and standard
 * timings: two bytes a timing (section 3.9).
 */
import { DMT_TIMINGS, dmtByCode, dmtById } from "./dmt.ts";
import { type EdidTiming, exactTiming, timingOf } from "./timing.ts";

/** Timings that older makers established and DMT never numbered. */
const IBM_720X400_70 = timingOf([720, 400, 28320, 18, 108, 54, 21, 2, 26, 2]);
const IBM_720X400_88 = timingOf([720, 400, 35500, 18, 108, 54, 12, 2, 35, 2]);
const APPLE_640X480_67 = timingOf([640, 480, 30240, 64, 64, 96, 3, 3, 39, 0]);
const APPLE_832X624_75 = timingOf([832, 624, 57284, 32, 64, 224, 1, 3, 39, 0]);
const APPLE_1152X870_75 = timingOf([1152, 870, 100000, 48, 128, 128, 3, 3, 39, 3]);

function dmt(...ids: readonly number[]): readonly (EdidTiming | null)[] {
  return ids.map(dmtById);
}

/** From bit 7 of byte 35 to bit 7 of byte 37. */
export const ESTABLISHED_1_2: readonly (EdidTiming | null)[] = [
  IBM_720X400_70,
  IBM_720X400_88,
  ...dmt(0x04),
  APPLE_640X480_67,
  ...dmt(0x05, 0x06, 0x08, 0x09),
  ...dmt(0x0a, 0x0b),
  APPLE_832X624_75,
  ...dmt(0x0f, 0x10, 0x11, 0x12, 0x24),
  APPLE_1152X870_75,
];

/** The bit of 640x480 at 60 Hz, which every display has to know. */
export const ESTABLISHED_640X480_60 = 2;

/** From bit 7 of a descriptor's byte 6 to bit 4 of its byte 11. */
export const ESTABLISHED_3: readonly (EdidTiming | null)[] = [
  ...dmt(0x01, 0x02, 0x03, 0x07, 0x0e, 0x0c, 0x13, 0x15),
  ...dmt(0x16, 0x17, 0x18, 0x19, 0x20, 0x21, 0x23, 0x25),
  ...dmt(0x27, 0x2e, 0x2f, 0x30, 0x31, 0x29, 0x2a, 0x2b),
  ...dmt(0x2c, 0x39, 0x3a, 0x3b, 0x3c, 0x33, 0x34, 0x35),
  ...dmt(0x36, 0x37, 0x3e, 0x3f, 0x41, 0x42, 0x44, 0x45),
  ...dmt(0x46, 0x47, 0x49, 0x4a),
];

/** The timings whose bits are set from byte `at` on. Nothing is read behind the end. */
export function readEstablished(bytes: Uint8Array, at: number, table: readonly (EdidTiming | null)[]): EdidTiming[] {
  return table.filter(
    (timing, bit): timing is EdidTiming =>
      timing !== null && ((bytes[at + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0,
  );
}

/** Sets bit `bit` of the table that begins at byte `at`. */
export function setEstablished(bytes: Uint8Array, at: number, bit: number): void {
  bytes[at + (bit >> 3)] = (bytes[at + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7));
}

/** Two bytes of a standard timing that name nothing. */
export const STANDARD_UNUSED = 0x0101;

/** Height over width, by the two bits of the second byte (EDID 1.3 and later). */
const ASPECTS: readonly (readonly [across: number, down: number])[] = [
  [16, 10],
  [4, 3],
  [5, 4],
  [16, 9],
];

/**
 * The timing that two bytes name: DMT's where it has one, else reduced blanking for the size they give. Before revision 3
 * the first aspect ratio was the square.
 */
export function readStandard(code: number, revision: number): EdidTiming | null {
  const first = code >> 8;
  const second = code & 0xff;
  if (code === STANDARD_UNUSED || first === 0) return null;
  const width = (first + 31) * 8;
  if (revision < 3 && second >> 6 === 0) return exactTiming(width, width, ((second & 0x3f) + 60) * 1000);
  const known = dmtByCode(code);
  if (known !== null) return known;
  const [across, down] = ASPECTS[second >> 6] ?? [16, 10];
  return exactTiming(width, Math.floor((width * down) / across), ((second & 0x3f) + 60) * 1000);
}

/** The two bytes by which DMT names a timing of this size and refresh rate, within half a hertz; or null. */
export function standardCode(width: number, height: number, refreshMilliHz: number): number | null {
  const found = DMT_TIMINGS.find(({ code, timing }) => code !== 0 && isSameMode(timing, width, height, refreshMilliHz));
  return found?.code ?? null;
}

/** How far apart, in thousandths of a hertz, two refresh rates may be and still go by the same name. */
const SAME_REFRESH_MILLIHZ = 500;

/** Whether a progressive timing is what someone means who asks for this size and rate. */
export function isSameMode(timing: EdidTiming, width: number, height: number, refreshMilliHz: number): boolean {
  return (
    !timing.interlaced &&
    timing.width === width &&
    timing.height === height &&
    Math.abs(timing.refreshMilliHz - refreshMilliHz) < SAME_REFRESH_MILLIHZ
  );
}

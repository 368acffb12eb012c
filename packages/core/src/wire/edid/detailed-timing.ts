/**
 * Detailed timing descriptors: 18 bytes (EDID 1.4 section 3.10.2), in the base block and in CTA-861 extensions.
 */
import { type EdidTiming, withRefresh } from "./timing.ts";

/** Bytes of a detailed timing and of every other descriptor. */
export const DESCRIPTOR_BYTES = 18;

/** A detailed timing with the picture's size in millimetres; 0 where the display does not tell. */
export interface DetailedTiming {
  readonly timing: EdidTiming;
  readonly widthMm: number;
  readonly heightMm: number;
}

const CLOCK_STEP_KHZ = 10;
const FLAG_INTERLACED = 0x80;
/** Digital sync on wires of its own, with these polarities. */
const FLAGS_DIGITAL_SEPARATE = 0x18;
const FLAG_VERTICAL_POSITIVE = 4;
const FLAG_HORIZONTAL_POSITIVE = 2;

/** Pixels and lines have 12 bits, porches and pulses 10 or 6. */
const TWELVE_BITS = 0xfff;

/** Whether every number of a progressive timing fits its field. */
export function fitsDetailed({ width, height, pixelClockKhz, horizontal, vertical, interlaced }: EdidTiming): boolean {
  return (
    !interlaced &&
    pixelClockKhz <= 0xffff * CLOCK_STEP_KHZ &&
    Math.max(width, height, horizontal.blanking, vertical.blanking) <= TWELVE_BITS &&
    Math.max(horizontal.frontPorch, horizontal.syncWidth) <= 0x3ff &&
    Math.max(vertical.frontPorch, vertical.syncWidth) <= 0x3f
  );
}

/** Writes a timing that {@link fitsDetailed} at byte `at`. */
export function writeDetailed(bytes: Uint8Array, at: number, { timing, widthMm, heightMm }: DetailedTiming): void {
  const { width, height, horizontal, vertical } = timing;
  const clock = timing.pixelClockKhz / CLOCK_STEP_KHZ;
  const polarity =
    (vertical.syncPositive ? FLAG_VERTICAL_POSITIVE : 0) | (horizontal.syncPositive ? FLAG_HORIZONTAL_POSITIVE : 0);
  const high = (first: number, second: number): number => ((first >> 8) << 4) | (second >> 8);
  bytes.set(
    [
      clock & 0xff,
      clock >> 8,
      width & 0xff,
      horizontal.blanking & 0xff,
      high(width, horizontal.blanking),
      height & 0xff,
      vertical.blanking & 0xff,
      high(height, vertical.blanking),
      horizontal.frontPorch & 0xff,
      horizontal.syncWidth & 0xff,
      ((vertical.frontPorch & 15) << 4) | (vertical.syncWidth & 15),
      ((horizontal.frontPorch >> 8) << 6) |
        ((horizontal.syncWidth >> 8) << 4) |
        ((vertical.frontPorch >> 4) << 2) |
        (vertical.syncWidth >> 4),
      widthMm & 0xff,
      heightMm & 0xff,
      high(widthMm, heightMm),
      0,
      0,
      FLAGS_DIGITAL_SEPARATE | polarity,
    ],
    at,
  );
}

/**
 * Reads a detailed timing at byte `at`; null where these bytes are no timing (a display descriptor, zeros) or one
 * without a picture. Porches and pulses wider than the blanking are cut to it.
 */
export function readDetailed(bytes: Uint8Array, at: number): DetailedTiming | null {
  if (at < 0 || at + DESCRIPTOR_BYTES > bytes.length) return null;
  const byte = (offset: number): number => bytes[at + offset] ?? 0;
  const clock = byte(0) | (byte(1) << 8);
  const width = byte(2) | ((byte(4) >> 4) << 8);
  const lines = byte(5) | ((byte(7) >> 4) << 8);
  if (clock === 0 || width === 0 || lines === 0) return null;
  const flags = byte(17);
  const interlaced = (flags & FLAG_INTERLACED) !== 0;
  const separate = (flags & FLAGS_DIGITAL_SEPARATE) === FLAGS_DIGITAL_SEPARATE;
  const horizontalBlanking = byte(3) | ((byte(4) & 15) << 8);
  const verticalBlanking = byte(6) | ((byte(7) & 15) << 8);
  const horizontalFront = byte(8) | ((byte(11) >> 6) << 8);
  const verticalFront = (byte(10) >> 4) | (((byte(11) >> 2) & 3) << 4);
  const timing = withRefresh({
    width,
    height: interlaced ? 2 * lines : lines,
    pixelClockKhz: clock * CLOCK_STEP_KHZ,
    horizontal: {
      ...within(horizontalBlanking, horizontalFront, byte(9) | (((byte(11) >> 4) & 3) << 8)),
      syncPositive: (flags & FLAG_HORIZONTAL_POSITIVE) !== 0,
    },
    vertical: {
      ...within(verticalBlanking, verticalFront, (byte(10) & 15) | ((byte(11) & 3) << 4)),
      syncPositive: separate && (flags & FLAG_VERTICAL_POSITIVE) !== 0,
    },
    interlaced,
  });
  return { timing, widthMm: byte(12) | ((byte(14) >> 4) << 8), heightMm: byte(13) | ((byte(14) & 15) << 8) };
}

/** A front porch and a sync pulse cut to the blanking that holds them. */
export function within(
  blanking: number,
  front: number,
  sync: number,
): { readonly blanking: number; readonly frontPorch: number; readonly syncWidth: number } {
  const frontPorch = Math.min(front, blanking);
  return { blanking, frontPorch, syncWidth: Math.min(sync, blanking - frontPorch) };
}

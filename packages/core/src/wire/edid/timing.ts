/**
 * Display timings, and the making of one from a size and a refresh rate: VESA CVT 2.0 with reduced blanking (version 1),
 * which is what a panel without a beam to bring back wants.
 */
import { GpuError } from "../../base/errors.ts";

/** What surrounds the active pixels, or lines, of one direction. Pixels, or lines of a field. */
export interface EdidBlanking {
  /** From the end of the picture to the sync pulse. */
  readonly frontPorch: number;
  readonly syncWidth: number;
  /** All of it: front porch, sync pulse and back porch. */
  readonly blanking: number;
  readonly syncPositive: boolean;
}

/** One way to scan a picture out. */
export interface EdidTiming {
  /** Active pixels of a line. */
  readonly width: number;
  /** Active lines of a frame; of both fields where the timing is interlaced. */
  readonly height: number;
  /** Thousandths of a hertz: frames a second, or fields a second where the timing is interlaced. */
  readonly refreshMilliHz: number;
  readonly pixelClockKhz: number;
  readonly horizontal: EdidBlanking;
  /** In lines of one field where the timing is interlaced; half a line more is then implied. */
  readonly vertical: EdidBlanking;
  readonly interlaced: boolean;
}

/** The refresh rate that follows from the other parts of a timing, in thousandths of a hertz; 0 where there is none. */
export function refreshOf(timing: Omit<EdidTiming, "refreshMilliHz">): number {
  const { width, height, horizontal, vertical, interlaced } = timing;
  const lines = interlaced ? height / 2 + vertical.blanking + 0.5 : height + vertical.blanking;
  const pixels = (width + horizontal.blanking) * lines;
  return pixels > 0 ? Math.round((timing.pixelClockKhz * 1e6) / pixels) : 0;
}

/** Completes a timing with its refresh rate. */
export function withRefresh(timing: Omit<EdidTiming, "refreshMilliHz">): EdidTiming {
  return { ...timing, refreshMilliHz: refreshOf(timing) };
}

/** A timing as the tables of DMT and CTA-861 have it: see {@link timingOf}. */
export type TimingNumbers = readonly [
  width: number,
  height: number,
  pixelClockKhz: number,
  horizontalFront: number,
  horizontalSync: number,
  horizontalBack: number,
  verticalFront: number,
  verticalSync: number,
  verticalBack: number,
  flags: number,
];

const HORIZONTAL_POSITIVE = 1;
const VERTICAL_POSITIVE = 2;
const INTERLACED = 4;

/** Spells a table's row out. Flags: 1 horizontal and 2 vertical sync is positive, 4 interlaced. */
export function timingOf(row: TimingNumbers): EdidTiming {
  const [width, height, pixelClockKhz, hFront, hSync, hBack, vFront, vSync, vBack, flags] = row;
  return withRefresh({
    width,
    height,
    pixelClockKhz,
    horizontal: {
      frontPorch: hFront,
      syncWidth: hSync,
      blanking: hFront + hSync + hBack,
      syncPositive: (flags & HORIZONTAL_POSITIVE) !== 0,
    },
    vertical: {
      frontPorch: vFront,
      syncWidth: vSync,
      blanking: vFront + vSync + vBack,
      syncPositive: (flags & VERTICAL_POSITIVE) !== 0,
    },
    interlaced: (flags & INTERLACED) !== 0,
  });
}

/** Reduced blanking: pixels, lines and microseconds that CVT fixes. */
const RB_FRONT_PIXELS = 48;
const RB_SYNC_PIXELS = 32;
const RB_BLANKING_PIXELS = 160;
const RB_FRONT_LINES = 3;
const RB_BACK_LINES_MIN = 7;
const RB_BLANKING_US_MIN = 460;
const RB_CLOCK_STEP_KHZ = 250;

/** Refresh rates for which reduced blanking leaves time for a picture. */
export const REFRESH_MILLIHZ_MIN = 1000;
export const REFRESH_MILLIHZ_MAX = 1_000_000;

/** CVT codes the aspect ratio into the width of the vertical sync pulse, in lines. */
function verticalSyncLines(width: number, height: number): number {
  const is = (across: number, down: number): boolean => width * down === height * across;
  if (is(4, 3)) return 4;
  if (is(16, 9)) return 5;
  if (is(16, 10)) return 6;
  if (is(5, 4) || is(15, 9)) return 7;
  return 10;
}

/** Blanking by CVT-RB; the pixel clock is still to be chosen. */
function reducedBlanking(
  width: number,
  height: number,
  refreshMilliHz: number,
): Pick<EdidTiming, "horizontal" | "vertical"> {
  if (!(refreshMilliHz >= REFRESH_MILLIHZ_MIN && refreshMilliHz <= REFRESH_MILLIHZ_MAX)) {
    throw new GpuError("EINVAL", `a refresh rate of ${refreshMilliHz} mHz is not between 1 and 1000 Hz`);
  }
  const syncWidth = verticalSyncLines(width, height);
  const lineUs = (1e9 / refreshMilliHz - RB_BLANKING_US_MIN) / height;
  const inTime = Math.floor(RB_BLANKING_US_MIN / lineUs) + 1;
  return {
    horizontal: {
      frontPorch: RB_FRONT_PIXELS,
      syncWidth: RB_SYNC_PIXELS,
      blanking: RB_BLANKING_PIXELS,
      syncPositive: true,
    },
    vertical: {
      frontPorch: RB_FRONT_LINES,
      syncWidth,
      blanking: Math.max(inTime, RB_FRONT_LINES + syncWidth + RB_BACK_LINES_MIN),
      syncPositive: false,
    },
  };
}

/**
 * The CVT reduced-blanking timing of a size: its clock is rounded down to a quarter of a megahertz, so its refresh rate
 * is a little below the one asked for. Widths are taken as they are, not cut to multiples of eight. Throws EINVAL
 * outside 1 to 1000 Hz.
 */
export function cvtReducedBlanking(width: number, height: number, refreshMilliHz: number): EdidTiming {
  const blankings = reducedBlanking(width, height, refreshMilliHz);
  const pixels = (width + blankings.horizontal.blanking) * (height + blankings.vertical.blanking);
  const steps = Math.floor((pixels * refreshMilliHz) / (1e6 * RB_CLOCK_STEP_KHZ));
  return withRefresh({ width, height, pixelClockKhz: steps * RB_CLOCK_STEP_KHZ, interlaced: false, ...blankings });
}

/** Pixel clocks are written in steps of 10 kHz. */
const CLOCK_STEP_KHZ = 10;
/** Decoders take slower clocks for rubbish. */
const CLOCK_KHZ_MIN = 10_010;
/** So far blanking is widened in search of an exact clock: 100 x 100 holds one for every whole number of hertz. */
const WIDEN_MAX = 100;
/** Good enough to come back as the same number of thousandths. */
const EXACT_MILLIHZ = 0.49;

/** Reduced blanking, and as much more in both directions as the slowest clock needs. */
function enoughBlanking(
  width: number,
  height: number,
  refreshMilliHz: number,
): Pick<EdidTiming, "horizontal" | "vertical"> {
  const { horizontal, vertical } = reducedBlanking(width, height, refreshMilliHz);
  const columns = width + horizontal.blanking;
  const lines = height + vertical.blanking;
  const factor = Math.sqrt((CLOCK_KHZ_MIN * 1e6) / (columns * lines * refreshMilliHz));
  if (factor <= 1) return { horizontal, vertical };
  return {
    horizontal: { ...horizontal, blanking: Math.ceil(columns * factor) - width },
    vertical: { ...vertical, blanking: Math.ceil(lines * factor) - height },
  };
}

/**
 * A timing whose refresh rate is the one asked for: CVT-RB's, with blanking widened (by less than 100 pixels and lines)
 * until the pixel clock comes out at a multiple of 10 kHz. Exact for whole hertz; the nearest there is otherwise. A
 * picture so small that its clock would be below 10 MHz is given more blanking first. Throws EINVAL outside 1 to 1000 Hz.
 */
export function exactTiming(width: number, height: number, refreshMilliHz: number): EdidTiming {
  const { horizontal, vertical } = enoughBlanking(width, height, refreshMilliHz);
  let best = { columns: 0, lines: 0, steps: 0, error: Infinity, pixels: Infinity };
  for (let columns = 0; columns < WIDEN_MAX; columns += 1) {
    for (let lines = 0; lines < WIDEN_MAX; lines += 1) {
      const pixels = (width + horizontal.blanking + columns) * (height + vertical.blanking + lines);
      if (pixels >= best.pixels && best.error <= EXACT_MILLIHZ) break;
      const steps = Math.max(1, Math.round((pixels * refreshMilliHz) / (1e6 * CLOCK_STEP_KHZ)));
      const error = Math.max(EXACT_MILLIHZ, Math.abs((steps * 1e6 * CLOCK_STEP_KHZ) / pixels - refreshMilliHz));
      if (error < best.error || (error === best.error && pixels < best.pixels)) {
        best = { columns, lines, steps, error, pixels };
      }
    }
  }
  return withRefresh({
    width,
    height,
    pixelClockKhz: best.steps * CLOCK_STEP_KHZ,
    horizontal: { ...horizontal, blanking: horizontal.blanking + best.columns },
    vertical: { ...vertical, blanking: vertical.blanking + best.lines },
    interlaced: false,
  });
}

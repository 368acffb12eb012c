/**
 * The seam to whatever shows the pictures: a canvas, a window, a recorder of pictures, the test's eye.
 */
import type { PixelSource, PixelRect } from "./pixels.ts";

/**
 * What an output shows, from the moment it is given to a {@link DisplaySink} until the next `scanout` for this output.
 * After that its contents mean nothing, but reading them does no harm.
 */
export interface ScanoutPixels {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /** A Format. */
  readonly format: number;
  /**
   * The pixels where they are, for a sink that needs no copy; null where they do not lie in one piece (a guest's
   * scattered pages). Live, and not to be kept: take it anew each time.
   */
  view(): PixelSource | null;
  /** Copies a rectangle, in the scanout's format, row after row. What lies outside the scanout stays as it was. */
  read(rect: PixelRect, target: Uint8Array, targetOffset: number, targetStride: number): void;
  /** Copies a rectangle as opaque RGBA. What lies outside the scanout stays as it was. */
  readRgba(rect: PixelRect, target: Uint8Array | Uint8ClampedArray, targetOffset: number, targetStride: number): void;
}

/** An output's cursor. */
export interface CursorImage {
  /** Where the hot spot is, in pixels of the output; may lie outside. */
  readonly x: number;
  readonly y: number;
  /** Pixels, in the picture. */
  readonly hotX: number;
  readonly hotY: number;
  readonly visible: boolean;
  /** 64 x 64 pixels, RGBA, alpha not premultiplied into anything by the device: as the guest drew it. */
  readonly rgba: Uint8Array;
}

/**
 * Hears what the guest shows. Calls are synchronous, made in the middle of a command. What a sink throws is traced, and the
 * device goes on. It may look at the pixels then or later, but not change them; it may call back into the device, even
 * reset it.
 */
export interface DisplaySink {
  /** The output shows something else from now on, or nothing (null). */
  scanout(output: number, pixels: ScanoutPixels | null): void;
  /** A rectangle of the output, in its own coordinates, has new contents. */
  flush(output: number, rect: PixelRect, pixels: ScanoutPixels): void;
  /** The cursor has a new picture, hot spot and position, and is visible. */
  updateCursor(output: number, cursor: CursorImage): void;
  /** The cursor is visible, at another position. */
  moveCursor(output: number, cursor: CursorImage): void;
  /** The cursor is not to be seen. */
  hideCursor(output: number): void;
}

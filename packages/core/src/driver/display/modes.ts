/**
 * Which modes an output offers, which of them is preferred, what becomes of a mode that is no longer offered, and
 * whether two looks at the host's displays differ. Pure functions over what the host said (VIRTIO 1.2 section 5.7.6.8,
 * GET_DISPLAY_INFO and GET_EDID), none of which is believed beyond its bounds.
 *
 * As in Linux an output without EDID offers the standard list. Unlike there, the size in the display information is
 * preferred also over an EDID: it is what the host's window has now, and some hosts never touch their EDID.
 */
import { DMT_TIMINGS, type DisplayMode, type Edid, type EdidTiming } from "../../wire/index.ts";

/** The least and most of a mode's width and height, in pixels: Linux's bounds. */
export const MODE_SIZE_MIN = 32;
/** The most of both, in pixels. */
export const MODE_SIZE_MAX = 8192;
/** The mode of an output whose host names none (VIRTIO 1.2 section 5.7.5). */
export const DEFAULT_MODE: ModeSize = { width: 1024, height: 768 };

const DEFAULT_REFRESH_MILLIHZ = 60_000;
/** The standard list has no rates beyond this, as in Linux. */
const STANDARD_REFRESH_MILLIHZ_MAX = 61_000;
/** Rates this close go by one name (59.94 and 60). */
const SAME_REFRESH_MILLIHZ = 500;

/** A picture's size in pixels. */
export interface ModeSize {
  readonly width: number;
  readonly height: number;
}

/** A mode that an output offers. */
export interface OutputMode extends ModeSize {
  /** Thousandths of a hertz. */
  readonly refreshMilliHz: number;
  /** Exactly one mode of a connected output is. */
  readonly preferred: boolean;
}

/** What the host said of one output. */
export interface OutputState extends ModeSize {
  /** Whether somebody looks at it: `enabled` of the display information. */
  readonly connected: boolean;
  /** Where its picture lies among the others. */
  readonly x: number;
  readonly y: number;
  /** The bytes of its EDID; null where the host gave none. */
  readonly edid: Uint8Array | null;
}

/** An output at which nobody looks, and one that the host does not have. */
export const DISCONNECTED: OutputState = { connected: false, x: 0, y: 0, width: 0, height: 0, edid: null };

/** The outputs of a host that has `count` of them, from its two answers; `edids` by output. */
export function outputStates(
  modes: readonly DisplayMode[],
  count: number,
  edids: readonly (Uint8Array | null)[],
): readonly OutputState[] {
  return modes.slice(0, Math.max(0, count)).map(({ enabled, x, y, width, height }, output) => ({
    connected: enabled !== 0,
    x,
    y,
    width,
    height,
    edid: edids[output] ?? null,
  }));
}

/**
 * The modes of an output: the preferred one first, then the largest. Never empty while the output is connected, always
 * empty while it is not. A size of the display information outside of 32 to 8192 is brought into these bounds; without
 * one (0) the EDID's preferred timing is preferred, else 1024x768.
 */
export function outputModes(
  display: Pick<OutputState, "connected" | "width" | "height">,
  edid: Edid | null,
): readonly OutputMode[] {
  if (!display.connected) return [];
  const offered = edid === null ? standardTimings() : edidTimings(edid);
  const preferred = preferredMode(display, edid, offered);
  const others = [...offered, { ...DEFAULT_MODE, refreshMilliHz: DEFAULT_REFRESH_MILLIHZ }];
  const modes: OutputMode[] = [preferred];
  for (const { width, height, refreshMilliHz } of others.sort(largestFirst)) {
    if (!modes.some((mode) => isSameMode(mode, { width, height, refreshMilliHz }))) {
      modes.push({ width, height, refreshMilliHz, preferred: false });
    }
  }
  return modes;
}

type Rated = ModeSize & { readonly refreshMilliHz: number };

function largestFirst(a: Rated, b: Rated): number {
  return b.width * b.height - a.width * a.height || b.width - a.width || b.refreshMilliHz - a.refreshMilliHz;
}

function hasSameSize(a: ModeSize, b: ModeSize): boolean {
  return a.width === b.width && a.height === b.height;
}

function isSameMode(a: Rated, b: Rated): boolean {
  return hasSameSize(a, b) && Math.abs(a.refreshMilliHz - b.refreshMilliHz) < SAME_REFRESH_MILLIHZ;
}

function isUsable({ width, height, refreshMilliHz, interlaced }: EdidTiming): boolean {
  const inBounds = [width, height].every((size) => size >= MODE_SIZE_MIN && size <= MODE_SIZE_MAX);
  return inBounds && !interlaced && refreshMilliHz > 0;
}

function edidTimings({ detailed, displayId, video, standard, established }: Edid): Rated[] {
  const formats = video.map(({ timing }) => timing).filter((timing) => timing !== null);
  return [...detailed, ...displayId, ...formats, ...standard, ...established].filter(isUsable);
}

function standardTimings(): Rated[] {
  const timings = DMT_TIMINGS.map(({ timing }) => timing).filter(isUsable);
  return timings.filter(({ refreshMilliHz }) => refreshMilliHz <= STANDARD_REFRESH_MILLIHZ_MAX);
}

/** The size is the display information's; the rate is the EDID's where it knows this size. */
function preferredMode(display: ModeSize, edid: Edid | null, offered: readonly Rated[]): OutputMode {
  const timing = edid?.preferred ?? null;
  const ofEdid = timing !== null && isUsable(timing) ? timing : null;
  const size = sizeOf(display) ?? ofEdid ?? DEFAULT_MODE;
  const rated = [...(ofEdid === null ? [] : [ofEdid]), ...offered].find((mode) => hasSameSize(mode, size));
  return {
    width: size.width,
    height: size.height,
    refreshMilliHz: rated?.refreshMilliHz ?? DEFAULT_REFRESH_MILLIHZ,
    preferred: true,
  };
}

function sizeOf({ width, height }: ModeSize): ModeSize | null {
  if (width <= 0 || height <= 0) return null;
  const bounded = (size: number): number => Math.min(MODE_SIZE_MAX, Math.max(MODE_SIZE_MIN, size));
  return { width: bounded(width), height: bounded(height) };
}

/** What became of a mode that was in use. */
export type ModeFallback =
  | { readonly kind: "kept" | "otherRate" | "preferred"; readonly mode: OutputMode }
  /** The output offers nothing: it is to be switched off, and its mode to be remembered. */
  | { readonly kind: "off"; readonly mode: null };

/**
 * The mode to use where `saved` was in use, given the modes that are offered now ({@link outputModes}): the same, else
 * the same size at the nearest rate, else the preferred one, else none.
 */
export function fallbackMode(saved: Rated, modes: readonly OutputMode[]): ModeFallback {
  const distance = (mode: Rated): number => Math.abs(mode.refreshMilliHz - saved.refreshMilliHz);
  const [nearest] = modes.filter((mode) => hasSameSize(mode, saved)).sort((a, b) => distance(a) - distance(b));
  if (nearest !== undefined) return { kind: isSameMode(nearest, saved) ? "kept" : "otherRate", mode: nearest };
  const preferred = modes.find((mode) => mode.preferred) ?? modes[0];
  return preferred === undefined ? { kind: "off", mode: null } : { kind: "preferred", mode: preferred };
}

/** What changed at an output. A picture's size and place count only while the output is connected. */
export type OutputChangeKind = "connected" | "disconnected" | "size" | "position" | "edid";

/** What changed at one output, between two looks at it. */
export interface OutputChange {
  /** The output's number: scanout id. */
  readonly output: number;
  readonly kinds: readonly OutputChangeKind[];
}

/**
 * What a hotplug event has to tell: the outputs that differ between two looks at the host. Empty: nothing happened. An
 * output that only one of the lists has counts as disconnected in the other.
 */
export function outputChanges(before: readonly OutputState[], after: readonly OutputState[]): readonly OutputChange[] {
  const count = Math.max(before.length, after.length);
  const all = Array.from({ length: count }, (_, output) => ({
    output,
    kinds: changeKinds(before[output] ?? DISCONNECTED, after[output] ?? DISCONNECTED),
  }));
  return all.filter(({ kinds }) => kinds.length > 0);
}

function changeKinds(before: OutputState, after: OutputState): readonly OutputChangeKind[] {
  if (!after.connected) return before.connected ? ["disconnected"] : [];
  if (!before.connected) return ["connected"];
  const kinds: OutputChangeKind[] = [];
  if (!hasSameSize(before, after)) kinds.push("size");
  if (before.x !== after.x || before.y !== after.y) kinds.push("position");
  if (!hasSameBytes(before.edid, after.edid)) kinds.push("edid");
  return kinds;
}

/** Hosts fill their replies up with zeros, each up to another length. */
function hasSameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b;
  const length = Math.max(a.length, b.length);
  for (let at = 0; at < length; at += 1) if ((a[at] ?? 0) !== (b[at] ?? 0)) return false;
  return true;
}

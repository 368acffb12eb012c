/**
 * What the generated codecs stand on. Every virtio-gpu structure is a multiple of four bytes and naturally aligned, so
 * all of them are read and written as 32-bit words of a `Uint32Array`: one aligned access a field, never a DataView
 * (whose unoptimised accesses go byte by byte). That is the wire's little endian only on a little-endian host, hence
 * the assertion below, once, when the module loads.
 */
import { assert } from "../base/assert.ts";

assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, "the wire formats need a little-endian host");

/** Four words: what there is per plane of a framebuffer. */
export type U32x4 = readonly [number, number, number, number];

/** Two to the power of 32: the weight of a 64-bit field's high word. */
export const HIGH_WORD = 0x1_0000_0000;

/** High words from here on mean 2^53 or more, where numbers are no longer exact. */
const HIGH_WORD_INEXACT = 0x20_0000;

/**
 * A 64-bit field as one number: exact below 2^53, `Infinity` from there on, so that every range check refuses what
 * can't be represented instead of working with a rounded address.
 */
export function joinU64(low: number, high: number): number {
  return high < HIGH_WORD_INEXACT ? high * HIGH_WORD + low : Infinity;
}

/** The low word of a non-negative integer below 2^53. */
export function lowWord(value: number): number {
  return value >>> 0;
}

/** The high word of a non-negative integer below 2^53. */
export function highWord(value: number): number {
  return (value / HIGH_WORD) >>> 0;
}

/**
 * Writes a byte array of `byteLength` bytes at word `at`; what `source` does not fill becomes 0. A longer source is our
 * own mistake (InvariantViolation).
 */
export function writeBytes(u32: Uint32Array, at: number, byteLength: number, source: Uint8Array): void {
  assert(source.length <= byteLength, `${source.length} bytes do not fit a field of ${byteLength}`);
  const target = new Uint8Array(u32.buffer, u32.byteOffset + at * 4, byteLength);
  target.set(source);
  target.fill(0, source.length);
}

/** A copy of `byteLength` bytes from word `at` on; zero for bytes behind the end of `u32`. */
export function readBytes(u32: Uint32Array, at: number, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  const present = Math.max(0, Math.min(byteLength, (u32.length - at) * 4));
  if (present > 0) bytes.set(new Uint8Array(u32.buffer, u32.byteOffset + at * 4, present));
  return bytes;
}

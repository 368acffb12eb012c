import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantViolation } from "../base/assert.ts";
import { highWord, joinU64, lowWord, readBytes, writeBytes } from "./words.ts";

const safe = fc.maxSafeNat();

describe("64-bit fields", () => {
  it("are split and joined without loss below 2^53", () => {
    fc.assert(fc.property(safe, (value) => joinU64(lowWord(value), highWord(value)) === value));
    expect(joinU64(0xffffffff, 0x1fffff)).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("are Infinity from 2^53 on, so that no range check takes a rounded address", () => {
    expect(joinU64(0, 0x200000)).toBe(Infinity);
    expect(joinU64(0xffffffff, 0xffffffff)).toBe(Infinity);
  });
});

describe("byte arrays", () => {
  it("are filled up with zeros, and touch nothing beside them", () => {
    const u32 = new Uint32Array(6).fill(0xffffffff);
    writeBytes(u32.subarray(1), 1, 8, Uint8Array.of(1, 2, 3));
    expect([...u32]).toEqual([0xffffffff, 0xffffffff, 0x030201, 0, 0xffffffff, 0xffffffff]);
  });

  it("refuse a source that does not fit", () => {
    expect(() => writeBytes(new Uint32Array(8), 0, 4, new Uint8Array(5))).toThrow(InvariantViolation);
  });

  it("read as zero behind the end, and as a copy", () => {
    const u32 = Uint32Array.of(0x04030201, 0x08070605);
    const bytes = readBytes(u32, 1, 8);
    expect([...bytes]).toEqual([5, 6, 7, 8, 0, 0, 0, 0]);
    expect([...readBytes(u32, 9, 4)]).toEqual([0, 0, 0, 0]);
    bytes[0] = 0;
    expect(u32[1]).toBe(0x08070605);
  });
});

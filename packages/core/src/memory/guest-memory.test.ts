import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GpuError } from "../base/errors.ts";
import { FileGuestMemory } from "./file-memory.ts";
import { type GuestMemory, MemoryRangeError } from "./guest-memory.ts";
import { GuestRam } from "./guest-ram.ts";
import type { PositionedFile } from "./ring-memory.ts";

/** A file in memory that refuses to be read or written beyond its end. */
class ArrayFile implements PositionedFile {
  readonly bytes: Uint8Array;
  transfers = 0;
  constructor(byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
  }
  readAt(position: number, target: Uint8Array): void {
    this.transfers += 1;
    if (position + target.length > this.bytes.length) throw new Error("short read");
    target.set(this.bytes.subarray(position, position + target.length));
  }
  writeAt(position: number, source: Uint8Array): void {
    this.transfers += 1;
    this.bytes.set(source, position);
  }
}

const LOW = { address: 0, byteLength: 0x3000 };
const HIGH = { address: 0x1_0000_0000, byteLength: 0x2000 };

const kinds: readonly (readonly [string, () => GuestMemory])[] = [
  ["mapped", () => new GuestRam([HIGH, LOW])],
  [
    "behind a file",
    () =>
      new FileGuestMemory(new ArrayFile(0x6000), [
        { ...LOW, fileOffset: 0x2000 },
        { ...HIGH, fileOffset: 0 },
      ]),
  ],
];

describe.each(kinds)("guest memory %s", (_name, make) => {
  it("keeps what was written, region by region", () => {
    const memory = make();
    for (const [address, byteLength] of [
      [0x10, 5],
      [0x2f00, 0x100],
      [HIGH.address, 0x1fff],
    ] as const) {
      const source = Uint8Array.from({ length: byteLength }, (_, index) => (index * 7 + 1) & 0xff);
      memory.write(address, source);
      const target = new Uint8Array(byteLength);
      memory.read(address, target);
      expect(target).toEqual(source);
    }
    const untouched = new Uint8Array(0x10);
    memory.read(0, untouched);
    expect(untouched).toEqual(new Uint8Array(0x10));
  });

  it("contains a range exactly when a bigint computation says so, whatever the numbers", () => {
    const memory = make();
    const numbers = fc.oneof(
      fc.integer({ min: -16, max: 0x3010 }),
      fc.integer({ min: -16, max: 0x2010 }).map((offset) => HIGH.address + offset),
      fc.constantFrom(
        Number.NaN,
        Infinity,
        -Infinity,
        -1,
        0.5,
        4095.5,
        2 ** 53,
        2 ** 53 - 1,
        2 ** 64,
        2 ** 64 - 2 ** 12,
        -0,
      ),
    );
    const reference = (address: number, byteLength: number): boolean => {
      if (!Number.isInteger(address) || !Number.isInteger(byteLength) || address < 0 || byteLength < 0) return false;
      const end = BigInt(address) + BigInt(byteLength);
      return [LOW, HIGH].some((region) => {
        return address >= region.address && end <= BigInt(region.address) + BigInt(region.byteLength);
      });
    };
    fc.assert(
      fc.property(numbers, numbers, (address, byteLength) => {
        expect(memory.contains(address, byteLength)).toBe(reference(address, byteLength));
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses an access outside, or across the end of a region", () => {
    const memory = make();
    for (const address of [0x2ffd, 0x3000, -1, Number.NaN, 0.5, HIGH.address + 0x1ffd, 2 ** 64]) {
      expect(() => memory.read(address, new Uint8Array(4))).toThrow(MemoryRangeError);
      expect(() => memory.write(address, new Uint8Array(4))).toThrow(MemoryRangeError);
      expect(() => memory.view(address, 4)).toThrow(MemoryRangeError);
    }
    expect(() => memory.ringMemory(0x2000, 0x1004)).toThrow(MemoryRangeError);
  });

  it("gives ring windows whose published words the memory holds, and the other way round", () => {
    const memory = make();
    const ring = memory.ringMemory(HIGH.address + 0x100, 64);
    ring.u32[2] = 0x11223344;
    ring.publish(8, 4);
    ring.store16(8, 0xabcd);
    const bytes = new Uint8Array(20);
    memory.read(HIGH.address + 0x100, bytes);
    expect([...bytes.subarray(8, 12)]).toEqual([0x44, 0x33, 0x22, 0x11]);
    expect([...bytes.subarray(16, 18)]).toEqual([0xcd, 0xab]);
    memory.write(HIGH.address + 0x100, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    expect(ring.load16(1)).toBe(0x0403);
    ring.refresh(0, 8);
    expect(ring.u32[1]).toBe(0x08070605);
  });
});

describe("guest memory", () => {
  it("is viewed live where it is mapped, and not at all behind a file", () => {
    const ram = GuestRam.of(4096);
    ram.view(16, 4).set([9, 8, 7, 6]);
    const bytes = new Uint8Array(4);
    ram.read(16, bytes);
    expect([...bytes]).toEqual([9, 8, 7, 6]);
    const file = new FileGuestMemory(new ArrayFile(4096), [{ address: 0, byteLength: 4096, fileOffset: 0 }]);
    expect(file.view(16, 4)).toBeNull();
  });

  it("lies over bytes that exist, a part of a buffer too", () => {
    const buffer = new ArrayBuffer(64);
    const ram = new GuestRam([{ address: 0x1000, buffer: new Uint8Array(buffer, 16, 32) }]);
    ram.write(0x1004, Uint8Array.of(5));
    expect(new Uint8Array(buffer)[20]).toBe(5);
    expect(ram.ringMemory(0x1004, 4).u8.byteOffset).toBe(20);
    expect(ram.contains(0x1000, 33)).toBe(false);
  });

  it("refuses regions that overlap or are no address ranges (EINVAL)", () => {
    const bad = [
      [
        { address: 0, byteLength: 16 },
        { address: 15, byteLength: 1 },
      ],
      [{ address: -4, byteLength: 16 }],
      [{ address: 0.5, byteLength: 16 }],
      [{ address: 0, byteLength: 0 }],
      [{ address: 0, byteLength: Number.NaN }],
      [{ address: 2 ** 53 - 8, byteLength: 16 }],
    ];
    for (const regions of bad) expect(() => new GuestRam(regions)).toThrow(GpuError);
    const file = new ArrayFile(16);
    expect(() => new FileGuestMemory(file, [{ address: 0, byteLength: 16, fileOffset: -1 }])).toThrow(GpuError);
  });

  it("behind a file moves only what is published or refreshed, one transfer each", () => {
    const file = new ArrayFile(4096);
    const ring = new FileGuestMemory(file, [{ address: 0, byteLength: 4096, fileOffset: 0 }]).ringMemory(0, 64);
    const before = file.transfers;
    ring.u32[0] = 7;
    expect(file.bytes[0]).toBe(0);
    ring.publish(0, 4);
    expect(file.bytes[0]).toBe(7);
    file.bytes[4] = 9;
    expect(ring.u32[1]).toBe(0);
    ring.refresh(4, 4);
    expect(ring.u32[1]).toBe(9);
    expect(file.transfers - before).toBe(2);
  });
});

/** Memory entries: what is refused, and what is merged. */
import { describe, expect, it } from "vitest";
import type { GuestMemory } from "../memory/guest-memory.ts";
import { GuestRam } from "../memory/guest-ram.ts";
import { writeMemoryEntry } from "../wire/gpu.gen.ts";
import { packEntries } from "./backing.ts";

type Range = readonly [address: number, byteLength: number];

function pack(memory: GuestMemory, ...ranges: readonly Range[]): Range[] | null {
  const words = new Uint32Array(ranges.length * 4);
  for (const [index, [address, byteLength]] of ranges.entries())
    writeMemoryEntry(words, index * 4, address, byteLength);
  const list = packEntries(memory, words, ranges.length);
  if (list === null) return null;
  return Array.from({ length: list.count }, (_, index) => [list.addresses[index] ?? 0, list.lengths[index] ?? 0]);
}

/** Memory without an end. */
const endless: GuestMemory = Object.assign(GuestRam.of(4096), { contains: () => true });

describe("memory entries", () => {
  it("that follow one another are merged, in their order", () => {
    const ram = GuestRam.of(1 << 20);
    const entries: Range[] = [
      [0, 4096],
      [4096, 4096],
      [8192, 1],
      [4096, 4096],
      [0, 100],
    ];
    expect(pack(ram, ...entries)).toEqual([
      [0, 8193],
      [4096, 4096],
      [0, 100],
    ]);
  });

  it("are not merged over the edge of a region, nor beyond 32 bits", () => {
    const two = new GuestRam([
      { address: 0, byteLength: 8192 },
      { address: 8192, byteLength: 8192 },
    ]);
    expect(pack(two, [4096, 4096], [8192, 4096])).toEqual([
      [4096, 4096],
      [8192, 4096],
    ]);
    const large: Range[] = [
      [0, 0xffff_f000],
      [0xffff_f000, 0xfff],
      [0xffff_ffff, 1],
    ];
    expect(pack(endless, ...large)).toEqual([
      [0, 0xffff_f000],
      [0xffff_f000, 4096],
    ]);
  });

  it("of 0xffffffff bytes are refused as QEMU refuses them, wherever memory ends", () => {
    expect(pack(endless, [0, 0xffff_ffff])).toBeNull();
    expect(pack(endless, [0, 0xffff_fffe])).toEqual([[0, 0xffff_fffe]]);
    expect(pack(endless, [0, 4096], [4096, 0])).toBeNull();
  });
});

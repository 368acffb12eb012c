import { closeSync, openSync, readSync } from "node:fs";
import { SeededRandom } from "@virtgpu/core/sim";
import { describe, expect, it } from "vitest";
import { HeapMemory } from "./heap-memory.ts";
import type { Pagemap } from "./pagemap.ts";

describe("memory of the heap", () => {
  it("is found in the own process, and begins with a page", () => {
    const asked: bigint[] = [];
    const pagemap = {
      frames: (address: bigint, count: number): number[] => {
        asked.push(address);
        return Array.from({ length: count }, () => 1);
      },
    } as unknown as Pagemap;
    const memory = new HeapMemory(pagemap, new SeededRandom(5));
    const chunk = memory.allocate(4 << 20);
    expect(chunk.bytes.every((byte) => byte === 0)).toBe(true);
    chunk.bytes.set([1, 2, 3, 4], 4096);
    expect(chunk.frames(1, 2)).toEqual([1, 1]);
    const [address = 0n] = asked;
    expect(address % 4096n).toBe(0n);
    const own = openSync("/proc/self/mem", "r");
    const seen = new Uint8Array(4);
    readSync(own, seen, 0, 4, address);
    closeSync(own);
    expect([...seen]).toEqual([1, 2, 3, 4]);
  });
});

import { readdirSync, fstatSync, readSync } from "node:fs";
import { tmpdir } from "node:os";
import { describe, expect, it } from "vitest";
import { SwapDisk } from "./swap-disk.ts";

const leftovers = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith("virtgpu-swap-"));

describe("a swap disk", () => {
  it("is a swap space of its size, takes no room, and has no name", () => {
    const before = leftovers();
    const disk = new SwapDisk(64);
    try {
      expect(leftovers()).toEqual(before);
      const { size, blocks, nlink } = fstatSync(disk.fd);
      expect(size).toBe(64 << 20);
      expect(blocks * 512).toBeLessThan(64 << 10);
      expect(nlink).toBe(0);
      const page = Buffer.alloc(4096);
      readSync(disk.readFd, page, 0, 4096, 0);
      expect(page.toString("latin1", 4086)).toBe("SWAPSPACE2");
      expect(page.readUInt32LE(1024)).toBe(1);
      expect(page.readUInt32LE(1028)).toBe((64 << 20) / 4096 - 1);
    } finally {
      disk.close();
    }
  });

  it("may be larger than a 32-bit number of bytes", () => {
    const disk = new SwapDisk(5 * 1024);
    try {
      expect(fstatSync(disk.fd).size).toBe(5 * 2 ** 30);
      const page = Buffer.alloc(4096);
      readSync(disk.readFd, page, 0, 4096, 0);
      expect(page.readUInt32LE(1028)).toBe((5 * 2 ** 30) / 4096 - 1);
    } finally {
      disk.close();
    }
  });
});

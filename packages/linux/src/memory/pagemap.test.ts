import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Pagemap } from "./pagemap.ts";

const PRESENT = 1n << 63n;
const SWAPPED = 1n << 62n;
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-pagemap-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function pagemap(...entries: bigint[]): Pagemap {
  const path = join(folder, "pagemap");
  writeFileSync(path, new Uint8Array(BigUint64Array.from(entries).buffer));
  return new Pagemap(path);
}

describe("physical addresses", () => {
  it("are read page by page, whatever else an entry says", () => {
    const soft = 1n << 55n;
    const map = pagemap(0n, PRESENT | 0x1234n, PRESENT | soft | 0x99n);
    expect(map.frames(0x1000n, 2)).toEqual([0x1234, 0x99]);
    map.close();
  });

  it.each([
    ["are the kernel's secret for whoever is not root", PRESENT, "EACCES", /root/],
    ["are none of a page on the swap disk", SWAPPED | 0x55n, "EIO", /swap/],
    ["are none of a page that is not there", 0n, "EIO", /not mapped/],
    ["are none beyond all memory", PRESENT | ((1n << 55n) - 1n), "EIO", /beyond/],
  ])("%s", (_, entry, code, message) => {
    const map = pagemap(PRESENT | 1n, entry);
    expect(() => map.frames(0n, 2)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
    map.close();
  });

  it("are none where the file ends, or is not there", () => {
    const map = pagemap(PRESENT | 1n);
    expect(() => map.frames(0n, 2)).toThrow(/ends after 8 bytes/);
    map.close();
    expect(() => new Pagemap(join(folder, "none"))).toThrow(expect.objectContaining({ code: "EACCES" }));
  });
});

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Mapping } from "../native/mapping.ts";
import { MapFlag } from "../native/sys.ts";
import type { Pagemap } from "./pagemap.ts";
import { HugepageMemory, PlainPageMemory } from "./locked-memory.ts";

const HUGE = 2 << 20;
const POOL = "sys/kernel/mm/hugepages/hugepages-2048kB";
let root = "";
let asked: number[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "virtgpu-memory-"));
  mkdirSync(join(root, POOL), { recursive: true });
  mkdirSync(join(root, "proc/sys/vm"), { recursive: true });
  asked = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const put = (path: string, value: string): void => writeFileSync(join(root, path), value);
const get = (path: string): string => readFileSync(join(root, path), "utf8");
/** Ordinary pages in place of hugepages: the test's machine may have none. */
const map = (byteLength: number, flags: number): Mapping => {
  asked.push(flags);
  return Mapping.anonymous(byteLength, MapFlag.SHARED);
};

describe("hugepages", () => {
  it("are reserved as far as they are missing, and given back at the end", () => {
    put(`${POOL}/nr_hugepages`, "3\n");
    put(`${POOL}/free_hugepages`, "1\n");
    const memory = new HugepageMemory({ pagemap: null, root, map });
    const chunk = memory.allocate(4 * HUGE);
    expect(get(`${POOL}/nr_hugepages`)).toBe("6");
    expect(chunk.bytes.byteLength).toBe(4 * HUGE);
    expect((asked[0] ?? 0) & MapFlag.HUGETLB).toBe(MapFlag.HUGETLB);
    chunk.close();
    memory.close();
    expect(get(`${POOL}/nr_hugepages`)).toBe("3");
  });

  it("are found by their first page each, until they may have moved", () => {
    put(`${POOL}/nr_hugepages`, "9");
    put(`${POOL}/free_hugepages`, "9");
    let moved = 0;
    const pagemap = { frames: (address: bigint) => [Number(address / 4096n) + moved] } as unknown as Pagemap;
    const chunk = new HugepageMemory({ pagemap, root, map }).allocate(2 * HUGE);
    const first = Number(chunk.address / 4096n);
    expect(chunk.frames(511, 3)).toEqual([first + 511, first + 512, first + 513]);
    moved = 1000;
    expect(chunk.frames(0, 1)).toEqual([first]);
    chunk.forgetFrames();
    expect(chunk.frames(1023, 1)).toEqual([first + 1000 + 1023]);
    chunk.close();
  });

  it("are left as they are where enough are free", () => {
    put(`${POOL}/nr_hugepages`, "9");
    put(`${POOL}/free_hugepages`, "9");
    const memory = new HugepageMemory({ pagemap: null, root, map });
    memory.allocate(2 * HUGE).close();
    memory.close();
    expect(get(`${POOL}/nr_hugepages`)).toBe("9");
  });

  it.each(["", "-1", "many", "99999999999999999999"])("are not believed where the count is %j", (count) => {
    put(`${POOL}/nr_hugepages`, count);
    put(`${POOL}/free_hugepages`, "0");
    expect(() => new HugepageMemory({ pagemap: null, root, map }).allocate(HUGE)).toThrow(/is no count/);
  });

  it("are missed in one sentence where the kernel has none", () => {
    rmSync(join(root, POOL), { recursive: true });
    expect(() => new HugepageMemory({ pagemap: null, root, map }).allocate(HUGE)).toThrow(
      expect.objectContaining({ code: "ENOTSUP" }),
    );
  });
});

describe("plain pages", () => {
  it("are asked not to be moved only where the device goes by physical addresses", () => {
    put("proc/sys/vm/compact_unevictable_allowed", "1\n");
    const through = new PlainPageMemory({ pagemap: null, root, map });
    through.allocate(4096).close();
    expect(get("proc/sys/vm/compact_unevictable_allowed")).toBe("1\n");
    expect((asked[0] ?? 0) & MapFlag.LOCKED).toBe(MapFlag.LOCKED);
  });

  it("have no bytes left once they are given back", () => {
    const memory = new PlainPageMemory({ pagemap: null, root, map });
    const chunk = memory.allocate(8192);
    chunk.bytes.fill(1);
    chunk.close();
    chunk.close();
    expect(chunk.bytes.byteLength).toBe(0);
  });
});

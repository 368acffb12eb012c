import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadSys } from "../../native/index.ts";
import { linesOf } from "../kernel-log.ts";
import type { SleepWay } from "../protocol.ts";
import { ImageDisk, type StoredImage } from "./image-disk.ts";
import { enterState } from "./power-state.ts";
import { Sleeper } from "./sleeper.ts";
import { markAsSwap } from "./swaps.ts";
import { sleepPlans } from "./ways.ts";

const BLOCK = 4096;
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-sleep-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const read = (file: string): string => readFileSync(join(folder, file), "utf8");

describe("a way to sleep", () => {
  const files = ["disk", "mem_sleep", "pm_test", "pm_async", "state"];

  beforeEach(() => {
    for (const file of files) writeFileSync(join(folder, file), "");
  });

  it.each([
    ["s4-platform", { disk: "platform", state: "disk" }],
    ["s4-reboot", { disk: "reboot", state: "disk" }],
    ["hybrid", { mem_sleep: "deep", state: "disk", disk: "platform" }],
    ["s3", { mem_sleep: "deep", state: "mem" }],
    ["s2idle", { state: "freeze" }],
    ["pm-test-core", { disk: "platform", state: "disk", pm_test: "none" }],
  ] as const)("writes the words of %s, and leaves no test switched on", async (way, words) => {
    await enterState(sleepPlans[way], folder);
    for (const [file, word] of Object.entries(words)) expect([file, read(file)]).toEqual([file, word]);
  });

  it("that a kernel doesn't know is refused with what it knows, and what was set is taken back", async () => {
    rmSync(join(folder, "disk"));
    mkdirSync(join(folder, "disk"));
    const refused = enterState(sleepPlans["pm-test-devices"], folder);
    await expect(refused).rejects.toThrow(/^EISDIR: this kernel takes no "platform" in .*disk, it offers: nothing$/);
    expect([read("pm_test"), read("state")]).toEqual(["none", ""]);
  });
});

describe("a disk of images", () => {
  const disk = (): ImageDisk => new ImageDisk(join(folder, "disk"));
  const swapHeader = Buffer.alloc(BLOCK, 0x5a);

  beforeEach(() => {
    const bytes = Buffer.alloc(8 << 20);
    swapHeader.copy(bytes);
    writeFileSync(join(folder, "disk"), bytes);
  });

  function store(on: ImageDisk, before: readonly StoredImage[], pages: number, fill: number): StoredImage {
    let left = pages;
    return on.store(before, (block) => {
      if (left === 0) return 0;
      left -= 1;
      block.fill(fill + left);
      return BLOCK;
    });
  }

  function load(from: ImageDisk, image: StoredImage): readonly number[] {
    const seen: number[] = [];
    from.load(image, (block) => seen.push(block.length === BLOCK ? (block[17] ?? -1) : -1));
    return seen;
  }

  it("gives back all pages of each image in order, and leaves the swap space's header alone", () => {
    const one = disk();
    const first = store(one, [], 300, 0);
    const second = store(one, [first], 2, 100);
    one.setImages([first, { ...second, isUsed: true }]);
    one.close();
    const again = disk();
    const images = again.images();
    expect(images.map(({ isUsed }) => isUsed)).toEqual([false, true]);
    expect(images.map((image) => load(again, image))).toEqual([
      Array.from({ length: 300 }, (_, at) => (299 - at) & 0xff),
      [101, 100],
    ]);
    again.close();
    expect(readFileSync(join(folder, "disk")).subarray(0, BLOCK)).toEqual(swapHeader);
  });

  it("says that there is nothing on a disk that has nothing, or nonsense", () => {
    const fresh = disk();
    expect(fresh.images()).toEqual([]);
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        const bytes = readFileSync(join(folder, "disk"));
        bytes.fill(0, 1 << 20, (1 << 20) + BLOCK);
        bytes.write(`virtgpu images 1${text}`.slice(0, 2000), 1 << 20, "latin1");
        writeFileSync(join(folder, "disk"), bytes);
        for (const image of fresh.images()) expect(image.at % BLOCK).toBe(0);
      }),
      { numRuns: 30 },
    );
    fresh.close();
  });

  it("refuses an image that is cut off", () => {
    const one = disk();
    const image = { at: (8 << 20) - BLOCK, bytes: 3 * BLOCK, isUsed: false };
    expect(() => load(one, image)).toThrow("EIO: the image ends after 4096 of 12288 bytes");
    one.close();
  });
});

describe("a swap disk that a failed test has marked as an image", () => {
  it("is swap space again, and nothing else of it changes", () => {
    const path = join(folder, "swap");
    const bytes = Buffer.alloc(4 * BLOCK, 7);
    for (const [before, after] of [
      ["S1SUSPEND\0", "SWAPSPACE2"],
      ["SWAPSPACE2", "SWAPSPACE2"],
      ["something!", "something!"],
    ] as const) {
      bytes.write(before, 4086, "latin1");
      writeFileSync(path, bytes);
      markAsSwap(path);
      bytes.write(after, 4086, "latin1");
      expect(readFileSync(path).equals(bytes)).toBe(true);
    }
  });
});

describe("a test_resume that the kernel broke off", () => {
  it("leaves swap space taken: what has to switch it off is refused, and does not hang", async () => {
    writeFileSync(join(folder, "disk"), "[platform]");
    // A kernel that refuses.
    mkdirSync(join(folder, "state"));
    const swaps = async (): Promise<readonly string[]> => [];
    const sleeper = new Sleeper({ sys: loadSys(), gpus: [], say: () => {}, port: "/dev/null", power: folder, swaps });
    const sleep = async (way: SleepWay): Promise<string | null> => (await sleeper.sleep(way, async () => {})).error;
    expect(await sleep("abort-image")).toBe("EISDIR");
    expect(await sleep("test-resume")).toBe("EISDIR");
    expect(await sleep("abort-image")).toMatch(/^EBUSY: .* swap space/);
    expect(await sleep("s4-platform")).toBe("EISDIR");
  });
});

describe("the kernel's log", () => {
  it("has one line for each line of a record, with its time and without its properties", () => {
    const record = "4,1042,12345678,-;WARNING: at x\nsecond line\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.0\n";
    expect(linesOf(record)).toEqual(["[   12.345678] WARNING: at x", "[   12.345678] second line"]);
  });

  it("keeps a record that it doesn't understand, and the semicolons in one that it does", () => {
    expect(linesOf("nonsense")).toEqual(["[    0.000000] nonsense"]);
    expect(linesOf("6,1,0,-;a;b")).toEqual(["[    0.000000] a;b"]);
  });
});

/** What is left of images when power is lost at any moment, and when any call to the file system fails. */
import { GpuError } from "@virtgpu/core/base";
import { describe, expect, it } from "vitest";
import { discardImage, openImage, writeImage } from "../src/image/index.ts";
import { CrashDisk, type Folder } from "./support/crash-disk.ts";
import { contentOf, ids, pages, readAll } from "./support/image-content.ts";

const PATH = "/images/machine.img";
const NAME = "machine.img";
const OLD = { ram: pages(1, 0, 2), state: "old" };
const NEW = { ram: pages(3, 4, 0), state: "new" };

async function write(disk: CrashDisk, { ram, state }: typeof OLD, firstId: number): Promise<void> {
  const content = contentOf(ram, { gpu0: Buffer.from(state) }, { codec: "raw" });
  await writeImage(PATH, content, { files: disk, chunkBytes: 4096, newId: ids(firstId) });
}

async function folderWith(image: typeof OLD): Promise<Folder> {
  const disk = new CrashDisk();
  await write(disk, image, 100);
  return disk.folder;
}

/** Which image a file is: `old`, `new`, `none`, or the code with which it is refused. */
async function classify(content: Uint8Array | undefined): Promise<string> {
  if (content === undefined) return "none";
  try {
    const image = await openImage(PATH, { files: new CrashDisk(new Map([[NAME, content]])) });
    const { ram, sections } = await readAll(image);
    const state = Buffer.from(sections.get("gpu0") ?? []).toString();
    return [OLD, NEW].find((known) => known.state === state && Buffer.compare(known.ram, ram) === 0)?.state ?? "wrong";
  } catch (error) {
    if (error instanceof GpuError) return error.code;
    throw error;
  }
}

const known = new Map<string, string>();

async function classifyOnce(content: Uint8Array | undefined): Promise<string> {
  const key = content === undefined ? "none" : Buffer.from(content).toString("latin1");
  const outcome = known.get(key) ?? (await classify(content));
  known.set(key, outcome);
  return outcome;
}

/** What the image may be after each prefix of the steps: a set for each. */
async function outcomesByStep(disk: CrashDisk): Promise<readonly (readonly string[])[]> {
  const outcomes: string[][] = [];
  for (let count = 0; count <= disk.steps.length; count += 1) {
    const here = new Set<string>();
    for (const left of disk.afterCrash(count)) here.add(await classifyOnce(left.get(NAME)));
    outcomes.push([...here].sort());
  }
  return outcomes;
}

const union = (outcomes: readonly (readonly string[])[]): readonly string[] => [...new Set(outcomes.flat())].sort();

describe("power is lost", () => {
  it("leaves the old image or the new one, at every step of writing, whatever unsynced writes are lost or torn", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    await write(disk, NEW, 200);
    const outcomes = await outcomesByStep(disk);
    expect(outcomes.length).toBeGreaterThan(8);
    expect(union(outcomes)).toEqual(["new", "old"]);
    expect(outcomes[0]).toEqual(["old"]);
    expect(outcomes.at(-1)).toEqual(["new"]);
  });

  it("leaves no image or a whole one when there was none before", async () => {
    const disk = new CrashDisk();
    await write(disk, NEW, 200);
    const outcomes = await outcomesByStep(disk);
    expect(union(outcomes)).toEqual(["new", "none"]);
    expect(outcomes.at(-1)).toEqual(["new"]);
  });

  it("leaves an image fresh or refused while it is marked as used, and refused once that has resolved", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    const image = await openImage(PATH, { files: disk });
    await image.consume();
    const outcomes = await outcomesByStep(disk);
    expect(union(outcomes)).toEqual(["ESTALE", "old"]);
    expect(outcomes.at(-1)).toEqual(["ESTALE"]);
  });

  it("leaves nothing that the next writer does not clean up", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    await write(disk, NEW, 200);
    let leftovers = 0;
    for (let count = 0; count <= disk.steps.length; count += 1) {
      for (const left of disk.afterCrash(count)) {
        if ([...left.keys()].every((name) => name === NAME)) continue;
        leftovers += 1;
        const next = new CrashDisk(left);
        await write(next, NEW, 300);
        expect([...next.folder.keys()]).toEqual([NAME]);
        const discarded = new CrashDisk(left);
        await discardImage(PATH, discarded);
        expect([...discarded.folder.keys()]).toEqual([]);
        break;
      }
    }
    expect(leftovers).toBeGreaterThan(5);
  });

  it("would show a writer that does not sync, and one that does not sync its folder", async () => {
    const hasty = new CrashDisk(await folderWith(OLD));
    await write(hasty, NEW, 200);
    hasty.steps.splice(0, Infinity, ...hasty.steps.filter(({ step }) => step !== "sync"));
    expect(union(await outcomesByStep(hasty))).toContain("EINVAL");
    const forgetful = new CrashDisk(await folderWith(OLD));
    await write(forgetful, NEW, 200);
    forgetful.steps.splice(0, Infinity, ...forgetful.steps.filter(({ step }) => step !== "sync-folder"));
    expect((await outcomesByStep(forgetful)).at(-1)).toEqual(["new", "old"]);
  });
});

/** Runs `work` once for each call to the file system that it makes, with that call failing. */
async function failEach(
  start: Folder,
  code: string,
  work: (disk: CrashDisk) => Promise<void>,
  judge: (disk: CrashDisk, call: string, error: unknown) => Promise<void>,
): Promise<number> {
  for (let failing = 0; ; failing += 1) {
    const disk = new CrashDisk(start);
    let calls = 0;
    let failed: string | null = null;
    disk.fault = (call) => {
      calls += 1;
      if (calls - 1 !== failing) return;
      failed = call;
      throw Object.assign(new Error(code), { code });
    };
    let error: unknown = null;
    try {
      await work(disk);
    } catch (thrown) {
      error = thrown;
    }
    if (failed === null) return failing;
    disk.fault = () => {};
    await judge(disk, failed, error);
  }
}

describe("a call to the file system fails", () => {
  it.each([
    ["ENOSPC", "ENOSPC"],
    ["EDQUOT", "ENOSPC"],
    ["EROFS", "EACCES"],
    ["EIO", "EIO"],
  ])("with %s while an image is written: %s, the old image is there and nothing else", async (code, expected) => {
    const work = (disk: CrashDisk): Promise<void> => write(disk, NEW, 200);
    const calls = await failEach(await folderWith(OLD), code, work, async (disk, call, error) => {
      expect(error).toBeInstanceOf(GpuError);
      expect(error).toMatchObject({ code: expected, object: PATH });
      // Only once the new image has the name, the old one is gone; and one that is not durable is not left there.
      const left = call === "sync-folder" ? [] : [NAME];
      expect([...disk.folder.keys()]).toEqual(left);
      expect(await classifyOnce(disk.folder.get(NAME))).toBe(call === "sync-folder" ? "none" : "old");
    });
    expect(calls).toBeGreaterThan(10);
  });

  it("while an image is marked: an error, and the image is fresh or refused, never wrong", async () => {
    const work = async (disk: CrashDisk): Promise<void> => (await openImage(PATH, { files: disk })).consume();
    const calls = await failEach(await folderWith(OLD), "EIO", work, async (disk, call, error) => {
      if (call !== "close") expect(error).toMatchObject({ code: "EIO" });
      const expected = call === "sync" || call === "close" ? "ESTALE" : "old";
      expect(await classifyOnce(disk.folder.get(NAME))).toBe(expected);
    });
    expect(calls).toBeGreaterThan(6);
  });

  it("while the machine's memory is read: its own error, the old image is there and nothing else", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    const gone = new Error("the machine is gone");
    const content = contentOf(NEW.ram);
    const ram = {
      byteLength: NEW.ram.length,
      read: (offset: number) => {
        if (offset > 4096) throw gone;
      },
    };
    await expect(writeImage(PATH, { ...content, ram }, { files: disk, chunkBytes: 4096 })).rejects.toBe(gone);
    expect([...disk.folder.keys()]).toEqual([NAME]);
    expect(await classifyOnce(disk.folder.get(NAME))).toBe("old");
  });
});

describe("two at once", () => {
  it("write: the later one wins, the earlier one says so, and the image is whole", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    let second: Promise<void> | null = null;
    const content = contentOf(OLD.ram);
    const ram = {
      byteLength: OLD.ram.length,
      read: async () => {
        second ??= write(disk, NEW, 300);
        await second;
      },
    };
    await expect(writeImage(PATH, { ...content, ram }, { files: disk })).rejects.toMatchObject({ code: "EBUSY" });
    expect([...disk.folder.keys()]).toEqual([NAME]);
    expect(await classifyOnce(disk.folder.get(NAME))).toBe("new");
  });

  it("use an image: one may, the other must not", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    const readers = [await openImage(PATH, { files: disk }), await openImage(PATH, { files: disk })];
    const results = await Promise.allSettled(readers.map((reader) => reader.consume()));
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await expect(readers[1]?.consume()).rejects.toMatchObject({ code: "ESTALE" });
  });

  it("one of which wrote a new image: the reader of the old one must not go on", async () => {
    const disk = new CrashDisk(await folderWith(OLD));
    const reader = await openImage(PATH, { files: disk });
    await write(disk, NEW, 300);
    await expect(reader.consume()).rejects.toMatchObject({ code: "ESTALE" });
    expect(await classifyOnce(disk.folder.get(NAME))).toBe("new");
  });
});

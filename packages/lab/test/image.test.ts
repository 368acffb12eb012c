/** Images: what goes in comes out, and what was changed since is found. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { GuestRam } from "@virtgpu/core/memory";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { guestRam, type ImageCodec, type ImageFiles, openImage, writeImage } from "../src/image/index.ts";
import { CrashDisk } from "./support/crash-disk.ts";
import { arrayRam, contentOf, ids, MACHINE, PAGE_BYTES, pages, readAll } from "./support/image-content.ts";

const PATH = "/images/machine.img";
const NAME = "machine.img";
const CODECS: readonly ImageCodec[] = ["raw", "deflate", "brotli"];

const folder = mkdtempSync(join(tmpdir(), "virtgpu-image-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes an image into memory and returns its bytes. */
async function imageBytes(
  ram: Uint8Array,
  sections: Readonly<Record<string, Uint8Array>> = {},
  codec: ImageCodec = "raw",
): Promise<Uint8Array> {
  const disk = new CrashDisk();
  const options = { files: disk, chunkBytes: PAGE_BYTES, newId: ids(1) };
  await writeImage(PATH, contentOf(ram, sections, { codec }), options);
  return disk.folder.get(NAME) ?? new Uint8Array(0);
}

const diskWith = (bytes: Uint8Array): CrashDisk => new CrashDisk(new Map([[NAME, bytes]]));

/** The code with which an image is refused; `ok` when all of it can be read. */
async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await readAll(await openImage(PATH, { files: diskWith(bytes) }));
    return "ok";
  } catch (error) {
    if (error instanceof GpuError) return error.code;
    throw error;
  }
}

/** A page of memory: zeros, one byte, text that packs well, or noise that does not. */
const page = fc.oneof(
  { weight: 3, arbitrary: fc.constant(new Uint8Array(PAGE_BYTES)) },
  fc.nat(255).map((fill) => new Uint8Array(PAGE_BYTES).fill(fill)),
  fc.nat(PAGE_BYTES - 1).map((at) => new Uint8Array(PAGE_BYTES).fill(1, at, at + 1)),
  fc.uint8Array({ minLength: PAGE_BYTES, maxLength: PAGE_BYTES }),
);
const name = fc.string({
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 255,
});

describe("an image", () => {
  it("gives back any memory and any sections, whatever was in the memory that it is read into", async () => {
    const property = fc.asyncProperty(
      fc.array(page, { maxLength: 40 }),
      fc.dictionary(name, fc.uint8Array({ maxLength: 20_000 }), { maxKeys: 5, noNullPrototype: true }),
      fc.constantFrom(...CODECS),
      fc.constantFrom(4096, 8192, 32_768, 65_536),
      async (memory, sections, codec, chunkBytes) => {
        const ram = Buffer.concat(memory);
        const disk = new CrashDisk();
        const written = await writeImage(PATH, contentOf(ram, sections, { codec }), { chunkBytes, files: disk });
        const image = await openImage(PATH, { files: disk });
        const found = await readAll(image);
        const check = await image.verify();
        await image.close();
        expect(Buffer.compare(found.ram, ram)).toBe(0);
        expect([...found.sections]).toEqual(Object.entries(sections));
        const zeroPages = memory.filter((bytes) => bytes.every((byte) => byte === 0)).length;
        expect(written).toMatchObject({ ramBytes: ram.length, zeroPages, pages: memory.length - zeroPages });
        expect(check).toMatchObject({ zeroPages, pages: written.pages });
        expect(image.header).toMatchObject({ fileBytes: written.fileBytes, id: written.id, mark: "fresh" });
        expect([...disk.folder.keys()]).toEqual([NAME]);
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  it("takes as much room for 16 MiB of zeros as for a page of them", async () => {
    const bytes = async (count: number): Promise<number> => {
      const written = await writeImage(join(folder, "zeros.img"), contentOf(new Uint8Array(count * PAGE_BYTES)));
      return written.fileBytes;
    };
    expect(await bytes(4096)).toBe(await bytes(1));
  });

  it("stores a chunk raw where a codec would not make it smaller, and only that chunk", async () => {
    const noise = Buffer.concat([pages(1), await imageNoise(), pages(2)]);
    for (const codec of ["deflate", "brotli"] as const) {
      const image = await openImage(PATH, { files: diskWith(await imageBytes(noise, {}, codec)) });
      expect(await image.verify()).toMatchObject({ pages: 3, chunks: { raw: 1, [codec]: 2 } });
    }
  });

  it("is of a machine's memory without the holes of its address space", async () => {
    const memory = new GuestRam([
      { address: 0, byteLength: 3 * PAGE_BYTES },
      { address: 0x100000, byteLength: 2 * PAGE_BYTES },
    ]);
    memory.write(2 * PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(2));
    memory.write(0x100000 + PAGE_BYTES, new Uint8Array(PAGE_BYTES).fill(4));
    const path = join(folder, "holes.img");
    await writeImage(path, { ...contentOf(pages()), ram: guestRam(memory) });
    memory.write(0, new Uint8Array(3 * PAGE_BYTES).fill(9));
    memory.write(0x100000, new Uint8Array(2 * PAGE_BYTES).fill(9));
    const image = await openImage(path);
    await image.readRam(guestRam(memory));
    await image.close();
    expect(image.header.ramBytes).toBe(5 * PAGE_BYTES);
    const found = new Uint8Array(5 * PAGE_BYTES);
    await guestRam(memory).read(0, found);
    expect(Buffer.compare(found, pages(0, 0, 2, 0, 4))).toBe(0);
  });

  it("says how far it is, upwards and to the end", async () => {
    const ram = pages(1, 0, 0, 2, 3, 0);
    const seen: (readonly number[])[] = [[], [], []];
    const note = (which: number) => (done: number, total: number) =>
      void (seen[which] = [...(seen[which] ?? []), done, total]);
    const disk = new CrashDisk();
    await writeImage(PATH, contentOf(ram), { files: disk, chunkBytes: PAGE_BYTES, onProgress: note(0) });
    const image = await openImage(PATH, { files: disk });
    await image.readRam(arrayRam(new Uint8Array(ram.length)), note(1));
    await image.verify(note(2));
    for (const steps of seen) {
      const done = steps.filter((_, index) => index % 2 === 0);
      expect(done).toEqual([...done].sort((one, other) => one - other));
      expect(new Set(done).size).toBe(done.length);
      expect(steps.slice(-2)).toEqual([ram.length, ram.length]);
    }
  });

  it("is given up between two chunks, and nothing is left of it", async () => {
    const disk = new CrashDisk();
    const abort = new AbortController();
    const options = { files: disk, chunkBytes: PAGE_BYTES, signal: abort.signal, onProgress: () => abort.abort() };
    await expect(writeImage(PATH, contentOf(pages(1, 2, 3, 4)), options)).rejects.toMatchObject({ code: "ECANCELED" });
    expect(disk.folder.size).toBe(0);
  });
});

async function imageNoise(): Promise<Uint8Array> {
  const noise = new Uint8Array(PAGE_BYTES);
  let state = 1;
  for (const index of noise.keys()) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    noise[index] = state >>> 23;
  }
  return noise;
}

describe("memory", () => {
  it("is read, held and handed out by the chunk, however large the machine", async () => {
    const disk = new CrashDisk();
    const byteLength = 64 * PAGE_BYTES;
    let readBytes = 0;
    let heldMax = 0;
    const ram = {
      byteLength,
      read: (offset: number, target: Uint8Array) => {
        const writtenBytes = disk.steps.reduce((sum, step) => sum + ("bytes" in step ? step.bytes.length : 0), 0);
        readBytes += target.fill(1 + offset / PAGE_BYTES).length;
        heldMax = Math.max(heldMax, readBytes - writtenBytes);
      },
    };
    await writeImage(PATH, { ...contentOf(pages()), ram, codec: "raw" }, { files: disk, chunkBytes: PAGE_BYTES });
    expect(heldMax).toBeLessThanOrEqual(2 * PAGE_BYTES);
    const reads: number[] = [];
    const image = await openImage(PATH, { files: countingReads(disk, reads) });
    const sizes: number[] = [];
    await image.readRam({ byteLength, write: (_offset, bytes) => void sizes.push(bytes.length) });
    expect(Math.max(...sizes)).toBe(PAGE_BYTES);
    expect(Math.max(...reads)).toBeLessThan(1.1 * PAGE_BYTES);
  });
});

/** The same files; how much each read wants goes to `reads`. */
function countingReads(files: ImageFiles, reads: number[]): ImageFiles {
  const open: ImageFiles["open"] = async (path, access) => {
    const file = await files.open(path, access);
    const read: typeof file.read = (target, position) => {
      reads.push(target.length);
      return file.read(target, position);
    };
    return { ...file, read };
  };
  return { open, kind: (path) => files.kind(path) } as ImageFiles;
}

describe("a changed image", () => {
  it.each(CODECS)("is refused for each byte that is changed, by one bit or by all (%s)", async (codec) => {
    const text = Buffer.from("state of a driver ".repeat(20));
    const ram = codec === "raw" ? pages(0, 7) : pages(3, 0, 7, 0);
    const bytes = await imageBytes(ram, { gpu0: text, gpu1: Buffer.from("1") }, codec);
    expect(await refusal(bytes)).toBe("ok");
    const accepted: string[] = [];
    for (const position of bytes.keys()) {
      const isPage = codec === "raw" && position > 2048 && position < 4096;
      for (const change of isPage ? [1 << (position & 7)] : [1 << (position & 7), 0xff]) {
        const changed = bytes.slice();
        changed[position] = (changed[position] ?? 0) ^ change;
        const outcome = await refusal(changed);
        if (!["EINVAL", "ENOTSUP", "ESTALE"].includes(outcome)) accepted.push(`${position} ^ ${change}: ${outcome}`);
      }
    }
    expect(accepted).toEqual([]);
  });

  it("is refused at every length but its own", async () => {
    const bytes = await imageBytes(pages(3, 0, 7), { gpu0: Buffer.from("state") }, "brotli");
    const refused: string[] = [];
    for (let length = 0; length < bytes.length; length += 1) refused.push(await refusal(bytes.subarray(0, length)));
    expect(new Set(refused)).toEqual(new Set(["EINVAL"]));
    expect(await refusal(Buffer.concat([bytes, Buffer.alloc(1)]))).toBe("EINVAL");
  });

  it("is said to be cut off, of another version, or no image at all", async () => {
    const bytes = await imageBytes(pages(3, 0, 7));
    const open = async (content: Uint8Array): Promise<unknown> => openImage(PATH, { files: diskWith(content) });
    await expect(open(bytes.subarray(0, -1))).rejects.toThrow(/^\/images\/machine\.img: the image is cut off: /);
    const newer = Uint8Array.from(bytes);
    newer[16] = 2;
    await expect(open(newer)).rejects.toThrow("the image has format version 2, this program reads 1 (ENOTSUP)");
    await expect(open(Buffer.from("PNG"))).rejects.toThrow("this is no hibernation image of virtgpu (EINVAL)");
    await expect(open(new Uint8Array(0))).rejects.toThrow("this is no hibernation image of virtgpu (EINVAL)");
  });

  it("is refused when chunks of it were taken from another image of the same memory", async () => {
    const one = await imageBytes(pages(1, 2, 3));
    const disk = new CrashDisk();
    const options = { files: disk, chunkBytes: PAGE_BYTES, newId: ids(50) };
    await writeImage(PATH, contentOf(pages(1, 5, 3), {}, { codec: "raw" }), options);
    const other = disk.folder.get(NAME) ?? new Uint8Array(0);
    expect(other.length).toBe(one.length);
    const mixed = Uint8Array.from(one);
    const record = 32 + 1 + PAGE_BYTES;
    mixed.set(other.subarray(512 + record, 512 + 2 * record), 512 + record);
    const image = await openImage(PATH, { files: diskWith(mixed) });
    await expect(readAll(image)).rejects.toThrow("a chunk's header has a wrong checksum");
  });
});

describe("a use", () => {
  it("happens once: the second is refused, and so is opening it, but not looking at it", async () => {
    const path = join(folder, "once.img");
    await writeImage(path, contentOf(pages(1)));
    const image = await openImage(path);
    await image.consume();
    await expect(image.consume()).rejects.toMatchObject({ code: "ESTALE" });
    await image.close();
    await expect(openImage(path)).rejects.toThrow(
      "the image was used already: what it holds is of the past; hibernate anew (ESTALE)",
    );
    const seen = await openImage(path, { allowUsed: true });
    expect(seen.header.mark).toBe("used");
    await seen.verify();
    await expect(seen.consume()).rejects.toMatchObject({ code: "ESTALE" });
    await seen.close();
  });

  it("may be tried again as long as it was not marked", async () => {
    const path = join(folder, "again.img");
    await writeImage(path, contentOf(pages(1, 2)));
    const first = await openImage(path);
    const broken = { byteLength: 2 * PAGE_BYTES, write: () => Promise.reject(new Error("this machine broke")) };
    await expect(first.readRam(broken)).rejects.toThrow("this machine broke");
    await first.close();
    const second = await openImage(path);
    expect(Buffer.compare((await readAll(second)).ram, pages(1, 2))).toBe(0);
    await second.consume();
    await second.close();
  });

  it("is for the machine and the sleep that it is of, and for memory of its size", async () => {
    const files = diskWith(await imageBytes(pages(1)));
    const other = "ffffffff-ffff-4fff-8fff-ffffffffffff";
    await expect(openImage(PATH, { files, expect: { machine: other } })).rejects.toMatchObject({ code: "ESTALE" });
    await expect(openImage(PATH, { files, expect: { generation: 8 } })).rejects.toMatchObject({ code: "ESTALE" });
    const image = await openImage(PATH, { files, expect: { machine: MACHINE, generation: 7 } });
    const small = arrayRam(new Uint8Array(0));
    await expect(image.readRam(small)).rejects.toThrow("the image is of 4096 bytes of RAM, this machine has 0");
  });

  it("knows its sections by name, and refuses one that is larger than its reader allows", async () => {
    const files = diskWith(await imageBytes(pages(1), { gpu0: Buffer.from("12345") }));
    const image = await openImage(PATH, { files, sectionBytesMax: 4 });
    expect(await image.section("gpu1")).toBeNull();
    expect(await image.section("")).toBeNull();
    await expect(image.section("gpu0")).rejects.toMatchObject({ code: "EINVAL" });
    await image.close();
    await expect(image.verify()).rejects.toMatchObject({ code: "EBUSY" });
  });
});

describe("what can't be an image", () => {
  it.each([
    ["memory that is not whole pages", contentOf(new Uint8Array(100)), {}],
    ["a section without a name", contentOf(pages(1), { "": new Uint8Array(1) }), {}],
    [
      "a section whose name would move a terminal's cursor",
      contentOf(pages(1), { "\u001b[2J": new Uint8Array(1) }),
      {},
    ],
    ["a machine that is no UUID", contentOf(pages(1), {}, { identity: { machine: "m1", generation: 1 } }), {}],
    ["half a generation", contentOf(pages(1), {}, { identity: { machine: MACHINE, generation: 0.5 } }), {}],
    ["a negative time", contentOf(pages(1), {}, { writtenAtMs: -1 }), {}],
    ["chunks of three pages", contentOf(pages(1)), { chunkBytes: 3 * PAGE_BYTES }],
  ])("is refused before a file is created: %s", async (_what, content, options) => {
    const disk = new CrashDisk();
    await expect(writeImage(PATH, content, { files: disk, ...options })).rejects.toMatchObject({ code: "EINVAL" });
    expect(disk.steps).toEqual([]);
  });
});

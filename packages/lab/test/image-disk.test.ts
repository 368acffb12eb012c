/** Images on real file systems that don't want them. */
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GpuError } from "@virtgpu/core/base";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { discardImage, openImage, writeImage } from "../src/image/index.ts";
import { contentOf, PAGE_BYTES, pages, readAll } from "./support/image-content.ts";

const MIB = 1 << 20;
const isRoot = process.getuid?.() === 0;

let folder = "";
let undo: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "virtgpu-disk-"));
  undo = [];
});
afterEach(() => {
  for (const step of undo.reverse()) step();
  rmSync(folder, { recursive: true, force: true });
});

/** Memory that no codec makes smaller. */
function noise(byteLength: number): Uint8Array {
  const words = new Uint32Array(byteLength / 4);
  let state = 1;
  for (const index of words.keys()) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

/** Mounts over the folder; false where we may not: root in a container often may not either. */
function mount(...options: readonly string[]): boolean {
  if (spawnSync("mount", [...options, folder]).status !== 0) return false;
  undo.push(() => execFileSync("umount", [folder]));
  return true;
}

async function errorOf(work: Promise<unknown>): Promise<GpuError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof GpuError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

async function expectOldImage(path: string): Promise<void> {
  const image = await openImage(path);
  expect(Buffer.compare((await readAll(image)).ram, pages(1, 2))).toBe(0);
  await image.close();
  expect(readdirSync(folder)).toEqual(["machine.img"]);
}

/** A program that writes an image, for limits that a process can't give itself. Prints what it came to. */
const WRITER = `
import { writeImage } from ${JSON.stringify(fileURLToPath(new URL("../src/image/index.ts", import.meta.url)))};
const [path, mib] = process.argv.slice(1);
const ram = { byteLength: Number(mib) << 20, read: (_offset, target) => crypto.getRandomValues(target.subarray(0, 65536)) };
const identity = { machine: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", generation: 1 };
try {
  await writeImage(path, { identity, ram, sections: new Map() });
  console.log("written");
} catch (error) {
  console.log(error.constructor.name + " " + error.message);
}`;

/** Runs it below `limit`, a shell command. */
function writeBelow(limit: string, path: string, mib: number): string {
  const command = `${limit} && exec "$@"`;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "--eval", WRITER, path, String(mib)];
  const cwd = fileURLToPath(new URL("../../..", import.meta.url));
  return execFileSync("sh", ["-c", command, "sh", ...node], { encoding: "utf8", cwd }).trim();
}

describe("a disk that is full", () => {
  it("is said to be full; the earlier image is there and nothing else", async () => {
    const path = join(folder, "machine.img");
    const isSmall = mount("-t", "tmpfs", "-o", "size=2m", "virtgpu-test");
    await writeImage(path, contentOf(pages(1, 2)));
    if (isSmall) {
      const error = await errorOf(writeImage(path, contentOf(noise(4 * MIB))));
      expect(error.code).toBe("ENOSPC");
      expect(error.message).toBe(`${path}: the disk is full, the system could not write the image (ENOSPC)`);
      await expectOldImage(path);
    }
    // The same by a limit of the process: 1024 blocks of 512 bytes, or of 1024 in some shells.
    const said = writeBelow("ulimit -f 1024", path, 16);
    expect(said).toMatch(/^GpuError .*machine\.img: the file would become larger than it may be.* \(ENOSPC\)$/);
    await expectOldImage(path);
  });
});

describe("a folder that can't be written", () => {
  it("is said to be read-only, or closed to us; the earlier image is there", async () => {
    const path = join(folder, "machine.img");
    await writeImage(path, contentOf(pages(1, 2)));
    let isMount = false;
    if (isRoot) {
      isMount = mount("--bind", folder);
      if (isMount) execFileSync("mount", ["-o", "remount,bind,ro", folder]);
    } else {
      chmodSync(folder, 0o500);
      undo.push(() => chmodSync(folder, 0o700));
    }
    if (isMount || !isRoot)
      expect(await errorOf(writeImage(path, contentOf(pages(3))))).toMatchObject({ code: "EACCES" });
    // Nobody may create files here, not even root.
    expect(await errorOf(writeImage("/sys/machine.img", contentOf(pages(3))))).toMatchObject({ code: "EACCES" });
    await expectOldImage(path);
    if (!isMount) return;
    const image = await openImage(path);
    const error = await errorOf(image.consume());
    expect(error.message).toMatch(
      /its file system is read-only, the system could not mark the image as used \(EACCES\)$/,
    );
    await image.close();
    await expectOldImage(path);
  });

  it("is said not to be there, or to be no folder", async () => {
    writeFileSync(join(folder, "file"), "");
    const missing = join(folder, "no", "machine.img");
    expect(await errorOf(writeImage(missing, contentOf(pages(1))))).toMatchObject({ code: "ENOENT", object: missing });
    expect(await errorOf(openImage(missing))).toMatchObject({ code: "ENOENT" });
    const below = join(folder, "file", "machine.img");
    expect(await errorOf(writeImage(below, contentOf(pages(1))))).toMatchObject({ code: "ENOENT" });
    expect(await errorOf(openImage(below))).toMatchObject({ code: "ENOENT" });
    expect(readdirSync(folder)).toEqual(["file"]);
  });
});

describe("a name", () => {
  it("that is a folder's, or a pipe's, is refused before any work, and reading it does not hang", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    mkdirSync(join(folder, "sub"));
    for (const path of [pipe, join(folder, "sub"), "/dev/null"]) {
      expect(await errorOf(writeImage(path, contentOf(pages(1))))).toMatchObject({ code: "EINVAL" });
      expect(await errorOf(openImage(path))).toMatchObject({ code: "EINVAL" });
    }
    expect(readdirSync(folder).sort()).toEqual(["pipe", "sub"]);
  });

  it("that is longer than a file's may be is refused", async () => {
    const path = join(folder, "i".repeat(250));
    expect(await errorOf(writeImage(path, contentOf(pages(1))))).toMatchObject({ code: "EINVAL" });
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that is a link's stands for a new file afterwards; what the link led to is left alone", async () => {
    writeFileSync(join(folder, "precious"), "precious");
    const path = join(folder, "machine.img");
    symlinkSync(join(folder, "precious"), path);
    await writeImage(path, contentOf(pages(1, 2)));
    expect(readFileSync(join(folder, "precious"), "utf8")).toBe("precious");
    rmSync(join(folder, "precious"));
    await expectOldImage(path);
  });
});

describe("a file", () => {
  it("is for its owner alone, for what was on the screen is in it", async () => {
    const path = join(folder, "machine.img");
    await writeImage(path, contentOf(pages(1, 2)));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await discardImage(path);
    await discardImage(path);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that gets shorter while it is read is said to be cut off", async () => {
    const path = join(folder, "machine.img");
    await writeImage(path, contentOf(noise(64 * PAGE_BYTES), { gpu0: noise(MIB) }));
    const image = await openImage(path);
    truncateSync(path, 100_000);
    expect((await errorOf(readAll(image))).message).toMatch(/the image is cut off: it ended while its RAM was read/);
    await image.close();
  });
});

/**
 * What people give to `virtgpu hibernate` by mistake, and disks that have had enough: a clear sentence, the right exit code,
 * no stack trace, nothing left behind.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { hibernate, inFolder, namesIn, runVirtgpu } from "./support/run-virtgpu.ts";

/** Of the format's version, see docs/image-format.md. */
const VERSION_OFFSET = 16;
const SMALL = ["--size", "160x120", "--objects", "0"];

async function refused(folder: string, args: readonly string[], status: number, why: RegExp): Promise<void> {
  const small = args.includes("--size") ? [] : SMALL;
  const run = await runVirtgpu(folder, ["hibernate", ...small, ...args]);
  const said = `${run.stdout}${run.stderr}`;
  expect([said, run.status]).toEqual([expect.stringMatching(why), status]);
  expect(said).not.toMatch(/^\s+at |node:internal/m);
}

it.each([
  [["--sleep", "nap"], /no way to sleep called "nap"; there are s4/],
  [["--fault", "rain"], /no fault "rain"/],
  [["--fault", "hang@breakfast:1"], /no such phase/],
  [["--size", "2000"], /1920x1080/],
  [["--outputs", "17"], /from 1 to 16, not 17/],
  [["--host", "moon"], /moon/],
  [["--device", "virtio-gpu-pci,colour=blue"], /no property "colour"/],
  [["--host", "qemu", "--qemu", "/no/such/qemu"], /apt-get install qemu-system-x86/],
  [["--host", "qemu", "--fault", "hang@freeze:1"], /a real QEMU can't be made to "hang"/],
  [["--machine", "pc"], /for --host qemu/],
  [["nothing.png"], /nothing\.png can't be read: there is no such file/],
  [["text.png"], /text\.png is not a PNG/],
  [["cut.png"], /cut\.png is a broken PNG/],
  [["--report", "text.png/report"], /can't be written/],
  [["--report", "/proc/nope"], /can't be written/],
])("says what is wrong with %j, and starts nothing", async (args, why) => {
  await inFolder(async (folder) => {
    writeFileSync(join(folder, "text.png"), "hello, ".repeat(100));
    writeFileSync(join(folder, "cut.png"), cutPng());
    const isMissing = args.includes("/no/such/qemu");
    await refused(folder, args, isMissing ? 3 : 2, why);
    expect(namesIn(folder)).toEqual(["cut.png", "text.png"]);
  });
});

/** The first half of a PNG of 64x64 pixels. */
function cutPng(): Uint8Array {
  const head = Buffer.from("89504e470d0a1a0a0000000d49484452000000400000004008060000", "hex");
  return Buffer.concat([head, Buffer.alloc(40)]);
}

it("keeps an image from a host that died, comes back from it once, and refuses it ever after", async () => {
  await inFolder(async (folder) => {
    const image = join(folder, "report", "hibernation.img");
    const died = await hibernate(folder, [...SMALL, "--keep", "--fault", "kill-host@restore:4"]);
    expect([died.summary.sentence, died.status]).toEqual([expect.stringMatching(/^failed: .*the host is gone/), 3]);
    const resumed = await hibernate(folder, ["--resume", image]);
    expect([resumed.summary.sentence, resumed.status]).toEqual([expect.stringMatching(/^nothing lost/), 0]);
    await refused(folder, ["--resume", image], 3, /the image was used already/);
  });
});

it("refuses an image that is cut off, of another version, or none, and leaves it as it is", async () => {
  await inFolder(async (folder) => {
    await hibernate(folder, [...SMALL, "--keep", "--fault", "kill-host@restore:1"]);
    const whole = readFileSync(join(folder, "report", "hibernation.img"));
    const image = join(folder, "other.img");
    writeFileSync(image, whole);
    truncateSync(image, whole.length >> 1);
    await refused(folder, ["--resume", image], 3, /the image is cut off/);
    const version = Buffer.from(whole);
    version.writeUInt32LE(version.readUInt32LE(VERSION_OFFSET) + 1, VERSION_OFFSET);
    writeFileSync(image, version);
    await refused(folder, ["--resume", image], 3, /version/);
    expect(readFileSync(image).equals(version)).toBe(true);
    writeFileSync(image, "no image at all");
    await refused(folder, ["--resume", image], 3, /no hibernation image|cut off/);
  });
});

it("tells of a disk that is full, and leaves the earlier image and nothing else on it", async () => {
  await inFolder(async (folder) => {
    const disk = join(folder, "disk");
    mkdirSync(disk);
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=256k", "none", disk]);
    if (mounted.status !== 0) {
      // Only root may mount: then the disk is full by decree.
      const { summary } = await hibernate(folder, [...SMALL, "--fault", "full-disk:1000"]);
      expect(summary.verdict).toBe("nothing lost");
      return;
    }
    try {
      writeFileSync(join(disk, "hibernation.img"), "an earlier image");
      await refused(
        folder,
        ["--keep", "--size", "640x480", "--report", "disk"],
        3,
        /s4 was turned back, with everything still there: .*the disk is full/,
      );
      expect(readFileSync(join(disk, "hibernation.img"), "utf8")).toBe("an earlier image");
      expect(namesIn(disk).filter((name) => name.startsWith("."))).toEqual([]);
    } finally {
      spawnSync("umount", [disk]);
    }
  });
});

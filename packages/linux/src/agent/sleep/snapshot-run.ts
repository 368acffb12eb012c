/** Hibernation by a program, as uswsusp does it: the agent's side of {@link SnapshotDevice} and {@link ImageDisk}. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { errnoName, type Sys } from "../../native/index.ts";
import { messageOf } from "../message-of.ts";
import { ImageDisk } from "./image-disk.ts";
import type { SleepEnd, SleeperOptions } from "./sleeper.ts";
import { SnapshotDevice } from "./snapshot-device.ts";
import { swapsInUse, withoutSwap } from "./swaps.ts";

/** This module as it is written or as it is compiled: the process beside it has the same ending. */
const SNAPSHOT_MAIN = fileURLToPath(new URL(`./snapshot-main${import.meta.url.slice(-3)}`, import.meta.url));

/**
 * "uswsusp": one image, and ACPI S4. "uswsusp-twice": two images between one PREPARE and POST, then the machine goes on for
 * as long as `whileLive` takes, then ACPI S4. The images wake one after another in the next boots, the last one first.
 */
export async function runSnapshot(
  way: "uswsusp" | "uswsusp-twice",
  options: SleeperOptions,
  whileLive: () => Promise<void>,
): Promise<SleepEnd> {
  try {
    const swaps = await swapsInUse();
    const [disk] = swaps;
    if (disk === undefined) throw new Error("ENOSPC: there is no swap disk to keep an image on");
    const count = way === "uswsusp" ? 1 : 2;
    const number = await withoutSwap(options.sys, swaps, () => runMain(disk, count, whileLive));
    return { error: null, isSecondLife: number < count };
  } catch (error) {
    return { error: messageOf(error), isSecondLife: false };
  }
}

/** Returns in an image's life, with its number. */
async function runMain(disk: string, count: number, whileLive: () => Promise<void>): Promise<number> {
  const child = spawn(process.execPath, ["--single-threaded", SNAPSHOT_MAIN, disk, String(count)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => undefined);
  for await (const line of createInterface({ input: child.stdout })) {
    const said: unknown = JSON.parse(line);
    if (typeof said !== "object" || said === null) break;
    if ("error" in said) throw new Error(String(said.error));
    if ("number" in said) return Number(said.number);
    await whileLive();
    child.stdin.end();
  }
  throw new Error("EPROTO: the process that makes images has ended without a word");
}

/** Takes back what {@link runSnapshot} left on the disks: another way to sleep would write over it. */
export async function forgetImages(sys: Sys): Promise<void> {
  const swaps = await swapsInUse();
  await withoutSwap(sys, swaps, async () => {
    for (const path of swaps) {
      const disk = new ImageDisk(path);
      disk.setImages([]);
      disk.close();
    }
  });
}

/** Where a disk holds an image that has not had its life, it lives on in place of this system. Returns where there is none. */
export async function wakeImage(sys: Sys, say: (line: string) => void): Promise<void> {
  for (const path of await swapsInUse()) {
    const disk = new ImageDisk(path);
    try {
      const images = disk.images();
      const index = images.findLastIndex(({ isUsed }) => !isUsed);
      const image = images[index];
      if (image === undefined) continue;
      say(`image ${index + 1} of ${images.length} lives on, ${image.bytes} bytes`);
      sys.swapOff(path);
      disk.setImages(images.map((one, at) => (at === index ? { ...one, isUsed: true } : one)));
      restore(sys, (take) => disk.load(image, take));
    } catch (error) {
      throw new Error(`${errnoName(error) ?? "EIO"}: the image on ${path} can't be restored: ${messageOf(error)}`);
    } finally {
      disk.close();
    }
  }
}

function restore(sys: Sys, load: (take: (page: Uint8Array) => void) => void): void {
  const device = new SnapshotDevice(sys, "restore");
  try {
    load((page) => device.write(page));
    device.freeze();
    device.restore();
  } finally {
    device.close();
  }
}

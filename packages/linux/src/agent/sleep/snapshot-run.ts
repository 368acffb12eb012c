/** Hibernation by a program, as uswsusp does it: the agent's side of {@link SnapshotDevice} and {@link ImageDisk}. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { errnoName, type Sys } from "../../native/index.ts";
import { messageOf } from "../message-of.ts";
import { ImageDisk } from "./image-disk.ts";
import type { SleepEnd, SleeperOptions } from "./sleeper.ts";
import { SnapshotDevice } from "./snapshot-device.ts";
import { swapsInUse, withoutSwap } from "./swaps.ts";

/** This module as it is written or as it is compiled: the process beside it has the same ending. */
const SNAPSHOT_MAIN = fileURLToPath(new URL(`./snapshot-main${import.meta.url.slice(-3)}`, import.meta.url));

/**
 * "uswsusp": one image, and ACPI S4. "uswsusp-twice": two images between one PREPARE and POST; the machine goes on, and the
 * images wake one after another in the next boots, the last one first.
 */
export async function runSnapshot(way: "uswsusp" | "uswsusp-twice", options: SleeperOptions): Promise<SleepEnd> {
  try {
    const swaps = await swapsInUse();
    const [disk] = swaps;
    if (disk === undefined) throw new Error("ENOSPC: there is no swap disk to keep an image on");
    const said = await withoutSwap(options.sys, swaps, () => runMain(disk, way === "uswsusp" ? 1 : 2));
    if ("error" in said) return { error: said.error, isSecondLife: false };
    return { error: null, isSecondLife: way === "uswsusp-twice" && said.life === "image" };
  } catch (error) {
    return { error: messageOf(error), isSecondLife: false };
  }
}

async function runMain(disk: string, count: number): Promise<{ readonly life: unknown } | { readonly error: string }> {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ["--single-threaded", SNAPSHOT_MAIN, disk, String(count)]);
  const said: unknown = JSON.parse(stdout);
  if (typeof said !== "object" || said === null) throw new Error("EPROTO: the process that makes images said nothing");
  if ("error" in said) return { error: String(said.error) };
  return { life: "life" in said ? said.life : null };
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

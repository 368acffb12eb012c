/**
 * A process of its own that makes images through /dev/snapshot: `node --single-threaded snapshot-main.js DISK COUNT`. All
 * other threads of the system are frozen meanwhile, so it has only one. It says in lines on standard output in which life it
 * is, and switches the machine off: at once with one image; with more when its standard input says so or ends.
 */
import { readSync } from "node:fs";
import { loadSys } from "../../native/index.ts";
import { messageOf } from "../message-of.ts";
import { ImageDisk, type StoredImage } from "./image-disk.ts";
import { SnapshotDevice } from "./snapshot-device.ts";

/** What it says; "live": all images are made, and the machine goes on; "image": this is the life of the image of that number. */
type Word =
  | { readonly life: "live" }
  | { readonly life: "image"; readonly number: number }
  | { readonly error: string };

const STDIN = 0;

function say(word: Word): void {
  process.stdout.write(`${JSON.stringify(word)}\n`);
}

function withImages(diskPath: string, count: number): void {
  const disk = new ImageDisk(diskPath);
  try {
    const device = new SnapshotDevice(loadSys(), "create");
    try {
      device.freeze();
      const life = makeImages(device, disk, count);
      if (life !== null) {
        say({ life: "image", number: life });
        return;
      }
      if (count > 1) goOn(device);
      device.powerOff();
      throw new Error("EIO: the machine did not switch off");
    } finally {
      device.close();
    }
  } finally {
    disk.close();
  }
}

/** Makes and stores images. Returns null in the machine that made them, in an image's life its number from 1. */
function makeImages(device: SnapshotDevice, disk: ImageDisk, count: number): number | null {
  const images: StoredImage[] = [];
  while (images.length < count) {
    if (!device.createImage()) return images.length + 1;
    images.push(disk.store(images, (page) => device.read(page)));
    if (images.length < count) device.freeImage();
  }
  disk.setImages(images);
  return null;
}

/** The machine goes on until somebody says that it is enough. */
function goOn(device: SnapshotDevice): void {
  device.freeImage();
  device.unfreeze();
  say({ life: "live" });
  readSync(STDIN, new Uint8Array(1));
}

const [diskPath = "", count = "1"] = process.argv.slice(2);
try {
  withImages(diskPath, Number(count));
} catch (error) {
  say({ error: messageOf(error) });
}

/**
 * A process of its own that makes images through /dev/snapshot: `node --single-threaded snapshot-main.js DISK COUNT`. All
 * other threads of the system are frozen meanwhile, so it has only one, and says how it ended on standard output when it is over.
 */
import { loadSys } from "../../native/index.ts";
import { messageOf } from "../message-of.ts";
import { ImageDisk, type StoredImage } from "./image-disk.ts";
import { SnapshotDevice } from "./snapshot-device.ts";

/** "live": the machine that made the images goes on. "image": this is an image's own life. */
type Outcome = { readonly life: "live" | "image" } | { readonly error: string };

function makeImages(diskPath: string, count: number): Outcome {
  const disk = new ImageDisk(diskPath);
  try {
    const device = new SnapshotDevice(loadSys(), "create");
    try {
      device.freeze();
      return makeFrozen(device, disk, count);
    } finally {
      device.close();
    }
  } finally {
    disk.close();
  }
}

/** One image is slept on; of several the last is kept for later, and the machine goes on. */
function makeFrozen(device: SnapshotDevice, disk: ImageDisk, count: number): Outcome {
  const images: StoredImage[] = [];
  while (images.length < count) {
    if (!device.createImage()) return { life: "image" };
    images.push(disk.store(images, (page) => device.read(page)));
    if (images.length < count) device.freeImage();
  }
  disk.setImages(images);
  if (count === 1) {
    device.powerOff();
    throw new Error("EIO: the machine did not switch off");
  }
  return { life: "live" };
}

function outcomeOf(diskPath: string, count: number): Outcome {
  try {
    return makeImages(diskPath, count);
  } catch (error) {
    return { error: messageOf(error) };
  }
}

const [diskPath = "", count = "1"] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(outcomeOf(diskPath, Number(count)))}\n`);

/**
 * Snapshots to image files and back: guest memory as the image's RAM, what driver and application know as its sections.
 */
import { GpuError } from "@virtgpu/core/base";
import { type GuestMemory, PAGE_BYTES } from "@virtgpu/core/memory";
import {
  discardImage,
  guestRam,
  type ImageFile,
  type ImageFiles,
  type ImageIdentity,
  type ImageReader,
  nodeImageFiles,
  openImage,
  type RamSource,
  writeImage,
} from "../../image/index.ts";
import type { Hardware } from "../../hosts/machine.ts";
import type { Remembered } from "../../scenarios/hibernate/compare.ts";
import type { ImageSize } from "./protocol.ts";
import { parseHardware, parseRemembered } from "./protocol-schema.ts";
import { runsOf, type Snapshot } from "./snapshot.ts";

/** Sections: the application's state, the driver's, the hardware's description, and what there was to see. */
const SCENE = "scene";
const GPU = "gpu";
const HARDWARE = "hardware";
const SEEN = "seen";

type Progress = (done: number, total: number) => void;

/** How a snapshot is written. */
export interface StoreOptions {
  readonly identity: ImageIdentity;
  readonly onProgress: Progress;
  /** The disk is full after so many bytes; null: it is not. */
  readonly diskBytes: number | null;
}

/** Writes an image; an earlier one of this name stays until the new one is whole. Throws as `writeImage`. */
export async function writeSnapshot(
  path: string,
  memory: GuestMemory,
  snapshot: Snapshot,
  { identity, onProgress, diskBytes }: StoreOptions,
): Promise<ImageSize> {
  const { scene, gpu, hardware, seen } = snapshot.state;
  const json = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));
  const sections = new Map([
    [SCENE, json(scene)],
    [GPU, json(gpu)],
    [HARDWARE, json(hardware)],
    [SEEN, json(seen)],
  ]);
  const files = diskBytes === null ? nodeImageFiles : smallDisk(diskBytes);
  const content = { identity, ram: snapshotRam(memory, snapshot), sections, writtenAtMs: Date.now() };
  const { fileBytes, ramBytes, pages, zeroPages } = await writeImage(path, content, { onProgress, files });
  return { fileBytes, ramBytes, pages, zeroPages };
}

/** An image that is being restored; whoever has it closes it. */
export interface OpenSnapshot {
  readonly scene: unknown;
  readonly gpu: unknown;
  readonly reader: ImageReader;
}

/** Where a snapshot goes. */
export interface LoadOptions {
  /** Whose image it must be. */
  readonly machine: string;
  readonly memory: GuestMemory;
  /** Memory that was never written is zero already. */
  readonly isNew: boolean;
  readonly onProgress: Progress;
}

/** Opens an image of this machine, fills its memory, and gives what was known of that. Throws GpuError. */
export async function readSnapshot(
  path: string,
  { machine, memory, isNew, onProgress }: LoadOptions,
): Promise<OpenSnapshot> {
  const reader = await openImage(path, { expect: { machine } });
  try {
    const [scene, gpu] = [await section(reader, SCENE, path), await section(reader, GPU, path)];
    const { byteLength, write, zero } = guestRam(memory);
    await reader.readRam(isNew ? { byteLength, write } : { byteLength, write, zero }, onProgress);
    return { scene, gpu, reader };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Of which machine an image is, and what there was to see. Throws GpuError. */
export async function describeSnapshot(
  path: string,
): Promise<{ readonly hardware: Hardware; readonly seen: Remembered }> {
  const reader = await openImage(path);
  try {
    const hardware = await section(reader, HARDWARE, path);
    return { hardware: parseHardware(hardware), seen: parseRemembered(await section(reader, SEEN, path)) };
  } finally {
    await reader.close();
  }
}

/** Takes an image away. */
export async function discardSnapshot(path: string): Promise<void> {
  await discardImage(path);
}

async function section(reader: ImageReader, name: string, path: string): Promise<unknown> {
  const bytes = await reader.section(name);
  if (bytes === null) throw new GpuError("EINVAL", `the image has no section "${name}"`, { object: path });
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (error) {
    throw new GpuError("EINVAL", `the image's section "${name}" is no JSON`, { object: path, cause: error });
  }
}

/** All of memory as the image sees it: zeros where nobody had anything. */
function snapshotRam(memory: GuestMemory, { frames, bytes }: Snapshot): RamSource {
  const runs = runsOf(frames);
  const whole: GuestMemory = {
    regions: memory.regions,
    contains: (address, byteLength) => memory.contains(address, byteLength),
    read: (address, target) => {
      target.fill(0);
      for (const { at, first, count } of runs) {
        const from = Math.max(address, first * PAGE_BYTES);
        const to = Math.min(address + target.length, (first + count) * PAGE_BYTES);
        if (from >= to) continue;
        const start = at * PAGE_BYTES + from - first * PAGE_BYTES;
        target.set(bytes.subarray(start, start + to - from), from - address);
      }
    },
    write: () => {},
    view: () => null,
    ringMemory: (address, byteLength) => memory.ringMemory(address, byteLength),
  };
  return guestRam(whole);
}

/** A file system on which there is room for so many bytes. */
function smallDisk(byteLength: number): ImageFiles {
  const limit = (file: ImageFile): ImageFile => ({
    identity: file.identity,
    size: () => file.size(),
    read: (target, position) => file.read(target, position),
    write: async (source, position) => {
      if (position + source.length > byteLength) {
        throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      }
      await file.write(source, position);
    },
    sync: () => file.sync(),
    close: () => file.close(),
  });
  return { ...nodeImageFiles, create: async (path) => limit(await nodeImageFiles.create(path)) };
}

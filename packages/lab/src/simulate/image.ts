/**
 * Images of a simulated machine, on its disk: the same format, writer and reader as those of the lab's real machines.
 */
import { GpuError } from "@virtgpu/core/base";
import { PAGE_BYTES, type PagesRecord } from "@virtgpu/core/memory";
import type { RamImage } from "@virtgpu/core/sim";
import { discardImage, type ImageFiles, openImage, writeImage } from "../image/index.ts";

const PATH = "/disk/machine.img";
const MACHINE_ID = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9";
const CHUNK_BYTES = 64 * 1024;

/** What an image holds. */
export interface Snapshot {
  readonly ram: RamImage;
  /** The driver's saved state, as JSON. */
  readonly gpu: string;
}

/** Writes an image whose id is made of `number`. Throws as `writeImage`. */
export async function writeSnapshot(files: ImageFiles, snapshot: Snapshot, number: number): Promise<void> {
  const { bytes, pages } = snapshot.ram;
  const used = usedBytes(snapshot.ram);
  const ram = {
    byteLength: bytes.length,
    read: (offset: number, target: Uint8Array) => target.set(used.subarray(offset, offset + target.length)),
  };
  const json = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
  const sections = new Map([
    ["gpu", json(snapshot.gpu)],
    ["pages", json(JSON.stringify(pages))],
  ]);
  const content = { identity: { machine: MACHINE_ID, generation: number }, ram, sections, codec: "raw" as const };
  let part = 0;
  const newId = (): string => {
    part += 1;
    return `00000000-0000-4000-8000-${String(number * 16 + part).padStart(12, "0")}`;
  };
  await writeImage(PATH, content, { files, chunkBytes: CHUNK_BYTES, newId });
}

/** An image that was found, and marked as used. */
export interface FoundImage extends Snapshot {
  readonly number: number;
}

/** Takes the image that is on the disk, for good; null where there is none that may be used. Throws as `openImage`. */
export async function takeImage(files: ImageFiles): Promise<FoundImage | null> {
  try {
    const reader = await openImage(PATH, { files });
    const bytes = new Uint8Array(reader.header.ramBytes);
    await reader.readRam({
      byteLength: bytes.length,
      write: (offset, source) => bytes.set(source, offset),
    });
    const text = async (name: string): Promise<string> => Buffer.from((await reader.section(name)) ?? []).toString();
    const gpu = await text("gpu");
    const pages: PagesRecord[] = JSON.parse(await text("pages"));
    await reader.consume();
    await reader.close();
    return { number: reader.header.identity.generation, gpu, ram: { bytes, pages } };
  } catch (error) {
    if (error instanceof GpuError && (error.code === "ENOENT" || error.code === "ESTALE")) return null;
    throw error;
  }
}

/** Takes the image away. */
export function removeImage(files: ImageFiles): Promise<void> {
  return discardImage(PATH, files);
}

/** Makes zeros of what nobody had: poison, and what was there before. */
function usedBytes({ bytes, pages }: RamImage): Uint8Array {
  const isUsed = new Uint8Array(bytes.length / PAGE_BYTES);
  for (const { frames } of pages) for (const frame of frames) isUsed[frame] = 1;
  for (const [frame, used] of isUsed.entries())
    if (used === 0) bytes.fill(0, frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES);
  return bytes;
}

/** Small images, and machines in memory to write them from and read them into. */
import type { ImageContent, ImageReader, RamSink, RamSource } from "../../src/image/index.ts";

export const MACHINE = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9";
export const PAGE_BYTES = 4096;

/** An array as a machine's memory. */
export function arrayRam(bytes: Uint8Array): RamSource & Required<RamSink> {
  return {
    byteLength: bytes.length,
    read: (offset, target) => target.set(bytes.subarray(offset, offset + target.length)),
    write: (offset, source) => bytes.set(source, offset),
    zero: (offset, byteLength) => void bytes.fill(0, offset, offset + byteLength),
  };
}

/** Pages, each filled with its byte; 0 makes it a page of zeros. */
export function pages(...fills: readonly number[]): Uint8Array {
  const ram = new Uint8Array(fills.length * PAGE_BYTES);
  for (const [page, fill] of fills.entries()) ram.fill(fill, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
  return ram;
}

/** What an image of `ram` is made of. */
export function contentOf(
  ram: Uint8Array,
  sections: Readonly<Record<string, Uint8Array>> = {},
  more: Partial<ImageContent> = {},
): ImageContent {
  return {
    identity: { machine: MACHINE, generation: 7 },
    ram: arrayRam(ram),
    sections: new Map(Object.entries(sections)),
    ...more,
  };
}

/** All that an image holds. The memory that it is read into is full of rubbish before. */
export async function readAll(
  image: ImageReader,
): Promise<{ readonly ram: Uint8Array; readonly sections: ReadonlyMap<string, Uint8Array> }> {
  const ram = new Uint8Array(image.header.ramBytes).fill(0xa5);
  await image.readRam(arrayRam(ram));
  const sections = new Map<string, Uint8Array>();
  for (const { name } of image.header.sections) sections.set(name, (await image.section(name)) ?? new Uint8Array(0));
  return { ram, sections };
}

/** A sequence of UUIDs, for images that are the same in every run. */
export function ids(first: number): () => string {
  let next = first;
  return () => {
    next += 1;
    return `00000000-0000-4000-8000-${String(next).padStart(12, "0")}`;
  };
}

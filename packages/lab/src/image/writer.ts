/**
 * Writes an image so that its name always stands for a whole one: under another name in the same folder, synced, then
 * renamed over what was there. Whatever fails before the rename leaves the earlier image as it was and nothing else.
 */
import { randomUUID } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { CODECS } from "./codec.ts";
import { encodeDirectory, RAM_NAME, type StreamEntry } from "./directory.ts";
import { fileError, withFileErrors } from "./errors.ts";
import { type ImageFile, type ImageFiles, nodeImageFiles } from "./files.ts";
import { checkIdentity, encodeHeader, isRamBytes } from "./header.ts";
import {
  CHUNK_BYTES_DEFAULT,
  checksumSeed,
  isChunkBytes,
  isSectionName,
  isUuid,
  PAGE_BYTES,
  SECTION_BYTES_MAX,
  SECTIONS_MAX,
} from "./layout.ts";
import { RecordWriter } from "./record-writer.ts";
import type { ImageContent, WriteImageOptions, WrittenImage } from "./types.ts";

const PARTIAL_SUFFIX = ".partial";
const PARTIAL_MIDDLE = /^[0-9a-f]{32}$/;

/**
 * Writes an image and resolves when it survives a loss of power. An image that had this name is gone then, and not
 * before. Two writers at once don't disturb each other's bytes: the later one wins, the other fails with EBUSY.
 *
 * Throws GpuError: ENOSPC, EACCES, ENOENT, EIO of the file system; EINVAL of arguments; ECANCELED; EBUSY. What
 * `content.ram.read` throws goes through as it is. Nothing is left behind, then.
 */
export async function writeImage(
  path: string,
  content: ImageContent,
  options: WriteImageOptions = {},
): Promise<WrittenImage> {
  const { files = nodeImageFiles, newId = randomUUID } = options;
  const id = newId();
  checkContent(content, options, id);
  const target = resolve(path);
  const folder = dirname(target);
  await checkTarget(files, target);
  await removePartials(files, target);
  const partial = join(folder, `.${basename(target)}.${newId().replaceAll("-", "")}${PARTIAL_SUFFIX}`);
  const file = await withFileErrors(target, "create the image", () => files.create(partial));
  let written: WrittenImage;
  try {
    written = await fill(file, target, content, options, id);
    await withFileErrors(target, "make the image durable", () => file.sync());
  } catch (error) {
    await file.close().catch(() => {});
    await files.remove(partial).catch(() => {});
    throw error;
  }
  await publish(files, file, partial, target);
  return written;
}

/** Takes an image away, and what an interrupted writer left of it. Does nothing where there is none. */
export async function discardImage(path: string, files: ImageFiles = nodeImageFiles): Promise<void> {
  const target = resolve(path);
  await withFileErrors(target, "remove the image", async () => {
    await removePartials(files, target);
    await files.remove(target);
    await files.syncFolder(dirname(target));
  });
}

function checkContent(content: ImageContent, { chunkBytes }: WriteImageOptions, id: string): void {
  const { identity, ram, sections, codec = "brotli", writtenAtMs = 0 } = content;
  checkIdentity(identity);
  const names = [...sections.keys()];
  const wrong: Readonly<Record<string, boolean>> = {
    [`${ram.byteLength} bytes of RAM are not whole pages, or too many`]: !isRamBytes(ram.byteLength),
    [`there is no codec "${codec}"`]: !CODECS.includes(codec),
    [`${chunkBytes} bytes are no size of chunks`]: chunkBytes !== undefined && !isChunkBytes(chunkBytes),
    [`${writtenAtMs} is no time`]: !Number.isSafeInteger(writtenAtMs) || writtenAtMs < 0,
    [`"${id}" is no UUID in lower case`]: !isUuid(id),
    [`${names.length} sections are more than ${SECTIONS_MAX}`]: names.length > SECTIONS_MAX,
    "a section's name is not 1 to 255 characters from ! to ~": !names.every(isSectionName),
    [`a section is larger than ${SECTION_BYTES_MAX} bytes`]: [...sections.values()].some(
      ({ length }) => length > SECTION_BYTES_MAX,
    ),
  };
  for (const [sentence, isWrong] of Object.entries(wrong)) if (isWrong) throw new GpuError("EINVAL", sentence);
}

/** Refuses early what the rename would refuse after all the work. */
async function checkTarget(files: ImageFiles, target: string): Promise<void> {
  const kind = await withFileErrors(target, "look for an earlier image", () => files.kind(target));
  if (kind === "folder" || kind === "other") {
    const what = kind === "folder" ? "a folder" : "no plain file";
    throw new GpuError("EINVAL", `this is ${what}, an image can't take its place`, { object: target });
  }
}

/** What earlier writers left when they were interrupted. One that is still writing finds out at its rename. */
async function removePartials(files: ImageFiles, target: string): Promise<void> {
  const folder = dirname(target);
  const prefix = `.${basename(target)}.`;
  const names = await withFileErrors(target, "look into its folder", () => files.list(folder));
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith(PARTIAL_SUFFIX)) continue;
    if (!PARTIAL_MIDDLE.test(name.slice(prefix.length, -PARTIAL_SUFFIX.length))) continue;
    await withFileErrors(target, "remove what an interrupted writer left", () => files.remove(join(folder, name)));
  }
}

/** Streams, directory, header. */
async function fill(
  file: ImageFile,
  path: string,
  content: ImageContent,
  options: WriteImageOptions,
  id: string,
): Promise<WrittenImage> {
  const { identity, ram, sections, codec = "brotli", writtenAtMs = 0 } = content;
  const { onProgress = () => {}, signal, chunkBytes = CHUNK_BYTES_DEFAULT } = options;
  const writer = new RecordWriter(file, { path, codec, chunkBytes, seed: checksumSeed(id), signal });
  const streams: StreamEntry[] = [];
  try {
    for (const [name, bytes] of sections) streams.push(await writer.section(name, bytes));
    streams.push(await writer.ram(RAM_NAME, ram, onProgress));
  } finally {
    await writer.settle();
  }
  const directory = encodeDirectory(streams, id);
  const directoryOffset = writer.position;
  const header = encodeHeader({
    id,
    identity,
    writtenAtMs,
    ramBytes: ram.byteLength,
    chunkBytes,
    directoryOffset,
    directoryBytes: directory.length,
    streams: streams.length,
  });
  await withFileErrors(path, "write the image", async () => {
    await file.write(directory, directoryOffset);
    await file.write(header, 0);
  });
  const pages = (streams.at(-1)?.dataBytes ?? 0) / PAGE_BYTES;
  const zeroPages = ram.byteLength / PAGE_BYTES - pages;
  return { id, fileBytes: directoryOffset + directory.length, ramBytes: ram.byteLength, pages, zeroPages };
}

/** Closes the whole and durable file, gives it its name, and makes that durable. */
async function publish(files: ImageFiles, file: ImageFile, partial: string, target: string): Promise<void> {
  try {
    await file.close();
    await files.rename(partial, target);
  } catch (error) {
    await files.remove(partial).catch(() => {});
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new GpuError("EBUSY", "another program took it over while it was written: its unfinished file is gone", {
        object: target,
      });
    }
    throw fileError(error, target, "give the image its name");
  }
  try {
    await files.syncFolder(dirname(target));
  } catch (error) {
    // The writer's machine will go on, so an image that may or may not be there would be of its past.
    await files.remove(target).catch(() => {});
    throw fileError(error, target, "make the image's name durable");
  }
}

/**
 * What there is to lose over a sleep, as hashes: what the outputs show, the cursor, and of each buffer the guest's
 * memory and the host's copy. Its pictures go to a folder, with the cursor in them, as a viewer has them.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GpuBuffer } from "@virtgpu/core/driver";
import type { Machine } from "./machine.ts";
import { encodePng } from "./png.ts";

const CURSOR_SIZE = 64;

/** Hashes by what they are of. */
export type Inventory = Readonly<Record<string, string>>;

const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 12);

/** Takes it. The pictures are `<when>-<output>.png` in `folder`. */
export function takeInventory(
  machine: Machine,
  buffers: readonly GpuBuffer[],
  folder: string,
  when: string,
): Inventory {
  const entries: [string, string][] = [];
  const { resources, cursors } = machine.device.save();
  for (const output of machine.device.outputs.keys()) {
    const shot = machine.device.screenshot(output);
    if (shot === null) continue;
    entries.push([`output ${output}`, `${shot.width}x${shot.height} ${hash(shot.rgba)}`]);
    const cursor = cursors[output];
    const seen = cursor?.visible === true ? withCursor(shot.rgba, shot.width, cursor) : shot.rgba;
    writeFileSync(join(folder, `${when}-${output}.png`), encodePng(shot.width, shot.height, seen));
    if (cursor?.visible === true)
      entries.push([`cursor of output ${output}`, `at ${cursor.x},${cursor.y} ${hash(cursor.rgba)}`]);
  }
  for (const buffer of buffers) {
    const pixels = new Uint8Array(buffer.byteLength);
    buffer.read(0, pixels);
    const host = resources.find(({ id }) => id === buffer.id);
    // The host has a copy of an image, and none of a blob: it reads the guest's memory.
    const copy = host === undefined ? "absent" : host.pixels === null ? "reads it" : hash(host.pixels);
    entries.push([`${buffer.storage} "${buffer.key ?? buffer.id}"`, `guest ${hash(pixels)} host ${copy}`]);
  }
  return Object.fromEntries(entries);
}

/** Compares two inventories line by line and prints them. Returns whether nothing was lost. */
export function compareInventories(kept: Inventory, found: Inventory): boolean {
  const names = [...new Set([...Object.keys(kept), ...Object.keys(found)])];
  const lost = names.filter((name) => kept[name] !== found[name]);
  for (const name of names)
    console.log(`  ${lost.includes(name) ? "LOST" : "same"}  ${name.padEnd(20)} ${kept[name] ?? "-"}`);
  const isWhole = lost.length === 0 && names.length > 0;
  console.log(isWhole ? `nothing lost: ${names.length} of ${names.length} the same` : `LOST: ${lost.join(", ")}`);
  return isWhole;
}

/** Reads an inventory back. */
export function readInventory(file: string): Inventory {
  return JSON.parse(readFileSync(file, "utf8"));
}

/** The picture with its cursor over it. */
function withCursor(
  rgba: Uint8Array,
  width: number,
  cursor: { readonly x: number; readonly y: number; readonly hotX: number; readonly hotY: number; rgba: Uint8Array },
): Uint8Array {
  const seen = rgba.slice();
  for (let index = 0; index < CURSOR_SIZE * CURSOR_SIZE; index += 1) {
    const x = cursor.x - cursor.hotX + (index % CURSOR_SIZE);
    const y = cursor.y - cursor.hotY + Math.floor(index / CURSOR_SIZE);
    const isOver = x >= 0 && x < width && y >= 0 && (y + 1) * width * 4 <= seen.length;
    if (isOver && cursor.rgba[index * 4 + 3] === 0xff)
      seen.set(cursor.rgba.subarray(index * 4, index * 4 + 4), (y * width + x) * 4);
  }
  return seen;
}

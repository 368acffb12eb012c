/**
 * The look at everything: a machine that is awake and at peace, held against what its user believes. The host has each
 * buffer with the bytes that the user gave it, and nothing else; outputs and cursors show what they should; the guest's
 * memory is as it was left; no more memory is taken than there are things that need it.
 */
import type { SavedResource, VirtioGpuDevice } from "@virtgpu/core/device";
import type { GpuBuffer } from "@virtgpu/core/driver";
import { PAGE_BYTES } from "@virtgpu/core/memory";
import { FORMATS } from "@virtgpu/core/wire";
import { cursorPicture, differentPixels, pictureDifference } from "../scenarios/suspend/pixels.ts";
import type { Boot } from "./boot.ts";
import { inspectContexts } from "./contexts.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import { isBeyond, type ModelBuffer, type ModelOutput } from "./model.ts";

/** What a driver may take beside its objects, in bytes: rings, slots, an arena for large commands. */
const DRIVER_BYTES_MAX = 640 * 1024;

/** Throws SimulationFailure where anything is not as it must be. */
export function inspect(guest: Guest): void {
  const { boot, model } = guest;
  demand(boot !== null && boot.gpu !== null, "the machine is up");
  demand(boot.gpu.state === "running", () => `the driver is ${boot.gpu?.state}: ${boot.gpu?.error?.message}`);
  demand(boot.sim.host.isOn, "the host is on");
  boot.sim.assertClean();
  const { device } = boot.sim.host;
  const saved = device.save();
  const held = new Map(saved.resources.map((resource) => [resource.id, resource]));
  for (const buffer of model.buffers.values()) inspectBuffer(guest, boot, buffer, held);
  const [extra] = guest.hasStrangers ? [] : held.keys();
  demand(extra === undefined, () => `the host has resource ${extra}, of which the user knows nothing`);
  model.outputs.forEach((shown, output) => {
    if (output < guest.host.outputs.length) inspectOutput(guest, boot, device, output, shown);
  });
  model.cursors.forEach((cursor, output) => {
    const seen = saved.cursors[output];
    if (seen === undefined) return;
    const buffer = cursor.key === null ? undefined : model.buffers.get(cursor.key);
    if (buffer !== undefined && isOpen(guest, buffer)) return;
    // A driver that was just loaded leaves alone what it did not make.
    if (buffer === undefined && cursor.isUntouched) return;
    demand(seen.visible === (buffer !== undefined), `cursor ${output} is ${seen.visible ? "shown" : "hidden"}`);
    if (buffer === undefined) return;
    const { x, y, hotX, hotY } = seen;
    const isPlaced = x === cursor.x && y === cursor.y && hotX === cursor.hotX && hotY === cursor.hotY;
    demand(isPlaced, () => `cursor ${output} is at ${x}, ${y}, its hot spot at ${hotX}, ${hotY}`);
    if (buffer.stale !== null) return;
    const count = differentPixels(seen.rgba, cursorPicture(buffer.bytes));
    demand(count === 0, `${count} pixels of cursor ${output} are wrong`);
  });
  inspectContexts(guest, boot, saved);
  inspectMonitors(guest, boot);
  inspectMemory(guest, boot);
}

/** Whether a host's side of a buffer is open: it may be missing there. */
function isOpen(guest: Guest, buffer: ModelBuffer): boolean {
  return guest.isShort || buffer.lending === "away" || isBeyond(guest.host, buffer);
}

function inspectBuffer(guest: Guest, boot: Boot, buffer: ModelBuffer, held: Map<number, SavedResource>): void {
  const handle = boot.handles.get(buffer.key);
  demand(handle !== undefined, `the user has no handle of "${buffer.key}"`);
  inspectGuestBytes(boot, buffer, handle);
  const resource = held.get(handle.id);
  held.delete(handle.id);
  if (resource === undefined) {
    demand(isOpen(guest, buffer), `the host does not have "${buffer.key}"`);
    return;
  }
  // What its owner ended while no host could be told may stay on one that keeps things.
  if (buffer.lending === "ended" && guest.host.keeps) return;
  // The boot kernel's driver may have made one of this id.
  if (guest.hasStrangers && isBeyond(guest.host, buffer)) return;
  demand(!isBeyond(guest.host, buffer), `the host has "${buffer.key}", which it should not`);
  const isAttached = handle.isAttached && buffer.lending !== "away";
  demand(resource.entries.length > 0 === isAttached, () => `"${buffer.key}" is ${isAttached ? "not " : ""}attached`);
  if (resource.kind === "2d") {
    if (buffer.stale !== null) return;
    const pixels = resource.pixels ?? new Uint8Array(buffer.bytes.length);
    inspectBytes(pixels, buffer, "the host's copy");
  } else if (isAttached) {
    inspectBytes(gathered(boot, resource, buffer.bytes.length), buffer, "what the host reads");
  }
}

function inspectGuestBytes(boot: Boot, buffer: ModelBuffer, handle: GpuBuffer): void {
  if (buffer.lending === "ended") return;
  const bytes = new Uint8Array(buffer.bytes.length);
  if (buffer.lending === "own") handle.read(0, bytes);
  else boot.lenders.get(buffer.key)?.pages.read(0, bytes);
  inspectBytes(bytes, buffer, "the guest's memory");
}

function inspectBytes(seen: Uint8Array, buffer: ModelBuffer, where: string): void {
  if (Buffer.compare(seen, buffer.bytes) === 0) return;
  const count = differentPixels(seen, buffer.bytes);
  demand(false, `${count} pixels of "${buffer.key}" are wrong in ${where}`);
}

/** Bytes of memory as the device reads them. */
function gathered(boot: Boot, { entries }: SavedResource, byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let at = 0;
  for (const { address, byteLength: length } of entries) {
    const piece = bytes.subarray(at, Math.min(byteLength, at + length));
    if (piece.length > 0) boot.sim.deviceMemory.read(address, piece);
    at += length;
  }
  return bytes;
}

function inspectOutput(
  guest: Guest,
  boot: Boot,
  device: VirtioGpuDevice,
  output: number,
  shown: ModelOutput | null,
): void {
  const seen = device.screenshot(output);
  const buffer = shown === null ? undefined : guest.model.buffers.get(shown.key);
  if (shown === null || buffer === undefined) {
    demand(seen === null, `output ${output}, which is off, shows something`);
    return;
  }
  if (isOpen(guest, buffer)) return;
  demand(seen !== null, `output ${output} is dark`);
  const { rect } = shown;
  demand(seen.width === rect.width && seen.height === rect.height, `output ${output} is ${seen.width}x${seen.height}`);
  const handle = boot.handles.get(shown.key);
  if (buffer.stale !== null || handle === undefined) return;
  const wanted = { width: rect.width, height: rect.height, rgba: pictureOf(buffer, shown, handle.shape.format) };
  const difference = pictureDifference(seen, wanted);
  demand(difference === null, `output ${output}: ${difference}`);
}

function pictureOf({ bytes, size }: ModelBuffer, { rect }: ModelOutput, format: number): Uint8Array {
  const { red = 0, green = 0, blue = 0 } = FORMATS.get(format as Parameters<typeof FORMATS.get>[0]) ?? {};
  const rgba = new Uint8Array(rect.width * rect.height * 4);
  for (let y = 0, to = 0; y < rect.height; y += 1) {
    for (let x = 0, from = ((rect.y + y) * size.width + rect.x) * 4; x < rect.width; x += 1, from += 4, to += 4) {
      rgba[to] = bytes[from + red] ?? 0;
      rgba[to + 1] = bytes[from + green] ?? 0;
      rgba[to + 2] = bytes[from + blue] ?? 0;
      rgba[to + 3] = 0xff;
    }
  }
  return rgba;
}

/** What the driver says of the monitors is what the host has. */
function inspectMonitors(_guest: Guest, boot: Boot): void {
  const { gpu, sim } = boot;
  sim.host.device.outputs.forEach(({ enabled, width, height }, output) => {
    const connector = gpu?.output(output).connector;
    demand(connector?.connected === enabled, `output ${output}'s monitor is ${enabled ? "there" : "gone"}, unnoticed`);
    if (!enabled) return;
    const isSize = connector.width === width && connector.height === height;
    demand(isSize, () => `output ${output} is ${width}x${height} now, not ${connector.width}x${connector.height}`);
  });
}

function inspectMemory({ model }: Guest, boot: Boot): void {
  const { allocator, dma } = boot.sim;
  for (const [key, lender] of boot.lenders) {
    if (model.buffers.has(key)) continue;
    demand(!lender.isUsed, `the memory of "${key}" is used although it was given up`);
    allocator.free(lender.pages);
    boot.lenders.delete(key);
  }
  let bytes = DRIVER_BYTES_MAX;
  for (const { bytes: own } of model.buffers.values()) bytes += Math.ceil(own.length / PAGE_BYTES) * PAGE_BYTES;
  demand(allocator.allocatedBytes <= bytes, () => `${allocator.allocatedBytes} bytes of memory are taken: a leak`);
  const pages = dma.mapped.length;
  demand(pages <= model.buffers.size + 2, `${pages} pieces of memory are mapped: a leak`);
}

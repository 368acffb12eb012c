/**
 * Everything that a sleep could lose, as hashes and pictures: what the host shows and holds, and what the guest has.
 */
import { createHash } from "node:crypto";
import type { GpuBuffer, VirtioGpu } from "@virtgpu/core/driver";
import { FORMATS } from "@virtgpu/core/wire";
import type { HostGpu, MachineHost } from "../../hosts/machine.ts";
import type { Scene, SceneObject } from "../../scenarios/scene/scene.ts";
import type { Inventory, InventoryObject } from "./protocol.ts";

/** A host that knows no such object. */
export const ABSENT = "absent";

/** What an inventory is taken of. */
export interface InventoryParts {
  readonly host: MachineHost;
  readonly hostGpu: HostGpu;
  readonly gpu: VirtioGpu;
  readonly scene: Scene;
}

const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/**
 * Takes it. `shows`: where the host can't be asked what it holds, each buffer is shown on the last output and looked at;
 * otherwise what it is to show is taken for what it holds. `onProgress` hears how many objects are done.
 */
export async function takeInventory(
  parts: InventoryParts,
  shows: boolean,
  onProgress: (done: number, total: number) => void,
): Promise<Inventory> {
  const { host, hostGpu, scene } = parts;
  const outputs = [];
  const cursors = [];
  for (let output = 0; output < scene.outputs; output += 1) {
    outputs.push(await hostGpu.picture(output));
    cursors.push(await hostGpu.cursor(output));
  }
  const look = hostGpu.held === null ? shownObject : heldObject(hostGpu.held(), hostGpu.contexts?.() ?? new Set());
  const objects: InventoryObject[] = [];
  for (const object of scene.objects) {
    const { key, kind } = object;
    const bytes = scene.read(object);
    const guest = bytes === null ? null : hash(bytes);
    objects.push({ key, kind, bytes: bytes?.length ?? 0, guest, host: await look(parts, object, shows) });
    if (objects.length % 64 === 0) onProgress(objects.length, scene.objects.length);
  }
  if (shows && hostGpu.held === null) await scene.showAgain();
  return { outputs, cursors, objects, errorLines: host.errorLines.slice(-100) };
}

type Look = (parts: InventoryParts, object: SceneObject, shows: boolean) => Promise<string>;

/** For a host whose resources can be read. */
function heldObject(held: ReadonlyMap<number, Uint8Array>, contexts: ReadonlySet<number>): Look {
  return async (_, { kind, id }) => {
    if (kind === "context") return contexts.has(id) ? "present" : ABSENT;
    const bytes = held.get(id);
    return bytes === undefined ? ABSENT : hash(bytes);
  };
}

/** For a host that can only be looked at: red, green and blue of each pixel. */
const shownObject: Look = async ({ gpu, hostGpu, scene }, object, shows) => {
  const { buffer, kind } = object;
  if (buffer === null) return "not to be seen";
  const wanted = visible(buffer, scene.read(object) ?? new Uint8Array(0));
  // A detached blob has nothing that a host could show.
  if (!shows || kind === "detached blob") return hash(wanted);
  const output = scene.outputs - 1;
  try {
    await gpu.output(output).show(buffer);
  } catch {
    return ABSENT;
  }
  const seen = await hostGpu.picture(output);
  if (seen === null || seen.width !== buffer.width || seen.height !== buffer.height) return ABSENT;
  return hash(withoutAlpha(seen.rgba));
};

/** A buffer's pixels as three bytes each. */
function visible(buffer: GpuBuffer, bytes: Uint8Array): Uint8Array {
  const { width, height, stride, offset, format } = buffer.shape;
  const { red = 0, green = 1, blue = 2 } = FORMATS.get(format) ?? {};
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0, to = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, to += 3) {
      const from = offset + y * stride + x * 4;
      rgb[to] = bytes[from + red] ?? 0;
      rgb[to + 1] = bytes[from + green] ?? 0;
      rgb[to + 2] = bytes[from + blue] ?? 0;
    }
  }
  return rgb;
}

function withoutAlpha(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from] ?? 0;
    rgb[to + 1] = rgba[from + 1] ?? 0;
    rgb[to + 2] = rgba[from + 2] ?? 0;
  }
  return rgb;
}

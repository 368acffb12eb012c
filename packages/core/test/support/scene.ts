/**
 * A scene with every recoverable kind of object, and what must be true of it whenever the machine is awake: the host
 * shows and holds what the guest's memory says.
 */
import { expect } from "vitest";
import type { VirtioGpuDeviceOptions } from "../../src/device/index.ts";
import type { BufferExporter, GpuBuffer, ImportListener } from "../../src/driver/index.ts";
import { PAGE_BYTES, type Pages, type ScatterList } from "../../src/memory/pages.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import { Format } from "../../src/wire/index.ts";
import type { DriverBench } from "./driver-bench.ts";

/** A device that offers all that the scene needs. */
export const SCENE_DEVICE: VirtioGpuDeviceOptions = {
  outputs: [
    { width: 64, height: 48 },
    { width: 32, height: 32 },
  ],
  blob: true,
  random: new SeededRandom(7),
};

/** Somebody else's memory: lends pages of the machine, and can move or end them. */
export class FakeExporter implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  readonly #bench: DriverBench;
  readonly #listeners: Set<ImportListener> = new Set();
  /** Ranges handed out and not given back. */
  mapped = 0;
  /** Throws this at the next {@link map}s. */
  refusal: Error | null = null;

  constructor(bench: DriverBench, key: string, byteLength: number) {
    this.#bench = bench;
    this.key = key;
    this.byteLength = byteLength;
    this.pages = bench.machine.allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
  }

  map(): ScatterList {
    if (this.refusal !== null) throw this.refusal;
    const list = this.#bench.machine.dma.map(this.pages);
    this.mapped += 1;
    return list;
  }

  unmap(): void {
    this.mapped -= 1;
    this.#bench.machine.dma.unmap(this.pages);
  }

  subscribe(listener: ImportListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks everybody to let go, moves the frames, and gives them again. */
  async move(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.onMove()));
    expect(this.mapped, "nobody uses the pages while they move").toBe(0);
    for (const listener of this.#listeners) listener.onResident();
  }

  async takeBack(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.onMove()));
  }

  giveAgain(): void {
    for (const listener of this.#listeners) listener.onResident();
  }

  async end(): Promise<void> {
    await Promise.all([...this.#listeners].map((listener) => listener.onEnd()));
  }

  /** A picture of its own. */
  paint(seed: number): void {
    const bytes = new Uint8Array(this.pages.byteLength);
    for (let index = 0; index < bytes.length; index += 1) bytes[index] = (index * 5 + seed * 17) & 0xff;
    this.pages.write(0, bytes);
  }
}

/** See the file's head. */
export interface Scene {
  readonly left: GpuBuffer;
  readonly right: GpuBuffer;
  readonly offScreen: GpuBuffer;
  readonly detached: GpuBuffer;
  readonly blob: GpuBuffer;
  readonly imported: GpuBuffer;
  readonly exporter: FakeExporter;
  readonly cursor: GpuBuffer;
}

/** Draws the scene. */
export async function drawScene(bench: DriverBench): Promise<Scene> {
  const { gpu } = bench;
  const left = await bench.show(0, 64, 48);
  const right = await bench.show(1, 32, 32, { storage: "blob", format: Format.R8G8B8X8 });
  const offScreen = await bench.buffer(48, 16);
  const detached = await bench.buffer(32, 32);
  await bench.run(detached.detach());
  const blob = await bench.buffer(32, 32, { storage: "blob" });
  const exporter = new FakeExporter(bench, "lent", 32 * 32 * 4);
  exporter.paint(3);
  const imported = await bench.run(gpu.importBuffer(exporter, { width: 32, height: 32 }));
  const cursor = await bench.buffer(64, 64, { format: Format.B8G8R8A8 });
  await bench.run(gpu.output(0).cursor.set(cursor, { x: 5, y: 7 }));
  await bench.run(gpu.output(0).cursor.move(20, 10));
  return { left, right, offScreen, detached, blob, imported, exporter, cursor };
}

/** Everything is on the host, pixel for pixel, and nothing else is. */
export async function expectScene(bench: DriverBench, scene: Scene): Promise<void> {
  const { gpu, host } = bench;
  const { left, right, offScreen, detached, blob, cursor } = scene;
  bench.expectShown(0, left);
  bench.expectShown(1, right);
  const state = host.device.save();
  expect(state.resources.map(({ id }) => id).sort((a, b) => a - b)).toEqual(
    Object.values(scene)
      .flatMap((part) => ("id" in part ? [part.id] : []))
      .sort((a, b) => a - b),
  );
  for (const image of [offScreen, detached]) expectHeld(bench, image);
  const attached = new Map(state.resources.map((resource) => [resource.id, resource.entries.length > 0]));
  expect(attached.get(detached.id), "a detached image stays detached").toBe(false);
  expect(attached.get(blob.id)).toBe(true);
  expect(gpu.output(0).cursor.state).toMatchObject({ object: cursor.id, x: 20, y: 10, hotX: 5, hotY: 7 });
  expect(state.cursors[0]).toMatchObject({ x: 20, y: 10, hotX: 5, hotY: 7, visible: true });
  expect(Buffer.compare(state.cursors[0]?.rgba ?? new Uint8Array(), cursorRgba(cursor)), "the cursor's picture").toBe(
    0,
  );
}

/** The host's copy of an image is the guest's. */
export function expectHeld(bench: DriverBench, image: GpuBuffer): void {
  const resource = bench.host.device.save().resources.find(({ id }) => id === image.id);
  const pixels = new Uint8Array(image.byteLength);
  image.read(0, pixels);
  expect(Buffer.compare(resource?.pixels ?? new Uint8Array(), pixels), `pixels of resource ${image.id}`).toBe(0);
}

/** B8G8R8A8 as red, green, blue, alpha. */
function cursorRgba(cursor: GpuBuffer): Uint8Array {
  const bytes = new Uint8Array(cursor.byteLength);
  cursor.read(0, bytes);
  const rgba = new Uint8Array(bytes.length);
  for (let at = 0; at < bytes.length; at += 4) {
    rgba.set([bytes[at + 2] ?? 0, bytes[at + 1] ?? 0, bytes[at] ?? 0, bytes[at + 3] ?? 0], at);
  }
  return rgba;
}

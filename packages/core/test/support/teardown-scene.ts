/**
 * One object of every kind that a host can be made to hold again: images attached and detached, shown and hidden, a
 * guest blob, an import, a cursor, on two outputs. And two questions: whether a host has all of it, and whether nothing
 * is left of it at the end.
 */
import { expect } from "vitest";
import type { BufferExporter, GpuBuffer, ImportListener } from "../../src/driver/index.ts";
import { PAGE_BYTES, type Pages, type ScatterList } from "../../src/memory/pages.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import type { SimMachine } from "../../src/sim/sim-machine.ts";
import { GpuFeature } from "../../src/wire/gpu.ts";
import { type BenchOptions, DriverBench, paint, rgbaOf } from "./driver-bench.ts";

/** Memory of somebody else, lent to the device. */
export class LentBuffer implements BufferExporter {
  readonly key: string;
  readonly byteLength: number;
  readonly pages: Pages;
  /** `map` calls that were not taken back. */
  maps: number = 0;
  readonly #machine: SimMachine;

  constructor(machine: SimMachine, key: string, byteLength: number) {
    this.#machine = machine;
    this.key = key;
    this.byteLength = byteLength;
    this.pages = machine.allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    this.pages.write(
      0,
      Uint8Array.from({ length: byteLength }, (_, index) => (index * 13) & 0xff),
    );
  }

  map(): ScatterList {
    const list = this.#machine.dma.map(this.pages);
    this.maps += 1;
    return list;
  }

  unmap(): void {
    this.maps -= 1;
    this.#machine.dma.unmap(this.pages);
  }

  /** It never moves. */
  subscribe(_listener: ImportListener): () => void {
    return () => {};
  }
}

const WIDTH = 64;
const HEIGHT = 32;

/** Options of a bench that the scene fits. */
export function sceneOptions(options: BenchOptions = {}): BenchOptions {
  const { device } = options;
  const scene = {
    outputs: [
      { width: WIDTH, height: HEIGHT },
      { width: 32, height: 32 },
    ],
    blob: true,
    random: new SeededRandom(7),
  };
  return {
    ramBytes: 4 << 20,
    ...options,
    device: typeof device === "function" ? device : { ...scene, ...device },
  };
}

/** See the file's head. */
export class Scene {
  readonly bench: DriverBench;
  readonly lent: LentBuffer;
  /** On output 0. */
  readonly front: GpuBuffer;
  /** On output 1: a blob where the device has them. */
  readonly side: GpuBuffer;
  readonly cursor: GpuBuffer;
  /** Drawn, and never shown. */
  readonly hidden: GpuBuffer;
  /** Its pixels are the host's alone. */
  readonly detached: GpuBuffer;
  readonly imported: GpuBuffer;

  private constructor(bench: DriverBench, lent: LentBuffer, buffers: readonly GpuBuffer[]) {
    const [front, side, cursor, hidden, detached, imported] = buffers;
    if (!front || !side || !cursor || !hidden || !detached || !imported) throw new Error("the scene is not complete");
    this.bench = bench;
    this.lent = lent;
    this.front = front;
    this.side = side;
    this.cursor = cursor;
    this.hidden = hidden;
    this.detached = detached;
    this.imported = imported;
  }

  /** A machine with a driver that has drawn everything. */
  static async start(options: BenchOptions = {}): Promise<Scene> {
    const bench = await DriverBench.start(sceneOptions(options));
    const { gpu } = bench;
    const lent = new LentBuffer(bench.machine, "lent", WIDTH * HEIGHT * 4);
    const front = await bench.show(0, WIDTH, HEIGHT);
    const isBlob = gpu.hasFeature(GpuFeature.RESOURCE_BLOB);
    const side = await bench.show(1, 32, 32, { storage: isBlob ? "blob" : "image" });
    const cursor = await bench.buffer(64, 64, { format: 1 });
    const hidden = await bench.buffer(16, 16);
    const detached = await bench.buffer(24, 16);
    await bench.run(detached.detach());
    const imported = await bench.run(gpu.importBuffer(lent, { width: WIDTH, height: HEIGHT }));
    await bench.run(imported.flush());
    await bench.run(gpu.output(0).cursor.set(cursor, { x: 3, y: 5 }));
    await bench.run(gpu.output(0).cursor.move(20, -7));
    return new Scene(bench, lent, [front, side, cursor, hidden, detached, imported]);
  }

  get buffers(): readonly GpuBuffer[] {
    const { front, side, cursor, hidden, detached, imported } = this;
    return [front, side, cursor, hidden, detached, imported];
  }

  /** Another picture on both outputs, brought to the host. */
  async repaint(seed: number): Promise<void> {
    for (const buffer of [this.front, this.side]) {
      paint(buffer, buffer.id + seed);
      await this.bench.run(buffer.flush());
    }
  }

  /** The host has all of it, pixel by pixel, and nothing else but `others`. */
  expectOnHost(others: readonly GpuBuffer[] = []): void {
    const { bench, front, side, cursor, hidden, detached } = this;
    bench.expectShown(0, front);
    bench.expectShown(1, side);
    const state = bench.host.device.save();
    const byId = new Map(state.resources.map((resource) => [resource.id, resource]));
    const wanted = [...this.buffers, ...others].map(({ id }) => id);
    expect([...byId.keys()].sort((a, b) => a - b)).toEqual(wanted.sort((a, b) => a - b));
    for (const image of [front, cursor, hidden, detached]) {
      const bytes = new Uint8Array(image.byteLength);
      image.read(0, bytes);
      const pixels = byId.get(image.id)?.pixels ?? new Uint8Array();
      expect(Buffer.compare(bytes, pixels), `the host's pixels of ${image.id}`).toBe(0);
    }
    for (const buffer of this.buffers) {
      const isAttached = (byId.get(buffer.id)?.entries.length ?? 0) > 0;
      expect(isAttached, `resource ${buffer.id} is attached`).toBe(buffer !== detached);
    }
    this.#expectImport(byId.get(this.imported.id)?.pixels ?? null);
    const shown = state.cursors[0];
    // A position of two's complement is all that the wire has.
    expect([shown?.visible, shown?.x, (shown?.y ?? 0) | 0, shown?.hotX, shown?.hotY]).toEqual([true, 20, -7, 3, 5]);
    expect(Buffer.compare(shown?.rgba ?? new Uint8Array(), withAlpha(cursor)), "the cursor's picture").toBe(0);
  }

  #expectImport(pixels: Uint8Array | null): void {
    expect(this.lent.maps, "mappings of the import").toBe(1);
    if (this.imported.storage === "blob") return;
    const bytes = new Uint8Array(this.lent.byteLength);
    this.lent.pages.read(0, bytes);
    expect(Buffer.compare(bytes, pixels ?? new Uint8Array()), "pixels of the import").toBe(0);
  }

  /** The driver is removed, and nothing is left of memory, mappings and timers. */
  async expectNothingLeft(): Promise<void> {
    const { bench, lent } = this;
    const { machine } = bench;
    await bench.run(bench.gpu.remove());
    await machine.clock.settle();
    expect(lent.maps, "mappings of the import").toBe(0);
    machine.assertClean();
    machine.dma.assertBalanced();
    machine.allocator.assertNoLeak([lent.pages]);
    expect(machine.clock.timers).toBe(0);
  }
}

/** As {@link rgbaOf}, with the picture's own alpha. */
function withAlpha(buffer: GpuBuffer): Uint8Array {
  const rgba = rgbaOf(buffer);
  const bytes = new Uint8Array(buffer.byteLength);
  buffer.read(0, bytes);
  for (let at = 3; at < rgba.length; at += 4) rgba[at] = bytes[at] ?? 0;
  return rgba;
}

/**
 * Our driver on a real QEMU: what a machine is to it (RAM, frames, transport), and pictures to compare.
 */
import { type FreezeMessage, type RestoreReport, silentTracer, type Tracer } from "@virtgpu/core/base";
import { type GpuBuffer, VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { MmioTransport, PciTransport, type Transport } from "@virtgpu/core/virtio";
import { FORMATS } from "@virtgpu/core/wire";
import { expect } from "vitest";
import { createNodeClock } from "../../src/hosts/node-clock.ts";
import { type QemuDevice, QemuHost, type QemuHostOptions } from "../../src/hosts/qemu/qemu-host.ts";
import type { RgbPicture } from "../../src/hosts/qemu/ppm.ts";

const MIB = 1 << 20;

/** What {@link QemuBench.start} may be told. */
export interface QemuBenchOptions extends QemuHostOptions {
  /** Through BARs unless given. */
  readonly window?: "bars" | "pci-cfg";
  readonly tracer?: Tracer;
  readonly gpu?: Partial<VirtioGpuOptions>;
}

/** See the file's head. */
export class QemuBench {
  readonly host: QemuHost;
  readonly gpus: VirtioGpu[] = [];
  readonly allocator: RamPageAllocator;
  readonly dma: PhysicalDmaMap;
  readonly #options: QemuBenchOptions;

  private constructor(host: QemuHost, options: QemuBenchOptions) {
    this.host = host;
    this.#options = options;
    // All of RAM above the first MiB and its hole.
    const range = { address: MIB, byteLength: host.ram.byteLength - MIB };
    this.allocator = new RamPageAllocator(host.ram.memory, range);
    this.dma = new PhysicalDmaMap(this.allocator);
  }

  /** A QEMU with a driver for each of its devices. */
  static async start(options: QemuBenchOptions = {}): Promise<QemuBench> {
    const host = await QemuHost.start({ ramBytes: 64 * MIB, ...options });
    const bench = new QemuBench(host, options);
    try {
      for (const device of host.devices) bench.gpus.push(await VirtioGpu.probe(bench.gpuOptions(device)));
    } catch (error) {
      await host.stop();
      throw error;
    }
    return bench;
  }

  get gpu(): VirtioGpu {
    const [gpu] = this.gpus;
    if (gpu === undefined) throw new Error("no driver");
    return gpu;
  }

  gpuOptions(device: QemuDevice): VirtioGpuOptions {
    const { allocator, dma } = this;
    const tracer = this.#options.tracer ?? silentTracer;
    return {
      transport: this.#transport(device),
      clock: createNodeClock(),
      allocator,
      dma,
      tracer,
      ...this.#options.gpu,
    };
  }

  #transport({ pci, mmio }: QemuDevice): Transport {
    if (mmio !== null) return MmioTransport.open(mmio);
    if (pci === null) throw new Error("no device");
    return PciTransport.open(pci, { window: this.#options.window ?? "bars" });
  }

  /** Shows a new painted buffer. */
  async show(output: number, width: number, height: number, gpu: VirtioGpu = this.gpu): Promise<GpuBuffer> {
    const buffer = await gpu.createBuffer({ width, height });
    paint(buffer, buffer.id);
    await gpu.output(output).show(buffer);
    return buffer;
  }

  async freeze(message: FreezeMessage = "FREEZE"): Promise<void> {
    for (const gpu of this.gpus) await gpu.power.freeze(message);
  }

  async restore(): Promise<RestoreReport> {
    const progress = this.gpus.map((gpu) => gpu.power.restore("RESTORE"));
    await Promise.all(progress.map(({ picture }) => picture));
    const reports = await Promise.all(progress.map(({ complete }) => complete));
    return {
      restored: reports.reduce((sum, { restored }) => sum + restored, 0),
      outputs: reports.reduce((sum, { outputs }) => sum + outputs, 0),
      lost: reports.flatMap(({ lost }) => lost),
    };
  }

  async stop(): Promise<void> {
    for (const gpu of this.gpus) await gpu.remove();
    await this.host.stop();
  }
}

/** Fills a buffer with a picture of its own. */
export function paint(buffer: GpuBuffer, seed: number): void {
  buffer.map((pixels) => {
    for (let index = 0; index < pixels.length; index += 1)
      pixels[index] = (index * 7 + (index >> 8) * 3 + seed * 41) & 0xff;
  });
}

/** The screen dump shows exactly this buffer. (A comparison element by element would take seconds.) */
export function expectPicture(seen: RgbPicture, buffer: GpuBuffer): void {
  const wanted = pictureOf(buffer);
  expect([seen.width, seen.height]).toEqual([wanted.width, wanted.height]);
  expect(Buffer.compare(seen.rgb, wanted.rgb), "the pixels").toBe(0);
}

/** A buffer as a screen dump shows it. */
export function pictureOf(buffer: GpuBuffer): RgbPicture {
  const { width, height } = buffer;
  const channels = FORMATS.get(buffer.shape.format);
  const bytes = new Uint8Array(buffer.byteLength);
  buffer.read(0, bytes);
  const rgb = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel += 1) {
    rgb[pixel * 3] = bytes[pixel * 4 + (channels?.red ?? 0)] ?? 0;
    rgb[pixel * 3 + 1] = bytes[pixel * 4 + (channels?.green ?? 0)] ?? 0;
    rgb[pixel * 3 + 2] = bytes[pixel * 4 + (channels?.blue ?? 0)] ?? 0;
  }
  return { width, height, rgb };
}

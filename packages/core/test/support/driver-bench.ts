/**
 * A driver on a simulated machine, for tests that follow pixels through sleeps: draw, sleep, compare what the host shows
 * and holds with what the guest's memory says it should.
 */
import { expect } from "vitest";
import type { RestoreReport, FreezeMessage, RestoreMessage } from "../../src/base/power.ts";
import { type GpuBuffer, VirtioGpu, type VirtioGpuOptions } from "../../src/driver/index.ts";
import type { SimHost } from "../../src/sim/sim-host.ts";
import { SimMachine, type SimMachineOptions } from "../../src/sim/sim-machine.ts";
import { FORMATS } from "../../src/wire/index.ts";

/** Node's turn of the event loop: what the virtual clock lets pass between two timers. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What {@link DriverBench.start} may be told. */
export interface BenchOptions extends SimMachineOptions {
  readonly gpu?: Partial<Omit<VirtioGpuOptions, "transport" | "clock" | "allocator" | "dma">>;
}

/** See the file's head. */
export class DriverBench {
  readonly machine: SimMachine;
  readonly #options: BenchOptions;
  #gpu: VirtioGpu | null = null;

  constructor(options: BenchOptions = {}) {
    this.#options = options;
    this.machine = new SimMachine({ turn, ...options });
  }

  /** A machine with a driver that is up. */
  static async start(options: BenchOptions = {}): Promise<DriverBench> {
    const bench = new DriverBench(options);
    await bench.probe();
    return bench;
  }

  /** Has a driver take the device. */
  async probe(): Promise<void> {
    this.#gpu = await this.run(VirtioGpu.probe(this.gpuOptions()));
  }

  get gpu(): VirtioGpu {
    if (this.#gpu === null) throw new Error("the driver was not started");
    return this.#gpu;
  }

  set gpu(gpu: VirtioGpu) {
    this.#gpu = gpu;
  }

  get host(): SimHost {
    return this.machine.host;
  }

  /** For a driver on this machine's first host, or on another. */
  gpuOptions(host: SimHost = this.machine.host): VirtioGpuOptions {
    const { clock, allocator, dma, recorder } = this.machine;
    return { transport: host.transport, clock, allocator, dma, tracer: recorder, ...this.#options.gpu };
  }

  /** Lets virtual time pass until `work` is settled. */
  run<T>(work: Promise<T>): Promise<T> {
    return this.machine.clock.run(work);
  }

  /** A buffer with a picture of its own, on the host. */
  async buffer(
    width: number,
    height: number,
    options: Partial<Parameters<VirtioGpu["createBuffer"]>[0]> = {},
  ): Promise<GpuBuffer> {
    const buffer = await this.run(this.gpu.createBuffer({ width, height, ...options }));
    paint(buffer, buffer.id);
    await this.run(buffer.flush());
    return buffer;
  }

  /** Shows a new painted buffer on an output. */
  async show(
    output: number,
    width: number,
    height: number,
    options: Partial<Parameters<VirtioGpu["createBuffer"]>[0]> = {},
  ): Promise<GpuBuffer> {
    const buffer = await this.buffer(width, height, options);
    await this.run(this.gpu.output(output).show(buffer));
    return buffer;
  }

  freeze(message: FreezeMessage = "FREEZE"): Promise<void> {
    return this.run(this.gpu.power.freeze(message));
  }

  /** Restores, and waits for everything. */
  async restore(message: RestoreMessage = "RESTORE"): Promise<RestoreReport> {
    const { picture, complete } = this.gpu.power.restore(message);
    await this.run(picture);
    return this.run(complete);
  }

  /** The host process ends, and another takes its place: it knows nothing of us. */
  replaceHost(): void {
    this.host.kill();
    this.host.powerOn();
  }

  /** Hibernates as far as the device is concerned: freeze, another host, restore. */
  async hibernate(): Promise<RestoreReport> {
    await this.freeze();
    this.replaceHost();
    return this.restore();
  }

  /** The host shows exactly this buffer on this output. */
  expectShown(output: number, buffer: GpuBuffer): void {
    const shot = this.host.device.screenshot(output);
    expect(shot, `output ${output} is lit`).not.toBeNull();
    expect([shot?.width, shot?.height]).toEqual([buffer.width, buffer.height]);
    expect(Buffer.compare(shot?.rgba ?? new Uint8Array(), rgbaOf(buffer)), `pixels of output ${output}`).toBe(0);
  }

  /** The host answered nothing with an error since the log was cleared. */
  expectNoErrors(): void {
    expect(this.host.log.errorReplies()).toEqual([]);
  }
}

/** Fills a buffer with a picture that differs by seed, position and row. */
export function paint(buffer: GpuBuffer, seed: number): void {
  buffer.map((pixels) => {
    for (let index = 0; index < pixels.length; index += 1)
      pixels[index] = (index * 7 + (index >> 8) * 3 + seed * 41) & 0xff;
  });
}

/** A buffer's pixels as an output shows them: red, green, blue, opaque. */
export function rgbaOf(buffer: GpuBuffer): Uint8Array {
  const { width, height, format, stride, offset } = buffer.shape;
  const channels = FORMATS.get(format);
  const bytes = new Uint8Array(buffer.byteLength);
  buffer.read(0, bytes);
  const rgba = new Uint8Array(width * height * 4);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const from = offset + y * stride + x * 4;
      const to = (y * width + x) * 4;
      rgba[to] = bytes[from + (channels?.red ?? 0)] ?? 0;
      rgba[to + 1] = bytes[from + (channels?.green ?? 0)] ?? 0;
      rgba[to + 2] = bytes[from + (channels?.blue ?? 0)] ?? 0;
      rgba[to + 3] = 0xff;
    }
  }
  return rgba;
}

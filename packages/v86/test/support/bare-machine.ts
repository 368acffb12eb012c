/**
 * v86 without a guest: the processor stands still, and the test is whoever uses the machine's ports. The device can then be
 * driven through the real emulator, by the driver of `@virtgpu/core`, in less than a second.
 */
import { createRequire } from "node:module";
import { V86 } from "v86";
import type { Clock } from "@virtgpu/core/base";
import { VirtioGpu } from "@virtgpu/core/driver";
import { type GuestMemory, PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { type BusAccess, type PciFunctionAccess, PciTransport } from "@virtgpu/core/virtio";
import { type V86Gpu, type VirtioGpuOptions, attachVirtioGpu } from "../../src/index.ts";
import { type V86Cpu, openCpu } from "../../src/internals.ts";
import { V86Memory } from "../../src/v86-memory.ts";
import { NO_NETWORK } from "./no-network.ts";

const WASM = createRequire(import.meta.url).resolve("v86/build/v86.wasm");
/** A page that halts is enough of a BIOS for a machine that is never started. */
const BIOS = new Uint8Array(1 << 16).fill(0xf4).buffer;
export const MEMORY_BYTES: number = 32 << 20;
/** Where real guests keep their memory: above the first megabyte. */
const DRIVER_MEMORY = { address: 1 << 20, byteLength: MEMORY_BYTES - (1 << 20) };
const ADDRESS_PORT = 0xcf8;
const DATA_PORT = 0xcfc;
const ENABLE = 0x8000_0000;

/** Node's time. */
export const clock: Clock = {
  nowMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
  defer: (callback) => queueMicrotask(callback),
};

/** v86's port accesses, which its type definitions do not tell of. */
interface Ports {
  port_read8(port: number): number;
  port_read16(port: number): number;
  port_read32(port: number): number;
  port_write8(port: number, value: number): void;
  port_write16(port: number, value: number): void;
  port_write32(port: number, value: number): void;
}

/** The machine as its BIOS and its guest would use it. */
export class BareMachine {
  readonly emulator: V86;
  readonly gpu: V86Gpu;
  readonly cpu: V86Cpu;
  readonly ports: Ports;
  readonly memory: GuestMemory;
  readonly problems: readonly string[];
  /** The slot that the device is in. */
  readonly slot: number;
  readonly #drivers: VirtioGpu[] = [];

  private constructor(emulator: V86, gpu: V86Gpu, problems: readonly string[]) {
    this.emulator = emulator;
    this.gpu = gpu;
    this.problems = problems;
    this.cpu = openCpu(emulator);
    this.ports = this.cpu.io as unknown as Ports;
    this.memory = new V86Memory(this.cpu, MEMORY_BYTES);
    this.slot =
      Array.from({ length: 32 }, (_, slot) => slot).find((slot) => this.#configAt(slot).read32(0) === 0x1050_1af4) ??
      -1;
  }

  static async create(options: VirtioGpuOptions & { readonly state?: ArrayBuffer } = {}): Promise<BareMachine> {
    const problems: string[] = [];
    const { state, ...rest } = options;
    const emulator = new V86({
      wasm_path: WASM,
      bios: { buffer: BIOS },
      memory_size: MEMORY_BYTES,
      net_device: NO_NETWORK,
      disable_speaker: true,
      autostart: false,
      ...(state === undefined ? {} : { initial_state: { buffer: state } }),
    });
    const loaded = new Promise<void>((resolve) => emulator.add_listener("emulator-loaded", () => resolve()));
    const gpu = attachVirtioGpu(emulator, { onProblem: (sentence) => problems.push(sentence), ...rest });
    await gpu.attached;
    await loaded;
    const machine = new BareMachine(emulator, gpu, problems);
    if (state === undefined) machine.#sizeBars();
    return machine;
  }

  /** The device as a driver finds it on the bus. */
  get function(): PciFunctionAccess {
    const config = this.#configAt(this.slot);
    return {
      label: "v86's slot",
      config,
      bar: (index) => (index === 0 ? this.#ports(() => config.read32(0x10) & 0xfffc) : null),
      barView: () => null,
      assignBars: () => {},
      interrupts: null,
    };
  }

  /** Brings the driver up; it looks at its rings now and then, since no processor takes its interrupts. */
  async probe(): Promise<VirtioGpu> {
    const allocator = new RamPageAllocator(this.memory, DRIVER_MEMORY);
    const gpu = await VirtioGpu.probe({
      transport: PciTransport.open(this.function),
      clock,
      allocator,
      dma: new PhysicalDmaMap(allocator),
    });
    this.#drivers.push(gpu);
    return gpu;
  }

  async stop(): Promise<void> {
    for (const driver of this.#drivers) await driver.remove();
    await this.emulator.destroy();
  }

  /** As firmware does. v86 can't restore base address registers that never were asked for their size. */
  #sizeBars(): void {
    for (let slot = 0; slot < 32; slot += 1) {
      const config = this.#configAt(slot);
      for (let bar = 0x10; bar < 0x28 && config.read32(0) !== 0xffff_ffff; bar += 4) {
        const before = config.read32(bar);
        config.write32(bar, 0xffff_ffff);
        config.write32(bar, before);
      }
    }
  }

  #configAt(slot: number): BusAccess {
    const select = (offset: number): number => {
      this.ports.port_write32(ADDRESS_PORT, ENABLE | (slot << 11) | (offset & 0xfc) | 0);
      return DATA_PORT + (offset & 3);
    };
    return this.#accesses(select);
  }

  #ports(first: () => number): BusAccess {
    return this.#accesses((offset) => first() + offset);
  }

  #accesses(port: (offset: number) => number): BusAccess {
    const { ports } = this;
    return {
      read8: (offset) => ports.port_read8(port(offset)),
      read16: (offset) => ports.port_read16(port(offset)),
      read32: (offset) => ports.port_read32(port(offset)) >>> 0,
      write8: (offset, value) => ports.port_write8(port(offset), value),
      write16: (offset, value) => ports.port_write16(port(offset), value),
      write32: (offset, value) => ports.port_write32(port(offset), value | 0),
    };
  }
}

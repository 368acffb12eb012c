/**
 * Our own device on a simulated machine: time is virtual, memory is watched, and hosts of every kind can be had.
 */
import { GpuError } from "@virtgpu/core/base";
import { VirtioGpu } from "@virtgpu/core/driver";
import { PAGE_BYTES, type Pages } from "@virtgpu/core/memory";
import { type BootDriver, type HostVariant, SimMachine, type SimMachineOptions } from "@virtgpu/core/sim";
import type { TestedDriver } from "./driver.ts";
import { LentPages } from "./lent-pages.ts";
import { SimulatedHost, simulatedDevice } from "./simulated-host.ts";
import type { Ability, Lender, SuspendSubject } from "./subject.ts";

/** A picture of a thousand pages, and three hundred buffers, twice over. */
const RAM_BYTES = 16 << 20;

/** What kind of machine and host it is. */
export interface SimulatedOptions {
  readonly variant?: HostVariant | undefined;
  /** For the variant `dies`: at which command, from 1, counted from the host's start. */
  readonly diesAt?: number | undefined;
  /** How the device is reached, and what it is like. Default: PCI, with blobs. */
  readonly machine?: Omit<SimMachineOptions, "variant" | "diesAt" | "device" | "turn"> | undefined;
  readonly blobs?: boolean | undefined;
}

/** See the file's head. */
export class SimulatedSubject implements SuspendSubject {
  readonly label: string;
  readonly machine: SimMachine;
  readonly host: SimulatedHost;
  readonly #options: SimulatedOptions;
  readonly #lent: Pages[] = [];

  constructor(options: SimulatedOptions = {}) {
    const { variant = "drops", diesAt, machine = {}, blobs = true } = options;
    this.#options = options;
    const { transport = "pci" } = machine;
    const device = simulatedDevice(blobs);
    this.label = `simulated host, ${transport}, ${variant}`;
    this.machine = new SimMachine({
      ramBytes: RAM_BYTES,
      ...machine,
      transport,
      variant,
      diesAt,
      device,
      turn: () => new Promise((resolve) => setImmediate(resolve)),
    });
    this.host = new SimulatedHost(this.machine, device, transport.startsWith("pci"));
  }

  get clock(): SimMachine["clock"] {
    return this.machine.clock;
  }

  lacks(ability: Ability): string | null {
    const { machine, blobs = true } = this.#options;
    if (ability === "blobs" && !blobs) return "the device offers no blobs";
    if (ability === "no-soft-reset" && machine?.pci?.noSoftReset !== true) return "S3 resets the device";
    return null;
  }

  probe(): Promise<TestedDriver> {
    const { clock, allocator, dma, recorder: tracer } = this.machine;
    const { transport } = this.machine.host;
    return VirtioGpu.probe({ transport, clock, allocator, dma, tracer });
  }

  lend(byteLength: number): Lender {
    const { allocator, dma, frames } = this.machine;
    const pages = allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    this.#lent.push(pages);
    return new LentPages({ key: `lent ${this.#lent.length}`, byteLength, pages, dma, frames });
  }

  takeImage(): () => void {
    const { machine } = this;
    const image = machine.snapshot();
    return () => {
      // One process stands for every kernel: where the device was still mapped when the power failed, frames stay.
      machine.restore(image, { moveFrames: machine.dma.mapped.length === 0 });
    };
  }

  startBootDriver(): Promise<BootDriver> {
    return this.machine.startBootDriver();
  }

  run<T>(work: Promise<T>): Promise<T> {
    return this.machine.clock.run(work);
  }

  verify(): void {
    this.machine.assertClean();
  }

  verifyRemoved(): void {
    const { machine } = this;
    machine.assertClean();
    machine.dma.assertBalanced();
    machine.allocator.assertNoLeak(this.#lent);
    const { awaitedTimers } = machine.clock;
    if (awaitedTimers > 0) throw new GpuError("EBUSY", `${awaitedTimers} timers are left behind`);
  }
}

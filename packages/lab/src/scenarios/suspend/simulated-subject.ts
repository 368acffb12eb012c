/**
 * Our own device on a simulated machine: time is virtual, memory is watched, and hosts of every kind can be had.
 */
import { GpuError, sleep } from "@virtgpu/core/base";
import { VirtioGpu } from "@virtgpu/core/driver";
import { PAGE_BYTES, type Pages } from "@virtgpu/core/memory";
import { type BootDriver, type HostVariant, SimMachine, type SimMachineOptions } from "@virtgpu/core/sim";
import type { TestedDriver } from "./driver.ts";
import { LentPages } from "./lent-pages.ts";
import { SimulatedHost, simulatedDevice } from "./simulated-host.ts";
import { takePageImage } from "./page-image.ts";
import type { Ability, Lender, SuspendSubject } from "./subject.ts";

/** Room for a picture of hundreds of pages, and hundreds of buffers. */
const RAM_BYTES = 5 << 20;
const HOST_SETTLES_MS = 100;

const SAYINGS: Readonly<Record<HostVariant, string>> = {
  drops: "drops resources on a reset",
  keeps: "keeps resources over a reset",
  slow: "answers slowly",
  dies: "dies",
};

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
    this.label = `simulated host on ${transport} that ${SAYINGS[variant]}`;
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
    const { machine, variant, blobs = true } = this.#options;
    const isPlanned = variant === "slow" || variant === "dies";
    if (ability === "faults" && isPlanned) return `what the host does is planned already: it ${SAYINGS[variant]}`;
    if (ability === "blobs" && !blobs) return "the device offers no blobs";
    if (ability === "boot-kernel" && machine?.iommu === true) return "a boot driver knows no IOMMU";
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
    const { frames, dma } = this.machine;
    return takePageImage(frames, () => dma.mapped.length > 0);
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

  async verifyRemoved(): Promise<void> {
    const { machine } = this;
    // What a slow host still does by itself.
    await sleep(machine.clock, HOST_SETTLES_MS);
    machine.assertClean();
    machine.dma.assertBalanced();
    machine.allocator.assertNoLeak(this.#lent);
    const { awaitedTimers } = machine.clock;
    if (awaitedTimers > 0) throw new GpuError("EBUSY", `${awaitedTimers} timers are left behind`);
  }
}

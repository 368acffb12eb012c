/**
 * Our own device on a simulated machine: time is virtual, memory is watched, and hosts of every kind can be had.
 */
import { GpuError, sleep } from "@virtgpu/core/base";
import { VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { PAGE_BYTES, type PageAllocator } from "@virtgpu/core/memory";
import { BootDriver, type HostVariant, type SimHost, SimMachine, type SimMachineOptions } from "@virtgpu/core/sim";
import type { TestedDriver } from "./driver.ts";
import {
  type DriverSuccessor,
  GuestClock,
  type RestartableSubject,
  SessionCounter,
  restartDrivers,
  successorOf,
} from "./driver-life.ts";
import { InheritedPages } from "./inherited-pages.ts";
import { LentPages } from "./lent-pages.ts";
import { SimulatedHost, simulatedDevice } from "./simulated-host.ts";
import { takePageImage } from "./page-image.ts";
import { type Ability, type Lender, type SuspendSubject, must } from "./subject.ts";

/** Room for a picture of hundreds of pages, and hundreds of buffers, for each GPU. */
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

/** What all drivers of a machine share. */
class SimulatedGuest {
  readonly machine: SimMachine;
  /** Where the present kernel's memory comes from. */
  allocator: PageAllocator;
  /** What was lent, by the lender's key. */
  readonly lent: Map<string, LentPages> = new Map();
  #inherited: InheritedPages | null = null;

  constructor(machine: SimMachine) {
    this.machine = machine;
    this.allocator = machine.allocator;
  }

  lend(byteLength: number): LentPages {
    const { allocator, dma, frames } = this.machine;
    const key = `lent ${this.lent.size + 1}`;
    const pages = allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    const lent = new LentPages({ key, byteLength, pages, dma, frames });
    this.lent.set(key, lent);
    return lent;
  }

  /** Another kernel: no page is mapped for a device, and the last one's drivers hold nothing any more. */
  renew(): void {
    const { allocator, dma, frames } = this.machine;
    dma.invalidate();
    for (const { key, byteLength, pages } of this.lent.values()) {
      this.lent.set(key, new LentPages({ key, byteLength, pages, dma, frames }));
    }
    this.#inherited = new InheritedPages(
      allocator,
      frames,
      [...this.lent.values()].map(({ pages }) => pages),
    );
    this.allocator = this.#inherited;
  }

  settle(): void {
    this.#inherited?.settle();
  }
}

/** See the file's head. */
export class SimulatedSubject implements SuspendSubject, RestartableSubject {
  readonly label: string;
  readonly machine: SimMachine;
  readonly host: SimulatedHost;
  readonly #options: SimulatedOptions;
  readonly #guest: SimulatedGuest;
  readonly #gpu: SimHost;
  readonly #counter: SessionCounter;
  #life: { readonly gpu: VirtioGpu; readonly clock: GuestClock } | null = null;

  /** `beside`: on the machine of another subject, as its second GPU. */
  constructor(options: SimulatedOptions = {}, beside: SimulatedSubject | null = null) {
    const { variant = "drops", blobs = true } = options;
    this.#options = options;
    const { transport = "pci" } = options.machine ?? {};
    const device = simulatedDevice(blobs);
    this.label = `simulated host on ${transport} that ${SAYINGS[variant]}`;
    this.#guest = beside === null ? new SimulatedGuest(newMachine(options)) : beside.#guest;
    this.machine = this.#guest.machine;
    this.#gpu =
      beside === null ? this.machine.host : this.machine.addHost({ ...options.machine, transport, variant, device });
    this.#counter = new SessionCounter(this.machine.recorder);
    this.host = new SimulatedHost(this.machine, device, transport.startsWith("pci"), this.#gpu);
  }

  /** A machine with two GPUs of a kind. */
  static pair(options: SimulatedOptions = {}): readonly [SimulatedSubject, SimulatedSubject] {
    const machine = { ramBytes: 2 * RAM_BYTES, ...options.machine };
    const first = new SimulatedSubject({ ...options, machine });
    return [first, new SimulatedSubject({ ...options, machine }, first)];
  }

  get clock(): SimMachine["clock"] {
    return this.machine.clock;
  }

  lacks(ability: Ability): string | null {
    const { machine, variant, blobs = true } = this.#options;
    const isPlanned = variant === "slow" || variant === "dies";
    const isPci = (machine?.transport ?? "pci").startsWith("pci");
    if (ability === "faults" && isPlanned) return `what the host does is planned already: it ${SAYINGS[variant]}`;
    if (ability === "blobs" && !blobs) return "the device offers no blobs";
    if (ability === "boot-kernel" && machine?.iommu === true) return "a boot driver knows no IOMMU";
    if (ability === "no-soft-reset" && machine?.pci?.noSoftReset !== true) return "S3 resets the device";
    if ((ability === "function-reset" || ability === "bus-reset") && !isPci) return "there is no PCI function";
    if (ability === "power-states" && !(isPci && machine?.pci?.powerManagement !== false))
      return "there are no D-states";
    if (ability === "queue-reset" && machine?.features?.ringReset === false) return "the device offers no RING_RESET";
    return null;
  }

  async probe(): Promise<TestedDriver> {
    const { clock, options } = this.#newLife(this.#gpu.transport);
    const gpu = await VirtioGpu.probe(options);
    this.#life = { gpu, clock };
    return gpu;
  }

  sessions(): readonly number[] {
    return [this.#counter.sessions];
  }

  // --- Another driver's process ---

  async restartDriver(): Promise<DriverSuccessor> {
    const [successor] = restartDrivers([this]);
    must(successor !== undefined, "a driver has a successor");
    return successor;
  }

  endDriver(): unknown {
    const life = this.#life;
    must(life !== null, "there is no driver to restart");
    const saved = life.gpu.save();
    life.clock.end();
    return saved;
  }

  renewMemory(): void {
    this.#guest.renew();
  }

  loadDriver(saved: unknown): DriverSuccessor {
    const { clock, options } = this.#newLife(this.#gpu.connect());
    const gpu = VirtioGpu.load(options, saved);
    this.#life = { gpu, clock };
    return successorOf(gpu, ({ key }) => {
      const lent = this.#guest.lent.get(key);
      must(lent !== undefined, `nobody lends "${key}"`);
      return lent;
    });
  }

  settleMemory(): void {
    this.#guest.settle();
  }

  #newLife(transport: VirtioGpuOptions["transport"]): {
    readonly clock: GuestClock;
    readonly options: VirtioGpuOptions;
  } {
    const clock = new GuestClock(this.machine.clock);
    const { dma } = this.machine;
    return { clock, options: { transport, clock, allocator: this.#guest.allocator, dma, tracer: this.#counter } };
  }

  // --- Memory ---

  lend(byteLength: number): Lender {
    return this.#guest.lend(byteLength);
  }

  takeImage(): () => void {
    const { frames, dma } = this.machine;
    return takePageImage(frames, () => dma.mapped.length > 0);
  }

  async startBootDriver(): Promise<BootDriver> {
    const reason = this.lacks("boot-kernel");
    if (reason !== null) throw new GpuError("ENOTSUP", reason, { device: this.#gpu.label });
    const { clock, ram: memory, bootRegion, hosts } = this.machine;
    const byteLength = bootRegion.byteLength / 2;
    const address = bootRegion.address + hosts.indexOf(this.#gpu) * byteLength;
    return BootDriver.start({ transport: this.#gpu.connect(), clock, memory, region: { address, byteLength } });
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
    machine.allocator.assertNoLeak([...this.#guest.lent.values()].map(({ pages }) => pages));
    const { awaitedTimers } = machine.clock;
    if (awaitedTimers > 0) throw new GpuError("EBUSY", `${awaitedTimers} timers are left behind`);
  }
}

function newMachine({ variant = "drops", diesAt, machine = {}, blobs = true }: SimulatedOptions): SimMachine {
  return new SimMachine({
    ramBytes: RAM_BYTES,
    transport: "pci",
    ...machine,
    variant,
    diesAt,
    device: simulatedDevice(blobs),
    turn: () => new Promise((resolve) => setImmediate(resolve)),
  });
}

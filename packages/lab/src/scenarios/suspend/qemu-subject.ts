/**
 * A real QEMU: time is real, faults can't be had, and what the host holds is seen by showing it. One QEMU serves many
 * subjects, one after the other.
 */
import { type Clock, silentTracer } from "@virtgpu/core/base";
import { VirtioGpu, type VirtioGpuOptions } from "@virtgpu/core/driver";
import { PAGE_BYTES, PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { BootDriver, SeededRandom } from "@virtgpu/core/sim";
import { PciCapId, VirtioFeature, featureBit } from "@virtgpu/core/wire";
import { createNodeClock } from "../../hosts/node-clock.ts";
import type { QemuDevice, QemuHost } from "../../hosts/qemu/qemu-host.ts";
import type { TestedDriver } from "./driver.ts";
import {
  type DriverSuccessor,
  GuestClock,
  type RestartableSubject,
  SessionCounter,
  restartDrivers,
  successorOf,
} from "./driver-life.ts";
import { LentPages } from "./lent-pages.ts";
import { takePageImage } from "./page-image.ts";
import { hasNoSoftReset, hasPowerStates } from "./power-states.ts";
import { QemuSuspendHost } from "./qemu-suspend-host.ts";
import { type Ability, type Lender, type SuspendSubject, must } from "./subject.ts";

const MIB = 1 << 20;
/** At the end of memory: the boot drivers', each with a part of its own. */
const BOOT_BYTES = 8 * MIB;
const BOOT_DRIVER_BYTES = 4 * MIB;
const NO_FUNCTION = "virtio-mmio has no PCI function";
const NEVER: Readonly<Partial<Record<Ability, string>>> = {
  blobs: "this QEMU has no udmabuf for blobs",
  faults: "a real host goes wrong by no plan",
  "other-hosts": "the next QEMU is like this one",
};

/** Guest memory, and who has which of it: what all drivers of a machine share. */
class QemuGuest {
  readonly qemu: QemuHost;
  allocator: RamPageAllocator;
  dma: PhysicalDmaMap;
  /** What was lent, by the lender's key. */
  readonly lent: Map<string, LentPages> = new Map();
  /** Those of all drivers. */
  readonly clocks: Set<GuestClock> = new Set();

  constructor(qemu: QemuHost) {
    this.qemu = qemu;
    this.allocator = this.#newAllocator();
    this.dma = new PhysicalDmaMap(this.allocator);
  }

  lend(byteLength: number): LentPages {
    const key = `lent ${this.lent.size + 1}`;
    const pages = this.allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    return this.#lendPages({ key, byteLength, pages, dma: this.dma, frames: this.allocator });
  }

  hold(): void {
    for (const clock of this.clocks) clock.hold();
  }

  goOn(): void {
    for (const clock of this.clocks) clock.goOn();
  }

  /** Another kernel's allocator, which knows of nothing but what is lent. */
  renew(): void {
    const records = new Map(this.allocator.save().map((record) => [record.key, record]));
    this.allocator = this.#newAllocator();
    this.dma = new PhysicalDmaMap(this.allocator);
    for (const { key, byteLength, pages: before } of this.lent.values()) {
      const record = records.get(before.key);
      must(record !== undefined, `"${key}" is not allocated any more`);
      const pages = this.allocator.adopt(record);
      this.#lendPages({ key, byteLength, pages, dma: this.dma, frames: this.allocator });
    }
  }

  get lentBytes(): number {
    return [...this.lent.values()].reduce((sum, { pages }) => sum + pages.byteLength, 0);
  }

  #lendPages(options: ConstructorParameters<typeof LentPages>[0]): LentPages {
    const lent = new LentPages(options);
    this.lent.set(lent.key, lent);
    return lent;
  }

  /** All of RAM above the first MiB and its hole. */
  #newAllocator(): RamPageAllocator {
    const { byteLength, memory } = this.qemu.ram;
    const range = { address: MIB, byteLength: byteLength - MIB - BOOT_BYTES };
    return new RamPageAllocator(memory, range, { scatter: new SeededRandom(1), poison: false });
  }
}

/** See the file's head. */
export class QemuSubject implements SuspendSubject, RestartableSubject {
  readonly label: string;
  readonly clock: Clock = createNodeClock();
  readonly host: QemuSuspendHost;
  readonly #guest: QemuGuest;
  /** Which of QEMU's devices. */
  readonly #index: number;
  readonly #lacks: Readonly<Partial<Record<Ability, string>>>;
  readonly #counter: SessionCounter = new SessionCounter(silentTracer);
  #life: { readonly gpu: VirtioGpu; readonly clock: GuestClock } | null = null;

  private constructor(guest: QemuGuest, index: number, window: "bars" | "pci-cfg") {
    const { qemu } = guest;
    const device = qemu.devices[index] ?? qemu.device;
    this.#guest = guest;
    this.#index = index;
    this.label = `QEMU, ${qemu.machine}`;
    this.host = new QemuSuspendHost(qemu, { window, device, guest });
    this.#lacks = { ...NEVER, ...whatLacks(qemu, device), ...this.#whatQueuesLack(device) };
  }

  /**
   * On a QEMU whose only device has two outputs, and a VNC server for each; `window`: how its registers are reached on PCI.
   * It is started if it does not run.
   */
  static async start(qemu: QemuHost, window: "bars" | "pci-cfg" = "bars"): Promise<QemuSubject> {
    if (!qemu.isRunning) await qemu.restart();
    return new QemuSubject(new QemuGuest(qemu), 0, window);
  }

  /** On a QEMU with two such devices: both, with one memory. */
  static async startPair(qemu: QemuHost): Promise<readonly [QemuSubject, QemuSubject]> {
    if (!qemu.isRunning) await qemu.restart();
    const guest = new QemuGuest(qemu);
    return [new QemuSubject(guest, 0, "bars"), new QemuSubject(guest, 1, "bars")];
  }

  lacks(ability: Ability): string | null {
    return this.#lacks[ability] ?? null;
  }

  async probe(): Promise<TestedDriver> {
    const { clock, options } = this.#newLife();
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
    const { clock, options } = this.#newLife();
    const gpu = VirtioGpu.load(options, saved);
    this.#life = { gpu, clock };
    return successorOf(gpu, ({ key }) => {
      const lent = this.#guest.lent.get(key);
      must(lent !== undefined, `nobody lends "${key}"`);
      return lent;
    });
  }

  settleMemory(): void {}

  #newLife(): { readonly clock: GuestClock; readonly options: VirtioGpuOptions } {
    const clock = new GuestClock(this.clock);
    const { allocator, dma, clocks } = this.#guest;
    clocks.add(clock);
    return { clock, options: { transport: this.host.connect(), clock, allocator, dma, tracer: this.#counter } };
  }

  // --- Memory ---

  lend(byteLength: number): Lender {
    return this.#guest.lend(byteLength);
  }

  takeImage(): () => void {
    return takePageImage(this.#guest.allocator, () => false);
  }

  startBootDriver(): Promise<BootDriver> {
    const { byteLength, memory } = this.#guest.qemu.ram;
    const address = byteLength - BOOT_BYTES + this.#index * BOOT_DRIVER_BYTES;
    const region = { address, byteLength: BOOT_DRIVER_BYTES };
    return BootDriver.start({ transport: this.host.connect(), clock: this.clock, memory, region });
  }

  run<T>(work: Promise<T>): Promise<T> {
    return work;
  }

  verify(): void {}

  /** All memory but what was lent. */
  async verifyRemoved(): Promise<void> {
    const bytes = this.#guest.allocator.allocatedBytes - this.#guest.lentBytes;
    must(bytes === 0, `${bytes} bytes of memory were never given back`);
  }

  #whatQueuesLack({ mmio }: QemuDevice): Readonly<Partial<Record<Ability, string>>> {
    if (mmio !== null) return { "queue-reset": "QEMU's virtio-mmio has no register for it" };
    const isOffered = (this.host.connect().readDeviceFeatures() & featureBit(VirtioFeature.RING_RESET)) !== 0n;
    return isOffered ? {} : { "queue-reset": "this QEMU's device does not offer VIRTIO_F_RING_RESET" };
  }
}

/** By machine and bus: what can't be had, and why. */
function whatLacks({ machine }: QemuHost, { pci }: QemuDevice): Readonly<Partial<Record<Ability, string>>> {
  const firmware = machine === "microvm" ? { firmware: "a microvm has no ACPI sleep states" } : {};
  if (pci === null) {
    const abilities: readonly Ability[] = ["function-reset", "bus-reset", "power-states", "no-soft-reset"];
    return { ...firmware, ...Object.fromEntries(abilities.map((ability) => [ability, NO_FUNCTION])) };
  }
  const hasExpress = pci.capability(PciCapId.EXPRESS) !== 0;
  return {
    ...firmware,
    ...(hasExpress ? {} : { "function-reset": "a function on the root bus has no PCI Express capability" }),
    ...(pci.isBehindBridge ? {} : { "bus-reset": "a function on the root bus is behind no bridge" }),
    ...(hasPowerStates(pci.config) ? {} : { "power-states": "a function on the root bus has no D-states" }),
    ...(hasNoSoftReset(pci.config) ? {} : { "no-soft-reset": "this QEMU's functions are reset by S3" }),
  };
}

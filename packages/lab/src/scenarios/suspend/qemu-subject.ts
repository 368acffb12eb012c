/**
 * A real QEMU: time is real, faults can't be had, and what the host holds is seen by showing it. One QEMU serves many
 * subjects, one after the other.
 */
import type { Clock } from "@virtgpu/core/base";
import { VirtioGpu } from "@virtgpu/core/driver";
import { PAGE_BYTES, PhysicalDmaMap, RamPageAllocator } from "@virtgpu/core/memory";
import { BootDriver, SeededRandom } from "@virtgpu/core/sim";
import { createNodeClock } from "../../hosts/node-clock.ts";
import type { QemuHost } from "../../hosts/qemu/qemu-host.ts";
import type { TestedDriver } from "./driver.ts";
import { LentPages } from "./lent-pages.ts";
import { takePageImage } from "./page-image.ts";
import { QemuSuspendHost } from "./qemu-suspend-host.ts";
import { type Ability, type Lender, type SuspendSubject, must } from "./subject.ts";

const MIB = 1 << 20;
/** At the end of memory: a boot kernel's. */
const BOOT_BYTES = 8 * MIB;
const REASONS: Readonly<Partial<Record<Ability, string>>> = {
  blobs: "this QEMU has no udmabuf for blobs",
  "no-soft-reset": "this QEMU's functions are reset by S3",
  faults: "a real host goes wrong by no plan",
  "other-hosts": "the next QEMU is like this one",
};

/** See the file's head. */
export class QemuSubject implements SuspendSubject {
  readonly label: string;
  readonly clock: Clock = createNodeClock();
  readonly host: QemuSuspendHost;
  readonly #qemu: QemuHost;
  readonly #allocator: RamPageAllocator;
  readonly #dma: PhysicalDmaMap;
  #lent = 0;
  #lentBytes = 0;

  private constructor(qemu: QemuHost, window: "bars" | "pci-cfg") {
    this.#qemu = qemu;
    this.label = `QEMU, ${qemu.machine}`;
    this.host = new QemuSuspendHost(qemu, window);
    // All of RAM above the first MiB and its hole.
    const range = { address: MIB, byteLength: qemu.ram.byteLength - MIB - BOOT_BYTES };
    const scatter = new SeededRandom(1);
    this.#allocator = new RamPageAllocator(qemu.ram.memory, range, { scatter, poison: false });
    this.#dma = new PhysicalDmaMap(this.#allocator);
  }

  /**
   * On a QEMU whose only device has two outputs, and a VNC server for each; `window`: how its registers are reached on PCI.
   * It is started if it does not run.
   */
  static async start(qemu: QemuHost, window: "bars" | "pci-cfg" = "bars"): Promise<QemuSubject> {
    if (!qemu.isRunning) await qemu.restart();
    return new QemuSubject(qemu, window);
  }

  lacks(ability: Ability): string | null {
    if (ability === "firmware") return this.#qemu.machine === "microvm" ? "a microvm has no ACPI sleep states" : null;
    return REASONS[ability] ?? null;
  }

  probe(): Promise<TestedDriver> {
    const transport = this.host.connect();
    return VirtioGpu.probe({ transport, clock: this.clock, allocator: this.#allocator, dma: this.#dma });
  }

  lend(byteLength: number): Lender {
    this.#lent += 1;
    const pages = this.#allocator.allocate(Math.ceil(byteLength / PAGE_BYTES) * PAGE_BYTES);
    this.#lentBytes += pages.byteLength;
    const frames = this.#allocator;
    return new LentPages({ key: `lent ${this.#lent}`, byteLength, pages, dma: this.#dma, frames });
  }

  takeImage(): () => void {
    return takePageImage(this.#allocator, () => false);
  }

  startBootDriver(): Promise<BootDriver> {
    const { byteLength, memory } = this.#qemu.ram;
    const region = { address: byteLength - BOOT_BYTES, byteLength: BOOT_BYTES };
    return BootDriver.start({ transport: this.host.connect(), clock: this.clock, memory, region });
  }

  run<T>(work: Promise<T>): Promise<T> {
    return work;
  }

  verify(): void {}

  /** All memory but what was lent. */
  async verifyRemoved(): Promise<void> {
    const bytes = this.#allocator.allocatedBytes - this.#lentBytes;
    must(bytes === 0, `${bytes} bytes of memory were never given back`);
  }
}

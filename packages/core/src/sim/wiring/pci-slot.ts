/**
 * A PCI slot: a function of configuration space and BARs, reached through mapped BARs, the PCI_CFG window, or I/O ports.
 * A reset of the bus takes BARs, decoding and bus mastering from it (VIRTIO 1.2 section 4.1).
 */
import type { BusAccess, PciFunctionAccess, PciInterrupts } from "../../virtio/bus-access.ts";
import type { VirtioDevice } from "../../virtio/machinery/index.ts";
import { readPciCapabilities } from "../../virtio/pci/capabilities.ts";
import { PciFunction } from "../../virtio/pci/function.ts";
import { PciTransport } from "../../virtio/pci/transport.ts";
import type { Transport } from "../../virtio/transport.ts";
import { PCI_BARS, PciPm, PciPmcsr, PciPowerState } from "../../wire/pci.ts";
import { SlotBus } from "./slot-bus.ts";
import { type Slot, type SlotKind, emptySlot } from "./wiring.ts";

/** What the PCI functions of a host are like. */
export interface PciSlotOptions {
  /** Interrupts: by MSI-X, by the INTx line, or none that the driver could have. Default "msix" ("intx" with I/O ports). */
  readonly interrupts?: "msix" | "intx" | "polled" | undefined;
  /** D3hot to D0 keeps the function's state, and S3 with it. Default false, as QEMU. */
  readonly noSoftReset?: boolean | undefined;
  /** There is a power management capability. Default true. */
  readonly powerManagement?: boolean | undefined;
}

/** See the file's head. One interrupt handler at a time: the one set last. */
export class PciSlot implements Slot, PciFunctionAccess {
  readonly label: string;
  readonly config: BusAccess;
  readonly interrupts: PciInterrupts | null;
  readonly #kind: Exclude<SlotKind, "loopback" | "mmio">;
  readonly #options: PciSlotOptions;
  readonly #bars: readonly BusAccess[];
  #present: PciFunction | null = null;
  #handler: ((vector: number) => void) | null = null;

  constructor(label: string, kind: Exclude<SlotKind, "loopback" | "mmio">, options: PciSlotOptions) {
    this.label = label;
    this.#kind = kind;
    this.#options = options;
    this.config = new SlotBus(() => this.#function.config);
    this.#bars = Array.from({ length: PCI_BARS }, (_, index) => new SlotBus(() => this.#block(index)));
    this.interrupts = options.interrupts === "polled" ? null : this.#makeInterrupts();
  }

  /** What the bus sees of the function: for tests of what a reset took from it. */
  get function(): PciFunction {
    return this.#function;
  }

  connect(): Transport {
    return PciTransport.open(this, { window: this.#kind === "pci-cfg" ? "pci-cfg" : "bars" });
  }

  plug(device: VirtioDevice): void {
    this.#present = new PciFunction({
      device,
      label: this.label,
      bars: this.#kind === "pci-io" ? "io" : "memory",
      msix: (this.#options.interrupts ?? "msix") === "msix",
      noSoftReset: this.#options.noSoftReset ?? false,
      powerManagement: this.#options.powerManagement ?? true,
    });
    this.#present.interrupts.setHandler(this.#handler);
  }

  unplug(): void {
    this.#present?.unplug();
    this.#present = null;
  }

  busReset(): void {
    this.#function.busReset();
  }

  save(): unknown {
    return this.#function.save();
  }

  restore(state: unknown): void {
    this.#function.restore(state);
  }

  get keepsOverSleep(): boolean {
    const { config } = this.#function;
    const { power } = readPciCapabilities(config, this.label);
    if (power === null) return false;
    const control = config.read16(power + PciPm.CONTROL_STATUS);
    return (control & PciPmcsr.NO_SOFT_RESET) !== 0 && (control & PciPmcsr.STATE_MASK) === PciPowerState.D3HOT;
  }

  /** With the window alone BARs can't be mapped, as where it is needed. */
  bar(index: number): BusAccess | null {
    if (this.#kind === "pci-cfg") return null;
    return this.#function.bar(index) === null ? null : (this.#bars[index] ?? null);
  }

  barView(index: number, offset: number, byteLength: number): Uint8Array | null {
    if (this.#kind === "pci-cfg") return null;
    return this.#function.barView(index, offset, byteLength);
  }

  assignBars(): void {
    this.#function.assignBars();
  }

  get #function(): PciFunction {
    if (this.#present === null) throw emptySlot(this.label);
    return this.#present;
  }

  #block(index: number): BusAccess {
    const bar = this.#function.bar(index);
    // Another function may have its BARs elsewhere: until the driver looks again, nothing answers where they were.
    if (bar === null) throw emptySlot(this.label);
    return bar;
  }

  #makeInterrupts(): PciInterrupts {
    const vectors = (): number => this.#function.interrupts.vectors;
    return {
      get vectors(): number {
        return vectors();
      },
      setHandler: (handler) => {
        this.#handler = handler;
        this.#present?.interrupts.setHandler(handler);
      },
    };
  }
}

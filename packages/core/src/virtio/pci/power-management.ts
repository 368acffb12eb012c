/**
 * D-states of a PCI function (PCI Power Management 1.2 section 3.2.4). The 10 ms that have to pass after each change of
 * state (D3HOT_DELAY_MS) are the caller's to wait: registers have no clock.
 */
import { GpuError } from "../../base/errors.ts";
import { PciPm, PciPmcsr, PciPowerState } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";
import type { FunctionPower } from "../transport.ts";

/** See the file's head. */
export class PciFunctionPower implements FunctionPower {
  readonly #config: BusAccess;
  readonly #control: number;
  readonly #label: string;

  /** `capability` is the offset of the power management capability. */
  constructor(config: BusAccess, capability: number, label: string) {
    this.#config = config;
    this.#control = capability + PciPm.CONTROL_STATUS;
    this.#label = label;
  }

  get noSoftReset(): boolean {
    return (this.#read() & PciPmcsr.NO_SOFT_RESET) !== 0;
  }

  /** Whether the function is in D0. */
  get isOn(): boolean {
    return (this.#read() & PciPmcsr.STATE_MASK) === PciPowerState.D0;
  }

  enterD3hot(): void {
    this.#enter(PciPowerState.D3HOT);
  }

  enterD0(): void {
    this.#enter(PciPowerState.D0);
  }

  #enter(state: PciPowerState): void {
    // Writing 1 to PME_STATUS would clear it.
    const rest = this.#read() & ~(PciPmcsr.STATE_MASK | PciPmcsr.PME_STATUS);
    this.#config.write16(this.#control, rest | state);
  }

  #read(): number {
    const value = this.#config.read16(this.#control);
    if (value === 0xffff) throw new GpuError("ENODEV", "no PCI function answers", { device: this.#label });
    return value;
  }
}

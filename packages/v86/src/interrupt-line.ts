/**
 * The device's INTx line in v86 (8259 or IO-APIC behind it; there are no message signalled interrupts).
 *
 * Two things that v86 leaves to its devices are done here. Raising a line enters the guest's handler at once, on the stack
 * of whoever raised it, so inside a register access of the guest it waits until the processor's loop is between two blocks
 * (a wrapper of `run_hardware_timers`). And one line may be shared by several devices, each of which lowers it for all:
 * the levels are remembered, and a line that another device still holds up is raised again.
 */
import type { PciId, V86Cpu, V86Pci } from "./internals.ts";

/** Where in the ISA bridge's configuration space the interrupt numbers of the PIRQ lines are. */
const PIRQ_ROUTES = 0x60;
const INTERRUPT_PIN_WORD = 15;

/** See the file's head. */
export class InterruptLine {
  readonly #pci: V86Pci;
  readonly #id: PciId;
  readonly #raise: (id: PciId) => void;
  readonly #lower: (id: PciId) => void;
  /** Devices whose line is up. */
  readonly #up: Set<PciId> = new Set();
  /** Lines to be raised when it is safe. */
  readonly #due: Set<PciId> = new Set();
  #depth = 0;

  /** Wraps the bus's and the processor's methods. `guard` runs what must not throw. */
  constructor(cpu: V86Cpu, id: PciId, guard: (work: () => void) => void) {
    const { pci } = cpu.devices;
    this.#pci = pci;
    this.#id = id;
    this.#raise = pci.raise_irq.bind(pci);
    this.#lower = pci.lower_irq.bind(pci);
    pci.raise_irq = (other) => {
      this.#up.add(other);
      this.#raise(other);
    };
    pci.lower_irq = (other) => {
      this.#lower(other);
      guard(() => this.#lowered(other));
    };
    const timers = cpu.run_hardware_timers.bind(cpu);
    cpu.run_hardware_timers = (acpi, now) => {
      if (this.#due.size > 0) this.#deliver();
      return timers(acpi, now);
    };
  }

  /** Runs an access of the guest: interrupts wait until it is over. */
  during<T>(access: () => T): T {
    this.#depth += 1;
    try {
      return access();
    } finally {
      this.#depth -= 1;
    }
  }

  /** The device's level. Outside of an access (a monitor was plugged in) an idle guest wakes up at once. */
  set(asserted: boolean): void {
    if (!asserted) {
      this.#due.delete(this.#id);
      if (this.#up.has(this.#id)) this.#pci.lower_irq(this.#id);
      return;
    }
    this.#up.add(this.#id);
    this.#due.add(this.#id);
    if (this.#depth === 0) this.#deliver();
  }

  /** After v86 has restored its interrupt controller: forgets all levels but this, which the controller is told when it is safe. */
  restore(asserted: boolean): void {
    this.#up.clear();
    this.#due.clear();
    if (!asserted) return;
    this.#up.add(this.#id);
    this.#due.add(this.#id);
  }

  #deliver(): void {
    const due = [...this.#due];
    this.#due.clear();
    for (const id of due) this.#raise(id);
  }

  #lowered(id: PciId): void {
    this.#up.delete(id);
    const number = this.#number(id);
    for (const other of this.#up) if (this.#number(other) === number) this.#due.add(other);
  }

  /** The interrupt number that a device's line leads to, as v86 finds it. */
  #number(id: PciId): number {
    const pin = ((this.#pci.device_spaces[id]?.[INTERRUPT_PIN_WORD] ?? 0) >> 8) & 0xff;
    const line = (pin - 1 + (((id >> 3) - 1) & 0xff)) & 3;
    return this.#pci.isa_bridge_space8[PIRQ_ROUTES + line] ?? 0;
  }
}

/** D-states of a PCI function, as its bus changes them behind a driver's back (PCI Power Management 1.2 section 3.2.4). */
import { readPciCapabilities, type BusAccess } from "@virtgpu/core/virtio";
import { PciPm, PciPmcsr, type PciPowerState } from "@virtgpu/core/wire";

/** The power management control register of a function; null where it has none. */
function controlOf(config: BusAccess): number | null {
  const { power } = readPciCapabilities(config, "a function of the suite's machine");
  return power === null ? null : power + PciPm.CONTROL_STATUS;
}

/** Whether a function has D-states. */
export function hasPowerStates(config: BusAccess): boolean {
  return controlOf(config) !== null;
}

/** Whether a function says that D3hot and D0 again keep its state. */
export function hasNoSoftReset(config: BusAccess): boolean {
  const control = controlOf(config);
  return control !== null && (config.read16(control) & PciPmcsr.NO_SOFT_RESET) !== 0;
}

/** The D-state of a function; null where it has none. */
export function powerStateOf(config: BusAccess): number | null {
  const control = controlOf(config);
  return control === null ? null : config.read16(control) & PciPmcsr.STATE_MASK;
}

/** Puts a function that has D-states into one. */
export function setPowerState(config: BusAccess, state: PciPowerState): void {
  const control = controlOf(config);
  if (control === null) return;
  // Writing 1 to PME_STATUS would clear it.
  const rest = config.read16(control) & ~(PciPmcsr.STATE_MASK | PciPmcsr.PME_STATUS);
  config.write16(control, rest | state);
}

/**
 * Virtio's structures of a PCI function as register blocks: the capabilities' places (VIRTIO 1.2 section 4.1.4), reached
 * by mapped BARs or through the window in configuration space.
 */
import { GpuError } from "../../base/errors.ts";
import { CommonConfig } from "../../wire/pci.ts";
import type { BusAccess, PciFunctionAccess } from "../bus-access.ts";
import type { BarRegion, NotifyRegion, PciCapabilities } from "./capabilities.ts";
import { barThroughWindow } from "./config-window.ts";

/** How a transport reaches the registers: by BARs, or through the window in configuration space. */
export type PciWindow = "bars" | "pci-cfg";

/** A structure of a function: registers from its first byte, and how many bytes it has. */
export interface PciStructure<R extends BarRegion = BarRegion> {
  readonly registers: BusAccess;
  readonly region: R;
}

/** All that a transport needs. */
export interface PciStructures {
  readonly common: PciStructure;
  readonly notify: PciStructure<NotifyRegion>;
  readonly isr: PciStructure;
  /** Null for a device without configuration. */
  readonly device: PciStructure | null;
  /** Whether the common configuration has QUEUE_RESET. */
  readonly hasQueueReset: boolean;
}

/** Finds the structures. Throws GpuError ENODEV when one is missing or out of reach, ENOTSUP when the window is. */
export function openPciStructures(
  access: PciFunctionAccess,
  capabilities: PciCapabilities,
  window: PciWindow,
): PciStructures {
  const bar = barOpener(access, window, capabilities);
  const common = required(access, "common configuration", open(capabilities.common, bar), capabilities.common);
  return {
    common,
    notify: required(access, "notification", open(capabilities.notify, bar), capabilities.notify),
    isr: required(access, "ISR", open(capabilities.isr, bar), capabilities.isr),
    device: open(capabilities.device, bar),
    hasQueueReset: common.region.byteLength >= CommonConfig.QUEUE_RESET + 2,
  };
}

type BarOpener = (index: number) => BusAccess | null;

function barOpener(access: PciFunctionAccess, window: PciWindow, capabilities: PciCapabilities): BarOpener {
  if (window === "bars") return (index) => access.bar(index);
  const at = capabilities.window;
  if (at === null) {
    throw new GpuError("ENOTSUP", "the device has no window in its configuration space: use its BARs", {
      device: access.label,
    });
  }
  return (index) => barThroughWindow(access.config, at, index);
}

/** The first of the regions whose BAR can be reached. */
function open<R extends BarRegion>(regions: readonly R[], bar: BarOpener): PciStructure<R> | null {
  for (const region of regions) {
    const registers = bar(region.bar);
    if (registers !== null) return { registers: registersFrom(registers, region.offset), region };
  }
  return null;
}

function required<R extends BarRegion>(
  access: PciFunctionAccess,
  name: string,
  structure: PciStructure<R> | null,
  regions: readonly R[],
): PciStructure<R> {
  if (structure !== null) return structure;
  const why =
    regions.length === 0 ? "is missing: no device of VIRTIO 1.0 or later" : "lies in BARs that can't be mapped";
  throw new GpuError("ENODEV", `the ${name} structure ${why}`, { device: access.label });
}

function registersFrom(bar: BusAccess, start: number): BusAccess {
  return {
    read8: (offset) => bar.read8(start + offset),
    read16: (offset) => bar.read16(start + offset),
    read32: (offset) => bar.read32(start + offset),
    write8: (offset, value) => bar.write8(start + offset, value),
    write16: (offset, value) => bar.write16(start + offset, value),
    write32: (offset, value) => bar.write32(start + offset, value),
  };
}

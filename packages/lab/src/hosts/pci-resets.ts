/**
 * Capabilities of a PCI function (PCI Local Bus 3.0 section 6.7), and its own reset: PCI Express 4.0 section 7.5.3.4.
 */
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";
import { PciCap, PciCapId, PciHeader } from "@virtgpu/core/wire";

const DEVICE_CONTROL = 8;
const INITIATE_RESET = 0x8000;
/** More capabilities there can't be in 256 bytes: a longer list runs in a circle. */
const CAPABILITIES_MAX = 48;

/** The offset of a capability in configuration space; 0 when there is none. */
export function pciCapability(config: BusAccess, id: number): number {
  let offset = config.read8(PciHeader.CAPABILITIES) & 0xfc;
  for (let hops = 0; offset !== 0 && hops < CAPABILITIES_MAX; hops += 1) {
    if (config.read8(offset + PciCap.ID) === id) return offset;
    offset = config.read8(offset + PciCap.NEXT) & 0xfc;
  }
  return 0;
}

/** Resets a function through its PCI Express capability. Throws GpuError ENOTSUP where it has none. */
export function resetFunction(config: BusAccess, label: string): void {
  const capability = pciCapability(config, PciCapId.EXPRESS);
  if (capability === 0) throw new GpuError("ENOTSUP", "the function has no PCI Express capability", { device: label });
  const control = capability + DEVICE_CONTROL;
  config.write16(control, config.read16(control) | INITIATE_RESET);
}

/** BARs that are where the kernel put them: what a sleep forgets is written back (PCI Local Bus 3.0 section 6.2.5). */
import { PciHeader } from "@virtgpu/core/wire";
import type { BusAccess } from "@virtgpu/core/virtio";
import type { AssignedBar } from "./sysfs.ts";

const FLAG_BITS = 0xf;
const WIDE_MEMORY = 0x4;

/** Writes the registers that do not hold what was assigned; the kernel has mostly done that already. */
export function assignBars(config: BusAccess, bars: readonly AssignedBar[]): void {
  for (const { index, address, kind } of bars) {
    const register = PciHeader.BAR_0 + 4 * index;
    const low = Number(address & 0xffff_ffffn);
    const now = config.read32(register);
    if (now === 0xffff_ffff) return;
    const flags = kind === "ports" ? 0x3 : FLAG_BITS;
    if ((now & ~flags) >>> 0 !== low) config.write32(register, low);
    const isWide = kind === "memory" && (now & 0x6) === WIDE_MEMORY;
    const high = Number(address >> 32n);
    if (isWide && config.read32(register + 4) !== high) config.write32(register + 4, high);
  }
}

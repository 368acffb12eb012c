/**
 * By configuration space alone: no driver is bound, no BAR is mapped, registers are reached through the window that a
 * virtio device has there (VIRTIO 1.2 section 4.1.4.9). Needs no native add-on.
 */
import { DriverBinding, type PciSysfs } from "../pci/index.ts";
import { SysfsFunction } from "./sysfs-function.ts";
import { type TakeOptions, type TakenFunction, Undo } from "./taken-function.ts";

/** Takes a function. Throws GpuError; then it is where it was. */
export function takeByConfig(sysfs: PciSysfs, { address }: TakeOptions): TakenFunction {
  const undo = new Undo();
  try {
    const binding = DriverBinding.take(sysfs, address, null);
    undo.add(() => binding.release());
    sysfs.write(address, "enable", "1");
    undo.add(() => sysfs.write(address, "enable", "0"));
    const access = new SysfsFunction(sysfs, address, undo, false);
    return { access, window: "pci-cfg", throughIommu: null, close: () => undo.run() };
  } catch (error) {
    undo.abandon();
    throw error;
  }
}

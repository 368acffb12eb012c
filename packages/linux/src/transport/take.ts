/** Takes a function over in the way that was asked for. */
import type { PciSysfs } from "../pci/index.ts";
import { takeByConfig } from "./pci-cfg.ts";
import type { TakeOptions, TakenFunction, Way } from "./taken-function.ts";
import { takeByUio } from "./uio.ts";
import { takeByVfio } from "./vfio.ts";

/** Throws GpuError; then the function is where it was. */
export function takeFunction(way: Way, sysfs: PciSysfs, options: TakeOptions): TakenFunction {
  switch (way) {
    case "uio":
      return takeByUio(sysfs, options);
    case "vfio":
      return takeByVfio(sysfs, options);
    case "pci-cfg":
      return takeByConfig(sysfs, options);
  }
}

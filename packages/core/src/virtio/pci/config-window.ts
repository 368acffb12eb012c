/**
 * BARs reached through configuration space alone: the window of VIRTIO 1.2 section 4.1.4.9. For systems that can access
 * a function's configuration space and can't map its BARs. Each access takes four configuration cycles.
 */
import { VirtioCap } from "../../wire/pci.ts";
import type { BusAccess } from "../bus-access.ts";

/** BAR `bar` through the window capability at `window`. Its registers are chosen anew for each access: others use them too. */
export function barThroughWindow(config: BusAccess, window: number, bar: number): BusAccess {
  const data = window + VirtioCap.PCI_DATA;
  const aim = (offset: number, width: number): void => {
    config.write8(window + VirtioCap.BAR, bar);
    config.write32(window + VirtioCap.OFFSET, offset);
    config.write32(window + VirtioCap.LENGTH, width);
  };
  return {
    read8: (offset) => {
      aim(offset, 1);
      return config.read8(data);
    },
    read16: (offset) => {
      aim(offset, 2);
      return config.read16(data);
    },
    read32: (offset) => {
      aim(offset, 4);
      return config.read32(data);
    },
    write8: (offset, value) => {
      aim(offset, 1);
      config.write8(data, value);
    },
    write16: (offset, value) => {
      aim(offset, 2);
      config.write16(data, value);
    },
    write32: (offset, value) => {
      aim(offset, 4);
      config.write32(data, value);
    },
  };
}

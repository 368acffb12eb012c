/**
 * What helps a kernel without the series today: to take the driver from the device before the sleep and to give it back
 * after. The console must let go of the framebuffer first, or the unbinding takes the text console along.
 * Kernel interface: sysfs, /sys/bus/virtio/drivers and /sys/class/vtconsole.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DRIVER = "/sys/bus/virtio/drivers/virtio_gpu";
const CONSOLES = "/sys/class/vtconsole";
const PCI_DEVICES = "/sys/bus/pci/devices";

/** Takes the kernel's driver from a PCI function; nobody may have its card open. Returns the virtio device's name. */
export function unbindDriver(address: string, say: (line: string) => void): string {
  const device = readdirSync(join(PCI_DEVICES, address)).find((name) => /^virtio\d+$/.test(name));
  if (device === undefined) throw new Error(`ENODEV: ${address} has no virtio device`);
  for (const console of framebufferConsoles()) {
    say(`unbinding the console ${console}`);
    writeFileSync(join(CONSOLES, console, "bind"), "0");
  }
  writeFileSync(join(DRIVER, "unbind"), device);
  return device;
}

/** Gives a device back to the kernel's driver. The framebuffer's console comes back by itself. */
export function bindDriver(device: string): void {
  writeFileSync(join(DRIVER, "bind"), device);
}

function framebufferConsoles(): readonly string[] {
  if (!existsSync(CONSOLES)) return [];
  return readdirSync(CONSOLES).filter((name) => {
    const read = (file: string): string => readFileSync(join(CONSOLES, name, file), "utf8").trim();
    return read("name").includes("frame buffer") && read("bind") === "1";
  });
}

/**
 * What helps a kernel without the series today: to take the driver from the device before the sleep and to give it back
 * after. The console must let go of the framebuffer first, or the unbinding takes the text console along.
 * Kernel interface: sysfs, /sys/bus/virtio/drivers and /sys/class/vtconsole.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const SYSFS = "/sys";
const driverIn = (sysfs: string): string => join(sysfs, "bus/virtio/drivers/virtio_gpu");

/** Takes the kernel's driver from a PCI function; nobody may have its card open. Returns the virtio device's name. */
export function unbindDriver(address: string, say: (line: string) => void, sysfs: string = SYSFS): string {
  const device = readdirSync(join(sysfs, "bus/pci/devices", address)).find((name) => /^virtio\d+$/.test(name));
  if (device === undefined) throw new Error(`ENODEV: ${address} has no virtio device`);
  const consoles = join(sysfs, "class/vtconsole");
  for (const console of framebufferConsoles(consoles)) {
    say(`unbinding the console ${console}`);
    writeFileSync(join(consoles, console, "bind"), "0");
  }
  writeFileSync(join(driverIn(sysfs), "unbind"), device);
  return device;
}

/** Gives a device back to the kernel's driver. The framebuffer's console comes back by itself. */
export function bindDriver(device: string, sysfs: string = SYSFS): void {
  writeFileSync(join(driverIn(sysfs), "bind"), device);
}

/** Whether a framebuffer shows the text console. */
export function isConsoleShown(sysfs: string = SYSFS): boolean {
  return framebufferConsoles(join(sysfs, "class/vtconsole")).length > 0;
}

function framebufferConsoles(consoles: string): readonly string[] {
  if (!existsSync(consoles)) return [];
  return readdirSync(consoles).filter((name) => {
    const read = (file: string): string => readFileSync(join(consoles, name, file), "utf8").trim();
    return read("name").includes("frame buffer") && read("bind") === "1";
  });
}

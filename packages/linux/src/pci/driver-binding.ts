/**
 * Takes a PCI function from the driver that has it, gives it to another one or to none, and puts everything back at the
 * end (`driver_override`: the kernel's ABI/testing/sysfs-bus-pci).
 */
import { execFileSync } from "node:child_process";
import { GpuError } from "@virtgpu/core/base";
import type { PciSysfs } from "./sysfs.ts";

/** Drivers that serve userspace drivers: whoever left one behind did not end well. */
const OURS: ReadonlySet<string> = new Set(["uio_pci_generic", "vfio-pci"]);

/** Loads a kernel module; what it throws is ignored, for the driver may be there all the same. */
export type LoadModule = (name: string) => void;

/** See the file's head. */
export class DriverBinding {
  readonly #sysfs: PciSysfs;
  readonly #address: string;
  /** Who had it: null for nobody. */
  readonly before: string | null;
  readonly #overrideBefore: string | null;
  #isOver = false;

  private constructor(sysfs: PciSysfs, address: string) {
    this.#sysfs = sysfs;
    this.#address = address;
    this.before = sysfs.driver(address);
    this.#overrideBefore = sysfs.driverOverride(address);
  }

  /** Binds `driver`, or no driver at all for null. Throws GpuError; then everything is as it was. */
  static take(
    sysfs: PciSysfs,
    address: string,
    driver: string | null,
    loadModule: LoadModule = modprobe,
  ): DriverBinding {
    const binding = new DriverBinding(sysfs, address);
    try {
      if (driver !== null) requireDriver(sysfs, driver, loadModule);
      if (binding.before !== driver) binding.#change(driver);
      return binding;
    } catch (error) {
      try {
        binding.release();
      } catch {
        // What failed first is what the caller hears of.
      }
      throw error;
    }
  }

  /** Gives the function back to whom it belonged. Twice is once. */
  release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const isLeftover = this.before !== null && OURS.has(this.before) && this.#overrideBefore === this.before;
    const before = isLeftover ? null : this.before;
    this.#override(isLeftover ? null : this.#overrideBefore);
    if (!isLeftover && this.#sysfs.driver(this.#address) === before) return;
    this.#sysfs.unbind(this.#address);
    if (before !== null) this.#sysfs.bind(this.#address, before);
    // The kernel's own choice is better than ours of last time.
    else if (isLeftover) this.#sysfs.probe(this.#address);
  }

  #change(driver: string | null): void {
    const { before } = this;
    // Not even a bus scan may bind another one meanwhile.
    this.#override(driver ?? this.#overrideBefore);
    this.#sysfs.unbind(this.#address);
    if (driver === null) return;
    this.#sysfs.bind(this.#address, driver);
    if (this.#sysfs.driver(this.#address) !== driver) {
      throw new GpuError("EBUSY", `${driver} does not take it (${before ?? "nobody"} had it)`, {
        device: this.#address,
      });
    }
  }

  /** The kernel takes a line break for "none". */
  #override(driver: string | null): void {
    if (this.#sysfs.driverOverride(this.#address) === driver) return;
    this.#sysfs.write(this.#address, "driver_override", `${driver ?? ""}\n`);
  }
}

function requireDriver(sysfs: PciSysfs, driver: string, loadModule: LoadModule): void {
  if (sysfs.hasDriver(driver)) return;
  loadModule(driver);
  if (sysfs.hasDriver(driver)) return;
  throw new GpuError("ENOTSUP", `the kernel's driver ${driver} is not loaded: modprobe ${driver}`);
}

function modprobe(name: string): void {
  try {
    execFileSync("modprobe", [name], { stdio: "ignore", timeout: 30_000 });
  } catch {
    // The caller sees whether the driver is there.
  }
}

import { GpuError } from "@virtgpu/core/base";
import { describe, expect, it } from "vitest";
import { DriverBinding } from "./driver-binding.ts";
import { PciSysfs } from "./sysfs.ts";

const ADDRESS = "0000:00:04.0";

/** The kernel's part: what is written has an effect. */
class FakeSysfs extends PciSysfs {
  bound: string | null;
  override_: string | null;
  readonly loaded: Set<string> = new Set(["virtio-pci", "uio_pci_generic"]);
  readonly events: string[] = [];
  refuses: string | null = null;

  constructor(bound: string | null, override_: string | null = null) {
    super("/nowhere");
    this.bound = bound;
    this.override_ = override_;
  }

  override driver(): string | null {
    return this.bound;
  }

  override driverOverride(): string | null {
    return this.override_;
  }

  override hasDriver(name: string): boolean {
    return this.loaded.has(name);
  }

  override unbind(): void {
    if (this.bound !== null) this.events.push(`unbind ${this.bound}`);
    this.bound = null;
  }

  override bind(_address: string, driver: string): void {
    this.events.push(`bind ${driver}`);
    if (this.refuses === driver) throw new GpuError("ENODEV", "the driver refuses");
    if (this.override_ !== null && this.override_ !== driver) throw new GpuError("ENODEV", "it is reserved");
    this.bound = driver;
  }

  override probe(): void {
    this.events.push("probe");
    this.bound = "virtio-pci";
  }

  override write(_address: string, name: string, value: string): void {
    expect(name).toBe("driver_override");
    const text = value.trim();
    this.override_ = text === "" ? null : text;
  }
}

const noModule = (): void => {};

describe("a function's driver", () => {
  it.each([
    ["virtio-pci", null],
    [null, null],
    ["virtio-pci", "virtio-pci"],
    ["uio_pci_generic", null],
  ])("is taken from %s (reserved for %s) and given back", (before, reserved) => {
    const sysfs = new FakeSysfs(before, reserved);
    const binding = DriverBinding.take(sysfs, ADDRESS, "uio_pci_generic", noModule);
    expect(sysfs.bound).toBe("uio_pci_generic");
    binding.release();
    binding.release();
    expect([sysfs.bound, sysfs.override_]).toEqual([before, reserved]);
  });

  it("is nobody for the window in configuration space", () => {
    const sysfs = new FakeSysfs("virtio-pci");
    const binding = DriverBinding.take(sysfs, ADDRESS, null, noModule);
    expect(sysfs.bound).toBeNull();
    binding.release();
    expect(sysfs.bound).toBe("virtio-pci");
  });

  it("is the kernel's choice after a program that left ours behind", () => {
    const sysfs = new FakeSysfs("uio_pci_generic", "uio_pci_generic");
    DriverBinding.take(sysfs, ADDRESS, "uio_pci_generic", noModule).release();
    expect(sysfs.events).toEqual(["unbind uio_pci_generic", "probe"]);
    expect([sysfs.bound, sysfs.override_]).toEqual(["virtio-pci", null]);
  });

  it("is loaded where it isn't, or missed in one sentence", () => {
    const sysfs = new FakeSysfs("virtio-pci");
    DriverBinding.take(sysfs, ADDRESS, "vfio-pci", (name) => sysfs.loaded.add(name)).release();
    sysfs.loaded.delete("vfio-pci");
    expect(() => DriverBinding.take(sysfs, ADDRESS, "vfio-pci", noModule)).toThrow(/modprobe vfio-pci/);
    expect([sysfs.bound, sysfs.override_]).toEqual(["virtio-pci", null]);
  });

  it("is the old one again when ours does not take it", () => {
    const sysfs = new FakeSysfs("virtio-pci");
    sysfs.refuses = "uio_pci_generic";
    expect(() => DriverBinding.take(sysfs, ADDRESS, "uio_pci_generic", noModule)).toThrow(/refuses/);
    expect([sysfs.bound, sysfs.override_]).toEqual(["virtio-pci", null]);
  });
});

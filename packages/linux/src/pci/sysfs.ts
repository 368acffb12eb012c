/**
 * PCI functions as /sys/bus/pci shows them (the kernel's ABI/testing/sysfs-bus-pci): which there are, who drives them,
 * their files.
 */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { errnoName } from "../native/system-call-error.ts";

const VIRTIO_VENDOR = 0x1af4;
/** A virtio device of type 16, a GPU (VIRTIO 1.2 section 4.1.2). */
const VIRTIO_GPU = 0x1050;
const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-1][0-9a-f]\.[0-7]$/;
/** PCI bars and the expansion ROM come first in `resource`. */
const BARS = 6;
const DRIVER_NAME = /^[\w.-]{1,64}$/;

/** A base address register as the kernel has assigned it. */
export interface AssignedBar {
  readonly index: number;
  /** Bus address. */
  readonly address: bigint;
  /** Bytes. */
  readonly byteLength: number;
  readonly kind: "memory" | "ports";
}

/** `/sys/bus/pci` below a root folder: "" for the real one. */
export class PciSysfs {
  readonly #bus: string;
  readonly #root: string;

  constructor(root = "") {
    this.#root = root;
    this.#bus = `${root}/sys/bus/pci`;
  }

  /** Addresses of all virtio GPUs, in order. Empty where there is no PCI. */
  gpus(): readonly string[] {
    let names: readonly string[];
    try {
      names = readdirSync(`${this.#bus}/devices`);
    } catch {
      return [];
    }
    return names.filter((name) => ADDRESS.test(name) && this.#isGpu(name)).toSorted();
  }

  /** Throws GpuError ENODEV unless there is a virtio GPU at this address. */
  assertGpu(address: string): void {
    if (ADDRESS.test(address) && this.#isGpu(address)) return;
    const gpus = this.gpus();
    const there = gpus.length === 0 ? "there is none in this machine" : `there are ${gpus.join(", ")}`;
    throw new GpuError("ENODEV", `no virtio GPU (1af4:1050) is at "${address.slice(0, 40)}": ${there}`);
  }

  /** The path of a function's file. */
  path(address: string, name: string): string {
    return `${this.#bus}/devices/${address}/${name}`;
  }

  /** The driver that is bound to a function, or null. */
  driver(address: string): string | null {
    return this.#link(address, "driver");
  }

  /** The function's IOMMU group and what the kernel does with it, e.g. "identity" or "DMA-FQ"; null without an IOMMU. */
  iommuGroup(address: string): { readonly number: string; readonly type: string } | null {
    const number = this.#link(address, "iommu_group");
    if (number === null || !/^\d{1,6}$/.test(number)) return null;
    return { number, type: read(`${this.#root}/sys/kernel/iommu_groups/${number}/type`) ?? "" };
  }

  /** The driver that a function is reserved for, or null. */
  driverOverride(address: string): string | null {
    const name = read(this.path(address, "driver_override"));
    return name === null || name === "" || name === "(null)" ? null : name;
  }

  /** Whether the kernel has this driver loaded. */
  hasDriver(name: string): boolean {
    try {
      readdirSync(`${this.#bus}/drivers/${name}`);
      return true;
    } catch {
      return false;
    }
  }

  /** Writes one of a function's files. Throws GpuError with what the kernel says. */
  write(address: string, name: string, value: string): void {
    this.#write(this.path(address, name), value, address);
  }

  unbind(address: string): void {
    if (this.driver(address) !== null) this.write(address, "driver/unbind", address);
  }

  /** Binds a driver, which must accept the function. */
  bind(address: string, driver: string): void {
    if (!DRIVER_NAME.test(driver)) throw new GpuError("EINVAL", `"${driver.slice(0, 40)}" is no driver's name`);
    this.#write(`${this.#bus}/drivers/${driver}/bind`, address, address);
  }

  /** Has the kernel look for a driver. */
  probe(address: string): void {
    this.#write(`${this.#bus}/drivers_probe`, address, address);
  }

  /** BARs as the kernel has assigned them. Throws GpuError EPROTO for a file that says something else. */
  bars(address: string): readonly AssignedBar[] {
    const lines = (read(this.path(address, "resource")) ?? "").split("\n");
    return Array.from({ length: BARS }, (_, index) => barOf(lines[index] ?? "", index, address)).flat();
  }

  #isGpu(address: string): boolean {
    return (
      Number(read(this.path(address, "vendor"))) === VIRTIO_VENDOR &&
      Number(read(this.path(address, "device"))) === VIRTIO_GPU
    );
  }

  #link(address: string, name: string): string | null {
    try {
      return basename(readlinkSync(this.path(address, name)));
    } catch {
      return null;
    }
  }

  #write(path: string, value: string, address: string): void {
    try {
      writeFileSync(path, value);
    } catch (error) {
      const code = errnoName(error) ?? "?";
      const hint = code === "EACCES" || code === "EPERM" ? ": this takes root" : "";
      throw new GpuError(
        code === "EBUSY" ? "EBUSY" : code === "ENODEV" ? "ENODEV" : "EACCES",
        `writing ${path} failed with ${code}${hint}`,
        {
          device: address,
          cause: error,
        },
      );
    }
  }
}

const IORESOURCE_IO = 0x100n;
const BAR_BYTES_MAX = 2n ** 40n;

/** One line of `resource`: first and last address, flags. */
function barOf(line: string, index: number, address: string): readonly AssignedBar[] {
  const parts = line.trim().split(/\s+/);
  const isLine = parts.length === 3 && parts.every((part) => /^0x[0-9a-f]{1,16}$/.test(part));
  if (!isLine) throw new GpuError("EPROTO", `its "resource" file has no BAR ${index}`, { device: address });
  const [start = 0n, end = 0n, flags = 0n] = parts.map(BigInt);
  // Not there, or not assigned.
  if (flags === 0n || start === 0n) return [];
  const byteLength = end - start + 1n;
  if (byteLength <= 0n || byteLength > BAR_BYTES_MAX) {
    throw new GpuError("EPROTO", `BAR ${index} is said to have ${byteLength} bytes`, { device: address });
  }
  const kind = (flags & IORESOURCE_IO) === 0n ? "memory" : "ports";
  return [{ index, address: start, byteLength: Number(byteLength), kind }];
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

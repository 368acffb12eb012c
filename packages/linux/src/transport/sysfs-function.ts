/**
 * A function through sysfs alone: configuration space as a file, BARs as mapped `resourceN` files (the kernel's
 * PCI/sysfs-pci).
 */
import { closeSync, openSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess, PciFunctionAccess, PciInterrupts } from "@virtgpu/core/virtio";
import { Mapping, errnoName } from "../native/index.ts";
import { assignBars } from "../pci/bars.ts";
import { ConfigFile, type PciSysfs, RegisterWindow } from "../pci/index.ts";
import type { AssignedBar } from "../pci/sysfs.ts";
import type { Undo } from "./taken-function.ts";

const PAGE_BYTES = 4096;

interface MappedBar {
  readonly mapping: Mapping;
  readonly registers: RegisterWindow;
}

/** See the file's head. */
export class SysfsFunction implements PciFunctionAccess {
  readonly label: string;
  readonly config: ConfigFile;
  interrupts: PciInterrupts | null = null;
  readonly #sysfs: PciSysfs;
  readonly #bars: readonly AssignedBar[];
  readonly #mapped: Map<number, MappedBar | null> = new Map();
  readonly #undo: Undo;
  readonly #mapsBars: boolean;

  /** `mapsBars` false: registers are reached in another way. */
  constructor(sysfs: PciSysfs, address: string, undo: Undo, mapsBars: boolean) {
    this.label = address;
    this.#sysfs = sysfs;
    this.#undo = undo;
    this.#mapsBars = mapsBars;
    this.#bars = sysfs.bars(address);
    this.config = new ConfigFile(openForDevice(sysfs.path(address, "config"), address), address);
    undo.add(() => this.config.close());
  }

  bar(index: number): BusAccess | null {
    return this.#map(index)?.registers ?? null;
  }

  barView(index: number, offset: number, byteLength: number): Uint8Array | null {
    const bytes = this.#map(index)?.mapping.bytes;
    return bytes !== undefined && offset + byteLength <= bytes.length
      ? bytes.subarray(offset, offset + byteLength)
      : null;
  }

  assignBars(): void {
    assignBars(this.config, this.#bars);
  }

  #map(index: number): MappedBar | null {
    if (!this.#mapsBars) return null;
    let mapped = this.#mapped.get(index);
    if (mapped === undefined) {
      mapped = this.#mapNew(index);
      this.#mapped.set(index, mapped);
    }
    return mapped;
  }

  #mapNew(index: number): MappedBar | null {
    const bar = this.#bars.find((candidate) => candidate.index === index);
    if (bar === undefined || bar.kind !== "memory" || bar.byteLength % PAGE_BYTES !== 0) return null;
    const fd = openForDevice(this.#sysfs.path(this.label, `resource${index}`), this.label);
    try {
      const mapping = Mapping.ofFile(fd, bar.byteLength);
      const registers = new RegisterWindow(mapping.bytes, this.label);
      this.#undo.add(() => {
        this.#mapped.clear();
        registers.close();
        mapping.close();
      });
      return { mapping, registers };
    } finally {
      closeSync(fd);
    }
  }
}

/** Opens a file for reading and writing. Throws GpuError. */
export function openForDevice(path: string, address: string): number {
  try {
    return openSync(path, "r+");
  } catch (error) {
    const code = errnoName(error) ?? "?";
    const hint = code === "EACCES" || code === "EPERM" ? ": this takes root" : "";
    throw new GpuError(code === "ENOENT" ? "ENOENT" : "EACCES", `${path} can't be opened (${code})${hint}`, {
      device: address,
      cause: error,
    });
  }
}

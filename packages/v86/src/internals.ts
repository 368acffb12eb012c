/**
 * What this package uses of v86's insides, typed, and the test that it is all there.
 *
 * v86 has no interface for devices of others: everything here is undocumented, was read in its sources (pci.js, io.js,
 * cpu.js) and tried with the versions in {@link V86_VERSIONS}. Names of properties survive in the npm package's builds.
 */
import { GpuError } from "@virtgpu/core/base";

/** The versions of the npm package v86 that this package was made for, and the one it is tested with. */
export const V86_VERSIONS: { readonly range: string; readonly tested: string } = {
  range: ">=0.5.450 <0.6.0",
  tested: "0.5.462",
};

/** The emulator, as far as it is used: an instance of v86's class V86. */
export interface V86Emulator {
  add_listener(event: string, listener: (value?: unknown) => void): void;
}

/** Bus, slot and function of a PCI device: slot << 3 | function. */
export type PciId = number;

/** What `register_device` takes. The configuration space may be shorter than 256 bytes. */
export interface V86PciDevice {
  readonly name: string;
  readonly pci_id: PciId;
  readonly pci_space: number[];
  readonly pci_bars: { size: number }[];
}

/** Devices of the PCI bus; methods are looked up on the instance with each access, so that they can be wrapped. */
export interface V86Pci {
  /** By {@link PciId}; undefined: no device. */
  readonly devices: unknown[];
  /** The live configuration spaces. */
  readonly device_spaces: (Int32Array | undefined)[];
  /** The address register, 0xCF8: offset, slot and function, bus, enable. */
  readonly pci_addr: Uint8Array;
  /** The ISA bridge's space: interrupt numbers of the four PIRQ lines at 0x60. */
  readonly isa_bridge_space8: Uint8Array;
  register_device(device: V86PciDevice): Int32Array;
  /** The address register was written: prepares what 0xCFC reads. */
  pci_query(): void;
  /** `address` as in the address register, with the byte added. */
  pci_write8(address: number, value: number): void;
  pci_write16(address: number, value: number): void;
  pci_write32(address: number, value: number): void;
  raise_irq(id: PciId): void;
  lower_irq(id: PciId): void;
}

type PortRead = (port: number) => number;
type PortWrite = (value: number) => void;

/** The 65536 I/O ports. 32-bit values are signed. */
export interface V86Io {
  register_read(port: number, device: object, read8: PortRead, read16: PortRead, read32: PortRead): void;
  register_write(port: number, device: object, write8: PortWrite, write16: PortWrite, write32: PortWrite): void;
}

/** The processor, and all that hangs on it. */
export interface V86Cpu {
  readonly devices: { readonly pci: V86Pci };
  readonly io: V86Io;
  /** All RAM. A proxy that makes a new array with each access: `subarray` gives a real one. */
  readonly mem8: Uint8Array;
  /** Bytes of RAM, at index 0. */
  readonly memory_size: ArrayLike<number>;
  /** Drops translated code of the pages that `[start, end)` touches. */
  jit_dirty_cache(start: number, end: number): void;
  /** Called from the processor's loop, between two blocks of code. Returns milliseconds until the next timer. */
  run_hardware_timers(acpi: number, now: number): number;
  get_state(): unknown[];
  set_state(state: unknown[]): void;
  reboot_internal(): void;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

const METHODS = {
  cpu: ["jit_dirty_cache", "run_hardware_timers", "get_state", "set_state", "reboot_internal"],
  pci: ["register_device", "pci_query", "pci_write8", "pci_write16", "pci_write32", "raise_irq", "lower_irq"],
  io: ["register_read", "register_write"],
} as const;

/** Names of what is missing, or is not what it should be. */
function missingParts(cpu: unknown): string[] {
  if (!isRecord(cpu)) return ["cpu"];
  const devices = cpu["devices"];
  const pci = isRecord(devices) ? devices["pci"] : undefined;
  const parts = { cpu, pci, io: cpu["io"] };
  const missing: string[] = [];
  for (const [name, methods] of Object.entries(METHODS)) {
    const part: unknown = parts[name === "cpu" ? "cpu" : name === "pci" ? "pci" : "io"];
    for (const method of methods) {
      if (!isRecord(part) || typeof part[method] !== "function") missing.push(`${name}.${method}`);
    }
  }
  const hasMemory = isRecord(cpu["mem8"]) && typeof cpu["mem8"]["subarray"] === "function";
  if (!hasMemory) missing.push("cpu.mem8");
  const size = cpu["memory_size"];
  if (!isRecord(size) || typeof size[0] !== "number") missing.push("cpu.memory_size");
  if (!isRecord(pci)) return missing;
  for (const field of ["devices", "device_spaces"]) if (!Array.isArray(pci[field])) missing.push(`pci.${field}`);
  for (const field of ["pci_addr", "isa_bridge_space8"]) {
    if (!(pci[field] instanceof Uint8Array)) missing.push(`pci.${field}`);
  }
  return missing;
}

/** The processor of an emulator whose devices exist; null before that. */
function processorOf(emulator: V86Emulator): unknown {
  const inner: unknown = Reflect.get(emulator, "v86");
  return isRecord(inner) ? (inner["cpu"] ?? null) : null;
}

/** Whether the emulator's devices have been made: before its event `emulator-ready` there is nothing to attach to. */
export function hasDevices(emulator: V86Emulator): boolean {
  const cpu = processorOf(emulator);
  return isRecord(cpu) && isRecord(cpu["devices"]) && isRecord(cpu["devices"]["pci"]);
}

/**
 * The processor, after the test that all that is used of it is there. Throws GpuError ENOTSUP that names what is missing.
 */
export function openCpu(emulator: V86Emulator): V86Cpu {
  const cpu = processorOf(emulator);
  const missing = missingParts(cpu);
  if (missing.length === 0) return cpu as V86Cpu;
  throw new GpuError(
    "ENOTSUP",
    `this v86 is not one that a virtio-gpu can be attached to: it has no ${missing.join(", ")}; ` +
      `versions ${V86_VERSIONS.range} are supported, ${V86_VERSIONS.tested} is tested`,
  );
}

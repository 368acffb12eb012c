/**
 * A slot of v86's PCI bus with a virtio function in it: 256 I/O ports, and configuration space.
 *
 * v86 keeps base address registers and moves the ports where they say; everything else of configuration space is the
 * function's (masks of what can be written, the interrupt bit, bus mastering, the PCI_CFG window, resets), by wrappers
 * around the bus's accesses.
 */
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess, PciFunction } from "@virtgpu/core/virtio";
import { PCI_BARS, PciHeader } from "@virtgpu/core/wire";
import type { PciId, V86Cpu, V86Pci } from "./internals.ts";

/** Ports of the register block: all that PCI lets a base address register have. */
const PORTS = 256;
const CONFIG_BYTES = 256;
const IO_BAR_FLAG = 1;
const BARS_END = PciHeader.BAR_0 + 4 * PCI_BARS;

/** Where a function is put. */
export interface SlotPlace {
  /** 0 to 31, free. */
  readonly slot: number;
  /** The first port until the firmware moves it: a multiple of 256. */
  readonly port: number;
}

/** Runs an access of the guest: what it throws goes no further, and the answer is `otherwise` then. */
export type AccessGuard = <T>(access: () => T, otherwise: T) => T;

/** See the file's head. */
export class V86PciSlot {
  readonly id: PciId;
  readonly #pci: V86Pci;
  readonly #function: PciFunction;
  readonly #guard: AccessGuard;

  /** Plugs the function in. Throws GpuError EINVAL for a place that is taken or can't be. */
  constructor(cpu: V86Cpu, pciFunction: PciFunction, place: SlotPlace, guard: AccessGuard) {
    this.#pci = cpu.devices.pci;
    this.#function = pciFunction;
    this.#guard = guard;
    this.id = checkPlace(this.#pci, place);
    const registers = pciFunction.block(0);
    if (registers === null || pciFunction.barBytes(0) !== PORTS) {
      throw new GpuError("EINVAL", "the function's registers do not lie in 256 I/O ports");
    }
    const device = {
      name: "virtio-gpu",
      pci_id: this.id,
      pci_space: this.#initialSpace(place.port),
      pci_bars: [{ size: PORTS }],
    };
    // The bus takes note of the handlers when the device is registered: they come first.
    this.#registerPorts(cpu, device, place.port, registers);
    this.#pci.register_device(device);
    this.#wrapConfiguration();
  }

  #initialSpace(port: number): number[] {
    const { config } = this.#function;
    const bytes = Array.from({ length: CONFIG_BYTES }, (_, offset) => config.read8(offset));
    bytes[PciHeader.BAR_0] = IO_BAR_FLAG;
    bytes[PciHeader.BAR_0 + 1] = port >> 8;
    return bytes;
  }

  #registerPorts({ io }: V86Cpu, device: object, first: number, registers: BusAccess): void {
    const guard = this.#guard;
    for (let offset = 0; offset < PORTS; offset += 1) {
      io.register_read(
        first + offset,
        device,
        () => guard(() => registers.read8(offset), 0xff),
        () => guard(() => registers.read16(offset), 0xffff),
        () => guard(() => registers.read32(offset), -1) | 0,
      );
      io.register_write(
        first + offset,
        device,
        (value) => guard(() => registers.write8(offset, value), undefined),
        (value) => guard(() => registers.write16(offset, value), undefined),
        (value) => guard(() => registers.write32(offset, value), undefined),
      );
    }
  }

  /**
   * v86's copy of configuration space need only be right where it is looked at, and each look begins with the address
   * register. (So a write of the PCI_CFG window's data is preceded by a read of it, which disturbs nothing but ISR.)
   */
  #wrapConfiguration(): void {
    const pci = this.#pci;
    const { config } = this.#function;
    const query = pci.pci_query.bind(pci);
    pci.pci_query = () => {
      const [offset = 0, slot = 0, bus = 0] = pci.pci_addr;
      if ((bus << 8) + slot === this.id) this.#guard(() => this.#beforeRead(offset & 0xfc), undefined);
      query();
    };
    this.#wrapWrite("pci_write8", (offset, value) => config.write8(offset, value & 0xff));
    this.#wrapWrite("pci_write16", (offset, value) => config.write16(offset, value & 0xffff));
    this.#wrapWrite("pci_write32", (offset, value) => config.write32(offset, value >>> 0));
  }

  #wrapWrite(name: "pci_write8" | "pci_write16" | "pci_write32", write: (offset: number, value: number) => void): void {
    const pci = this.#pci;
    const original = pci[name].bind(pci);
    pci[name] = (address, value) => {
      const offset = address & 0xff;
      const isOurs = ((address >>> 8) & 0xffff) === this.id;
      if (!isOurs || (offset >= PciHeader.BAR_0 && offset < BARS_END)) {
        original(address, value);
        return;
      }
      this.#guard(() => write(offset, value), undefined);
    };
  }

  #beforeRead(offset: number): void {
    const space = this.#pci.device_spaces[this.id];
    if (space === undefined || (offset >= PciHeader.BAR_0 && offset < BARS_END)) return;
    space[offset >> 2] = this.#function.config.read32(offset);
  }
}

function checkPlace(pci: V86Pci, { slot, port }: SlotPlace): PciId {
  if (!Number.isInteger(slot) || slot < 0 || slot > 31) {
    throw new GpuError("EINVAL", `a slot of the PCI bus is a number from 0 to 31, not ${slot}`);
  }
  const id = slot << 3;
  if (pci.devices[id] !== undefined) throw new GpuError("EINVAL", `slot ${slot} of the PCI bus is taken`);
  if (!Number.isInteger(port) || port < 0x1000 || port > 0xff00 || port % PORTS !== 0) {
    throw new GpuError("EINVAL", `the first port is a multiple of 256 from 0x1000 to 0xff00, not ${port}`);
  }
  return id;
}

/**
 * A PC's PCI bus without firmware: configuration cycles through ports 0xcf8/0xcfc, a scan of bus 0 and of what lies
 * behind its bridges, and the assignment of bus numbers, bridge windows and BARs (PCI Local Bus 3.0 section 6.2.5,
 * PCI-to-PCI Bridge 1.2 section 3.2). It is the part of firmware that a guest finds done.
 */
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess, PciFunctionAccess } from "@virtgpu/core/virtio";
import { pciCapability, resetFunction } from "../pci-resets.ts";
import { busAccess, memoryAccess, portAccess, type QtestChannel } from "./qtest-channel.ts";

const CONFIG_ADDRESS_PORT = 0xcf8;
const CONFIG_DATA_PORT = 0xcfc;
const VENDOR_ID = 0x00;
const COMMAND = 0x04;
const HEADER_TYPE = 0x0e;
const BAR_0 = 0x10;
const BUS_NUMBERS = 0x18;
const IO_WINDOW = 0x1c;
const MEMORY_WINDOW = 0x20;
const PREFETCH_WINDOW = 0x24;
const PREFETCH_BASE_HIGH = 0x28;
const PREFETCH_LIMIT_HIGH = 0x2c;
const BRIDGE_CONTROL = 0x3e;

const COMMAND_IO = 1;
const COMMAND_MEMORY = 2;
const COMMAND_MASTER = 4;
const BRIDGE_SECONDARY_RESET = 0x40;

/** Free memory space of QEMU's q35 and pc below the chipset's own registers, and free ports. */
const MEMORY_START = 0xe0000000;
const MEMORY_END = 0xfe000000;
const PORTS_START = 0xc000;
/** Each bridge gets this much for ordinary and as much for prefetchable BARs. */
const BRIDGE_WINDOW_BYTES = 32 << 20;

/** Where a function sits. */
export interface PciAddress {
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

/** A base address register with its place. */
interface Bar {
  readonly index: number;
  readonly kind: "memory" | "ports";
  readonly wide: boolean;
  readonly address: number;
}

/** A bridge with the bus behind it and its windows. */
interface Bridge {
  readonly address: PciAddress;
  readonly bus: number;
  readonly memory: Allocator;
  readonly prefetch: Allocator;
}

/** Hands out naturally aligned ranges of address space, upwards. */
class Allocator {
  readonly start: number;
  readonly end: number;
  #next: number;

  constructor(start: number, end: number) {
    this.start = start;
    this.end = end;
    this.#next = start;
  }

  take(byteLength: number): number {
    const address = Math.ceil(this.#next / byteLength) * byteLength;
    if (address + byteLength > this.end) {
      throw new GpuError("ENOMEM", `no room on the PCI bus for a BAR of ${byteLength} bytes`);
    }
    this.#next = address + byteLength;
    return address;
  }
}

/** One function, with its BARs assigned. */
export class PciFunction implements PciFunctionAccess {
  readonly label: string;
  readonly address: PciAddress;
  readonly config: BusAccess;
  /** QEMU's interrupts are not taken from the qtest stream: the driver polls. */
  readonly interrupts: null = null;
  readonly #channel: QtestChannel;
  readonly #bars: readonly Bar[];
  readonly #bridge: { readonly config: BusAccess; open(): void } | null;

  constructor(
    channel: QtestChannel,
    address: PciAddress,
    config: BusAccess,
    bars: readonly Bar[],
    bridge: { readonly config: BusAccess; open(): void } | null,
  ) {
    const part = (value: number): string => value.toString(16).padStart(2, "0");
    this.label = `0000:${part(address.bus)}:${part(address.device)}.${address.function}`;
    this.address = address;
    this.config = config;
    this.#channel = channel;
    this.#bars = bars;
    this.#bridge = bridge;
  }

  /** BAR `index` as registers; null where there is none. */
  bar(index: number): BusAccess | null {
    const bar = this.#bars.find((candidate) => candidate.index === index);
    if (bar === undefined) return null;
    return bar.kind === "memory" ? memoryAccess(this.#channel, bar.address) : portAccess(this.#channel, bar.address);
  }

  /** Null: another process's memory. */
  barView(): null {
    return null;
  }

  /** Writes the BARs and, where there is one, the bridge's bus numbers and windows as they were first assigned. */
  assignBars(): void {
    this.#bridge?.open();
    for (const bar of this.#bars) {
      this.config.write32(BAR_0 + 4 * bar.index, bar.address);
      if (bar.wide) this.config.write32(BAR_0 + 4 * bar.index + 4, 0);
    }
  }

  /** The offset of a capability in configuration space; 0 when there is none. */
  capability(id: number): number {
    return pciCapability(this.config, id);
  }

  /** Whether it lies behind a bridge of its own. */
  get isBehindBridge(): boolean {
    return this.#bridge !== null;
  }

  /** Resets the function through its PCI Express capability. Throws GpuError ENOTSUP where it has none. */
  functionLevelReset(): void {
    resetFunction(this.config, this.label);
  }

  /** Resets all that lies behind the function's bridge. Throws GpuError ENOTSUP where it has none. */
  secondaryBusReset(): void {
    const bridge = this.#bridge;
    if (bridge === null) throw new GpuError("ENOTSUP", "the device is behind no bridge", { device: this.label });
    const control = bridge.config.read16(BRIDGE_CONTROL);
    bridge.config.write16(BRIDGE_CONTROL, control | BRIDGE_SECONDARY_RESET);
    bridge.config.write16(BRIDGE_CONTROL, control & ~BRIDGE_SECONDARY_RESET);
  }
}

/** The bus of one machine. Scanning it assigns everything that is found. */
export class PciBus {
  readonly #channel: QtestChannel;
  readonly #memory = new Allocator(MEMORY_START, MEMORY_END);
  readonly #ports = new Allocator(PORTS_START, 0xffff);
  #buses = 1;

  constructor(channel: QtestChannel) {
    this.#channel = channel;
  }

  /** Configuration space (256 bytes) of a function, present or not. */
  config(address: PciAddress): BusAccess {
    const selector = 0x80000000 + ((address.bus << 16) | (address.device << 11) | (address.function << 8));
    const select = (offset: number): number => {
      this.#channel.writePort(CONFIG_ADDRESS_PORT, 4, selector + (offset & 0xfc));
      return CONFIG_DATA_PORT + (offset & 3);
    };
    return busAccess(
      (offset, width) => this.#channel.readPort(select(offset), width),
      (offset, width, value) => this.#channel.writePort(select(offset), width, value),
    );
  }

  /** All functions with this vendor and device id, in bus order, also behind bridges; BARs assigned. */
  find(vendor: number, device: number): readonly PciFunction[] {
    const wanted = (device << 16) | vendor;
    return this.#scan(0, null, wanted >>> 0);
  }

  #scan(bus: number, bridge: Bridge | null, wanted: number): PciFunction[] {
    const found: PciFunction[] = [];
    // Behind a root port there is device 0 alone; QEMU's conventional bridges have 32.
    for (let device = 0; device < 32; device += 1) {
      const address = { bus, device, function: 0 };
      const config = this.config(address);
      const id = config.read32(VENDOR_ID);
      if (id === 0xffffffff) continue;
      if (id === wanted) found.push(this.#claim(address, bridge));
      else if ((config.read8(HEADER_TYPE) & 0x7f) === 1) found.push(...this.#descend(address, bridge, wanted));
    }
    return found;
  }

  /** Numbers the bus behind a bridge of bus 0 and looks there. Bridges behind bridges are left closed. */
  #descend(address: PciAddress, parent: Bridge | null, wanted: number): PciFunction[] {
    if (parent !== null) return [];
    const bus = this.#buses;
    this.#buses += 1;
    const memory = this.#memory.take(BRIDGE_WINDOW_BYTES);
    const prefetch = this.#memory.take(BRIDGE_WINDOW_BYTES);
    const bridge = {
      address,
      bus,
      memory: new Allocator(memory, memory + BRIDGE_WINDOW_BYTES),
      prefetch: new Allocator(prefetch, prefetch + BRIDGE_WINDOW_BYTES),
    };
    this.#openBridge(bridge);
    return this.#scan(bus, bridge, wanted);
  }

  #openBridge({ address, bus, memory, prefetch }: Bridge): void {
    const config = this.config(address);
    config.write32(BUS_NUMBERS, (bus << 16) | (bus << 8) | address.bus);
    config.write16(IO_WINDOW, 0x00f0);
    config.write32(MEMORY_WINDOW, windowRegister(memory));
    config.write32(PREFETCH_WINDOW, windowRegister(prefetch));
    config.write32(PREFETCH_BASE_HIGH, 0);
    config.write32(PREFETCH_LIMIT_HIGH, 0);
    config.write16(COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
  }

  #claim(address: PciAddress, bridge: Bridge | null): PciFunction {
    const config = this.config(address);
    const bars = this.#sizeBars(config, bridge);
    const above =
      bridge === null ? null : { config: this.config(bridge.address), open: (): void => this.#openBridge(bridge) };
    const claimed = new PciFunction(this.#channel, address, config, bars, above);
    claimed.assignBars();
    return claimed;
  }

  /** Sizes each BAR by writing ones to it, with decoding off meanwhile, and reserves its place. */
  #sizeBars(config: BusAccess, bridge: Bridge | null): readonly Bar[] {
    config.write16(COMMAND, config.read16(COMMAND) & ~(COMMAND_IO | COMMAND_MEMORY));
    const bars: Bar[] = [];
    for (let index = 0; index < 6; index += 1) {
      const register = BAR_0 + 4 * index;
      config.write32(register, 0xffffffff);
      const mask = config.read32(register);
      if (mask === 0) continue;
      const kind = (mask & 1) === 1 ? "ports" : "memory";
      const wide = kind === "memory" && (mask & 6) === 4;
      const sizeBits = kind === "ports" ? (mask & 0xfffc) | 0xffff0000 : mask & 0xfffffff0;
      const byteLength = (~sizeBits >>> 0) + 1;
      bars.push({ index, kind, wide, address: this.#place(kind, (mask & 8) === 8, byteLength, bridge) });
      if (wide) index += 1;
    }
    return bars;
  }

  #place(kind: Bar["kind"], isPrefetchable: boolean, byteLength: number, bridge: Bridge | null): number {
    if (kind === "ports") return this.#ports.take(byteLength);
    if (bridge === null) return this.#memory.take(byteLength);
    return (isPrefetchable ? bridge.prefetch : bridge.memory).take(byteLength);
  }
}

/** Base and limit of a bridge's memory window, in units of 1 MiB. */
function windowRegister(window: Allocator): number {
  const base = (window.start >>> 16) & 0xfff0;
  const limit = ((window.end - 1) >>> 16) & 0xfff0;
  return ((limit << 16) | base) >>> 0;
}

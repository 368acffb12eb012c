/**
 * A real QEMU's virtio-gpu for the {@link RingGuest}: PCI capabilities and common configuration by hand, without the
 * core's transport (VIRTIO 1.2 sections 3.1, 4.1.4).
 */
import { GpuError } from "@virtgpu/core/base";
import type { BusAccess } from "@virtgpu/core/virtio";
import type { PciFunction } from "../hosts/qemu/pci-bus.ts";
import type { QemuHost } from "../hosts/qemu/qemu-host.ts";
import type { RamFile } from "../hosts/qemu/ram-file.ts";
import type { GuestPort, PortQueue, QueueIndex } from "./ring-guest.ts";

/** Status bits: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK. */
const STATUS_STEPS = [1, 3, 11] as const;
const DRIVER_OK = 15;

const VENDOR_CAPABILITY = 9;

interface Registers {
  readonly common: BusAccess;
  readonly device: BusAccess;
  readonly notify: BusAccess;
  readonly notifyMultiplier: number;
}

/** A register block that begins `base` bytes into another. */
function at(access: BusAccess, base: number): BusAccess {
  return {
    read8: (offset) => access.read8(base + offset),
    read16: (offset) => access.read16(base + offset),
    read32: (offset) => access.read32(base + offset),
    write8: (offset, value) => access.write8(base + offset, value),
    write16: (offset, value) => access.write16(base + offset, value),
    write32: (offset, value) => access.write32(base + offset, value),
  };
}

function findRegisters(pci: PciFunction): Registers {
  const blocks = new Map<number, BusAccess>();
  let notifyMultiplier = 0;
  for (let offset = pci.config.read8(0x34); offset !== 0; offset = pci.config.read8(offset + 1)) {
    if (pci.config.read8(offset) !== VENDOR_CAPABILITY) continue;
    const kind = pci.config.read8(offset + 3);
    const bar = pci.bar(pci.config.read8(offset + 4));
    if (bar !== null && !blocks.has(kind)) blocks.set(kind, at(bar, pci.config.read32(offset + 8)));
    if (kind === 2) notifyMultiplier = pci.config.read32(offset + 16);
  }
  const [common, notify, device] = [blocks.get(1), blocks.get(2), blocks.get(4)];
  if (common === undefined || notify === undefined || device === undefined) {
    throw new GpuError("ENODEV", "no modern virtio device");
  }
  return { common, notify, device, notifyMultiplier };
}

/** See the file's head. Made for a freshly started QEMU; after a restart of the host, make another. */
export class QemuPort implements GuestPort {
  readonly ram: RamFile;
  readonly #registers: Registers;

  constructor(host: QemuHost) {
    const { pci } = host.device;
    if (pci === null) throw new GpuError("ENODEV", "not a PCI device");
    this.ram = host.ram;
    pci.assignBars();
    // Memory decoding and bus mastering.
    pci.config.write16(4, 6);
    this.#registers = findRegisters(pci);
  }

  /** Device configuration space. */
  get config(): BusAccess {
    return this.#registers.device;
  }

  /** The features the device offers. */
  offered(): bigint {
    const { common } = this.#registers;
    const half = (select: number): bigint => {
      common.write32(0, select);
      return BigInt(common.read32(4));
    };
    return half(0) | (half(1) << 32n);
  }

  bringUp(features: bigint, queues: readonly PortQueue[]): void {
    const { common } = this.#registers;
    common.write8(20, 0);
    while (common.read8(20) !== 0);
    common.write8(20, STATUS_STEPS[0]);
    common.write8(20, STATUS_STEPS[1]);
    for (const select of [0, 1]) {
      common.write32(8, select);
      common.write32(12, Number((features >> BigInt(32 * select)) & 0xffffffffn));
    }
    common.write8(20, STATUS_STEPS[2]);
    if (common.read8(20) !== STATUS_STEPS[2]) throw new GpuError("EPROTO", "the device refused the features");
    for (const [index, queue] of queues.entries()) this.#enable(index, queue);
    common.write8(20, DRIVER_OK);
  }

  notify(queue: QueueIndex): void {
    this.#registers.notify.write16(queue * this.#registers.notifyMultiplier, queue);
  }

  status(): number {
    return this.#registers.common.read8(20);
  }

  resetQueue(queue: QueueIndex, as: PortQueue): void {
    const { common } = this.#registers;
    common.write16(22, queue);
    common.write16(58, 1);
    while (common.read16(58) !== 0);
    this.#enable(queue, as);
  }

  #enable(index: number, { size, descriptors, available, used }: PortQueue): void {
    const { common } = this.#registers;
    common.write16(22, index);
    common.write16(24, size);
    for (const [part, address] of [descriptors, available, used].entries()) {
      common.write32(32 + 8 * part, address);
      common.write32(36 + 8 * part, 0);
    }
    common.write16(28, 1);
  }
}

/**
 * The smallest guest that can talk to a virtio-gpu PCI device: split rings at fixed addresses, one request at a time,
 * busy waiting. It shares nothing with the core's driver, transport and rings, so that neither can hide the other's
 * mistakes (VIRTIO 1.2 sections 2.7, 3.1, 4.1.4).
 */
import type { BusAccess } from "@virtgpu/core/virtio";
import type { PciFunction } from "../../src/hosts/qemu/pci-bus.ts";
import type { QemuHost } from "../../src/hosts/qemu/qemu-host.ts";
import type { RamFile } from "../../src/hosts/qemu/ram-file.ts";
import { NO_FENCE, type RawCommand, type RawFence, replyCapacity, requestBytes, words } from "./raw-commands.ts";

const QUEUE_SIZE = 16;
/** Addresses in guest RAM: rings, one request, one reply. Memory from {@link FREE_MEMORY} on is the test's. */
const RINGS = 0x100000;
const RING_BYTES = 0x3000;
const REQUEST = 0x110000;
const REPLY = 0x180000;
export const FREE_MEMORY = 0x200000;

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
  if (common === undefined || notify === undefined || device === undefined) throw new Error("no modern virtio device");
  return { common, notify, device, notifyMultiplier };
}

/** See the file's head. */
export class RawGpu {
  readonly ram: RamFile;
  readonly #registers: Registers;
  readonly #used = [0, 0];

  constructor(host: QemuHost) {
    const { pci } = host.device;
    if (pci === null) throw new Error("not a PCI device");
    this.ram = host.ram;
    pci.assignBars();
    pci.config.write16(4, 6);
    this.#registers = findRegisters(pci);
    this.reset();
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

  /** Resets the device and brings it up with VERSION_1 and EDID and both queues. */
  reset(): void {
    const { common } = this.#registers;
    common.write8(20, 0);
    while (common.read8(20) !== 0);
    common.write8(20, STATUS_STEPS[0]);
    common.write8(20, STATUS_STEPS[1]);
    for (const [select, bits] of [2, 1].entries()) {
      common.write32(8, select);
      common.write32(12, bits);
    }
    common.write8(20, STATUS_STEPS[2]);
    if (common.read8(20) !== STATUS_STEPS[2]) throw new Error("the device refused the features");
    for (const queue of [0, 1]) this.#enableQueue(queue);
    common.write8(20, DRIVER_OK);
  }

  status(): number {
    return this.#registers.common.read8(20);
  }

  /** Sends one command and gives exactly the bytes that the device says it wrote. */
  execute(command: RawCommand, fence: RawFence = NO_FENCE): Uint8Array {
    const queue = command.command === "update_cursor" || command.command === "move_cursor" ? 1 : 0;
    return this.send(queue, requestBytes(command, fence), replyCapacity(command));
  }

  /** Sends any bytes, with a reply buffer of `capacity` bytes, or without one if that is 0. */
  send(queue: 0 | 1, request: Uint8Array, capacity: number): Uint8Array {
    const base = RINGS + queue * RING_BYTES;
    this.ram.writeAt(REQUEST, request);
    this.ram.writeAt(REPLY, new Uint8Array(capacity).fill(0xaa));
    const flags = capacity === 0 ? 0 : (1 << 16) | 1;
    const descriptors = [REQUEST, 0, request.length, flags, REPLY, 0, capacity, 2];
    this.ram.writeAt(base, Uint8Array.from(words(descriptors)));
    const before = this.#used[queue] ?? 0;
    const next = (before + 1) & 0xffff;
    this.#used[queue] = next;
    this.#write16(base + 0x1000 + 4 + 2 * (before % QUEUE_SIZE), 0);
    this.#write16(base + 0x1000 + 2, next);
    this.#registers.notify.write16(queue * this.#registers.notifyMultiplier, queue);
    this.#await(base, next);
    const element = new Uint8Array(8);
    this.ram.readAt(base + 0x2000 + 4 + 8 * (before % QUEUE_SIZE), element);
    const reply = new Uint8Array(new Uint32Array(element.buffer)[1] ?? 0);
    this.ram.readAt(REPLY, reply);
    return reply;
  }

  /** Busy: each look costs a system call, and one register read now and then finds a dead QEMU. */
  #await(base: number, index: number): void {
    const word = new Uint8Array(2);
    for (let looks = 0; ; looks += 1) {
      this.ram.readAt(base + 0x2002, word);
      if ((word[0] ?? 0) + 256 * (word[1] ?? 0) === index) return;
      if (looks % 1000 === 999 && (this.status() & 0x40) !== 0) throw new Error("the device needs a reset");
      if (looks > 2_000_000) throw new Error("the device does not answer");
    }
  }

  #write16(address: number, value: number): void {
    this.ram.writeAt(address, Uint8Array.of(value & 0xff, value >> 8));
  }

  #enableQueue(queue: number): void {
    const { common } = this.#registers;
    const base = RINGS + queue * RING_BYTES;
    this.ram.writeAt(base, new Uint8Array(RING_BYTES));
    this.#used[queue] = 0;
    common.write16(22, queue);
    common.write16(24, QUEUE_SIZE);
    for (const [index, address] of [base, base + 0x1000, base + 0x2000].entries()) {
      common.write32(32 + 8 * index, address);
      common.write32(36 + 8 * index, 0);
    }
    common.write16(28, 1);
  }
}

/**
 * What a PCI function says about itself: its capability list (PCI Local Bus 3.0 section 6.7) and in it where virtio's
 * structures lie (VIRTIO 1.2 section 4.1.4). The list is the device's word: it may loop, point anywhere, or lie.
 *
 * As the specification asks, capabilities with a reserved type or BAR are ignored, and of several of a type the first
 * that can be used counts. One of a known type that can't be right is a broken device: GpuError EPROTO.
 */
import { GpuError } from "../../base/errors.ts";
import {
  CommonConfig,
  PCI_BARS,
  PciCap,
  PciCapId,
  PciHeader,
  PciMsix,
  PciMsixControl,
  PciStatus,
  VirtioCap,
  VirtioCapType,
} from "../../wire/pci.ts";
import { joinU64 } from "../../wire/words.ts";
import type { BusAccess } from "../bus-access.ts";

const CONFIG_BYTES = 256;
/** A list of four-byte capabilities can't be longer. */
const CAPABILITIES_MAX = (CONFIG_BYTES - PciHeader.BYTES) / 4;
const TWO_32 = 2 ** 32;

/** Part of a BAR, as a capability names it. Whether the BAR is that large is not known here. */
export interface BarRegion {
  readonly bar: number;
  readonly offset: number;
  readonly byteLength: number;
}

/** A notification region: queue `n` is notified at `queue_notify_off * multiplier`. */
export interface NotifyRegion extends BarRegion {
  readonly multiplier: number;
}

/** What was found, in the order of the list; the first that can be used counts. */
export interface PciCapabilities {
  readonly common: readonly BarRegion[];
  readonly notify: readonly NotifyRegion[];
  readonly isr: readonly BarRegion[];
  readonly device: readonly BarRegion[];
  /** Shared memory regions by id. */
  readonly sharedMemory: ReadonlyMap<number, BarRegion>;
  /** Offsets in configuration space; null where there is none. */
  readonly window: number | null;
  readonly power: number | null;
  readonly msix: number | null;
}

/** Reads the capability list. Throws GpuError ENODEV when nothing answers, EPROTO when the list is broken. */
export function readPciCapabilities(config: BusAccess, label: string): PciCapabilities {
  const found = {
    common: [] as BarRegion[],
    notify: [] as NotifyRegion[],
    isr: [] as BarRegion[],
    device: [] as BarRegion[],
    sharedMemory: new Map<number, BarRegion>(),
    window: null as number | null,
    power: null as number | null,
    msix: null as number | null,
  };
  for (const { id, offset } of walk(config, label)) {
    if (id === PciCapId.POWER_MANAGEMENT) found.power ??= offset;
    if (id === PciCapId.MSIX) found.msix ??= offset;
    if (id !== PciCapId.VENDOR) continue;
    const capability = new VendorCapability(config, offset, label);
    switch (capability.type) {
      case VirtioCapType.COMMON:
        addIfPresent(found.common, capability.region(CommonConfig.BYTES_BASE, 4));
        break;
      case VirtioCapType.NOTIFY:
        addIfPresent(found.notify, capability.notifyRegion());
        break;
      case VirtioCapType.ISR:
        addIfPresent(found.isr, capability.region(1, 1));
        break;
      case VirtioCapType.DEVICE:
        addIfPresent(found.device, capability.region(4, 4));
        break;
      case VirtioCapType.PCI_ACCESS:
        capability.needs(VirtioCap.PCI_ACCESS_BYTES);
        found.window ??= offset;
        break;
      case VirtioCapType.SHARED_MEMORY: {
        const region = capability.sharedMemoryRegion();
        if (region !== null && !found.sharedMemory.has(capability.regionId)) {
          found.sharedMemory.set(capability.regionId, region);
        }
        break;
      }
      default:
        break;
    }
  }
  return found;
}

/** How many vectors the MSI-X capability at `offset` has. */
export function msixVectors(config: BusAccess, offset: number): number {
  return (config.read16(offset + PciMsix.CONTROL) & PciMsixControl.SIZE_MASK) + 1;
}

/** All capabilities, in the order of the list. */
function walk(config: BusAccess, label: string): readonly { readonly id: number; readonly offset: number }[] {
  if (config.read16(PciHeader.VENDOR_ID) === 0xffff) {
    throw new GpuError("ENODEV", "no PCI function answers", { device: label });
  }
  if ((config.read16(PciHeader.STATUS) & PciStatus.CAPABILITIES) === 0) return [];
  const found: { readonly id: number; readonly offset: number }[] = [];
  let offset = config.read8(PciHeader.CAPABILITIES) & ~3;
  while (offset !== 0) {
    if (offset < PciHeader.BYTES) throw broken(label, offset, "lies inside the header");
    if (found.length >= CAPABILITIES_MAX) throw broken(label, offset, "is one too many: the list is a loop");
    found.push({ id: config.read8(offset + PciCap.ID), offset });
    offset = config.read8(offset + PciCap.NEXT) & ~3;
  }
  return found;
}

function addIfPresent<T>(list: T[], region: T | null): void {
  if (region !== null) list.push(region);
}

function broken(label: string, offset: number, what: string): GpuError {
  return new GpuError("EPROTO", `the capability at 0x${offset.toString(16)} ${what}`, { device: label });
}

/** One vendor capability (`struct virtio_pci_cap`), each field read once. */
class VendorCapability {
  readonly type: number;
  readonly regionId: number;
  readonly #label: string;
  readonly #at: number;
  readonly #config: BusAccess;
  readonly #capBytes: number;
  readonly #bar: number;
  readonly #offset: number;
  readonly #length: number;

  constructor(config: BusAccess, at: number, label: string) {
    this.#config = config;
    this.#at = at;
    this.#label = label;
    this.#capBytes = config.read8(at + VirtioCap.LENGTH_OF_CAP);
    const whole = this.#capBytes >= VirtioCap.BYTES && at + this.#capBytes <= CONFIG_BYTES;
    this.type = config.read8(at + VirtioCap.CFG_TYPE);
    if (isKnown(this.type) && !whole) throw broken(label, at, `has ${this.#capBytes} bytes`);
    this.regionId = whole ? config.read8(at + VirtioCap.REGION_ID) : 0;
    this.#bar = whole ? config.read8(at + VirtioCap.BAR) : PCI_BARS;
    this.#offset = whole ? config.read32(at + VirtioCap.OFFSET) : 0;
    this.#length = whole ? config.read32(at + VirtioCap.LENGTH) : 0;
  }

  /** Demands that the capability itself has so many bytes. */
  needs(byteLength: number): void {
    if (this.#capBytes < byteLength) throw broken(this.#label, this.#at, `has ${this.#capBytes} bytes`);
  }

  /** The region, or null where the BAR's number is a reserved one. */
  region(byteLengthMin: number, alignment: number): BarRegion | null {
    if (this.#bar >= PCI_BARS) return null;
    return this.#checked(this.#offset, this.#length, byteLengthMin, alignment, TWO_32);
  }

  notifyRegion(): NotifyRegion | null {
    this.needs(VirtioCap.NOTIFY_BYTES);
    const region = this.region(2, 2);
    if (region === null) return null;
    const multiplier = this.#config.read32(this.#at + VirtioCap.NOTIFY_MULTIPLIER);
    // 0, or an even power of 2 (4.1.4.4): what is odd would misalign the register.
    if (multiplier === 1 || (multiplier & (multiplier - 1)) !== 0) {
      throw broken(this.#label, this.#at, `has ${multiplier} as its notify multiplier`);
    }
    return { ...region, multiplier };
  }

  /** Null also for an empty region. */
  sharedMemoryRegion(): BarRegion | null {
    this.needs(VirtioCap.BYTES_64);
    if (this.#bar >= PCI_BARS) return null;
    const offset = joinU64(this.#offset, this.#config.read32(this.#at + VirtioCap.OFFSET_HIGH));
    const byteLength = joinU64(this.#length, this.#config.read32(this.#at + VirtioCap.LENGTH_HIGH));
    return byteLength === 0 ? null : this.#checked(offset, byteLength, 1, 1, Number.MAX_SAFE_INTEGER);
  }

  #checked(offset: number, byteLength: number, least: number, alignment: number, end: number): BarRegion {
    const region = `${byteLength} bytes at 0x${offset.toString(16)} of BAR ${this.#bar}`;
    if (byteLength < least) throw broken(this.#label, this.#at, `names ${region}: ${least} are the least`);
    if (offset % alignment !== 0) throw broken(this.#label, this.#at, `names ${region}: not aligned to ${alignment}`);
    if (!(offset + byteLength <= end)) throw broken(this.#label, this.#at, `names ${region}: no BAR is that large`);
    return { bar: this.#bar, offset, byteLength };
  }
}

function isKnown(type: number): boolean {
  return Object.values(VirtioCapType).some((known) => known === type) && type !== VirtioCapType.VENDOR;
}

/**
 * Where a virtio PCI function keeps what: its BARs, and virtio's structures in them (VIRTIO 1.2 section 4.1.4). With
 * memory BARs this is QEMU's layout; with I/O ports all structures share the 256 ports that PCI allows a BAR.
 */
import { assert } from "../../base/assert.ts";
import { CommonConfig, PCI_BARS, PciBar } from "../../wire/pci.ts";
import { HIGH_WORD } from "../../wire/words.ts";
import type { VirtioDevice } from "../machinery/virtio-device.ts";

/** A function's registers lie in memory or in I/O ports. */
export type PciBarKind = "memory" | "io";

/** A structure's place in the register BAR. */
export interface StructurePlace {
  readonly offset: number;
  readonly byteLength: number;
}

/** A base address register, and what it leads to. */
export interface BarPlan {
  readonly index: number;
  /** A power of two. */
  readonly byteLength: number;
  /** The low bits that are no address. */
  readonly flags: number;
  readonly what: "registers" | "msix" | "shared-memory";
  /** Where a bus that nobody else enumerates puts it. */
  readonly address: number;
}

/** See the file's head. */
export interface FunctionLayout {
  readonly kind: PciBarKind;
  readonly bars: readonly BarPlan[];
  readonly registersBar: number;
  readonly common: StructurePlace;
  readonly notify: StructurePlace;
  readonly isr: StructurePlace;
  /** Null for a device without configuration. */
  readonly device: StructurePlace | null;
  /** Offsets of the shared memory regions in their BAR, in the model's order. */
  readonly sharedMemory: readonly number[];
}

/** Bytes from queue to queue in the notification structure. */
export const NOTIFY_MULTIPLIER = 4;
/** Where the pending bits lie in MSI-X's BAR; the table is at its start. */
export const MSIX_PENDING_OFFSET = 0x800;

const MSIX_BAR = 1;
const PAGE_BYTES = 4096;
const BUS_MEMORY = 0xfe00_0000;
const BUS_MEMORY_64 = 0x8_0000_0000;
const BUS_IO = 0xc000;
const MEMORY_PLACES = { notify: 0x3000, isr: 0x1000, device: 0x2000, room: 0x1000, byteLength: 0x4000 } as const;
const IO_PLACES = { notify: 0x40, isr: 0x80, device: 0xc0, room: 0x40, byteLength: 0x100 } as const;

/** The layout for a device. With I/O ports its shared memory can't be had. */
export function functionLayout(device: VirtioDevice, options: { kind: PciBarKind; msix: boolean }): FunctionLayout {
  const { kind, msix } = options;
  const places = kind === "io" ? IO_PLACES : MEMORY_PLACES;
  const notifyBytes = Math.max(1, device.queueCount) * NOTIFY_MULTIPLIER;
  assert(notifyBytes <= places.room, "the queues fit the notification structure");
  assert(device.configBytes <= places.room, "the configuration fits its structure");
  const regions = kind === "io" ? [] : device.model.sharedMemory;
  const sharedMemory: number[] = [];
  let sharedBytes = 0;
  for (const { bytes } of regions) {
    sharedMemory.push(sharedBytes);
    sharedBytes += Math.ceil(bytes.byteLength / PAGE_BYTES) * PAGE_BYTES;
  }
  const registersBar = kind === "io" ? 0 : sharedBytes > 0 ? 2 : 4;
  return {
    kind,
    bars: planBars(kind, { registersBar, registerBytes: places.byteLength, msix, sharedBytes }),
    registersBar,
    common: { offset: 0, byteLength: CommonConfig.BYTES },
    notify: { offset: places.notify, byteLength: notifyBytes },
    isr: { offset: places.isr, byteLength: 1 },
    device:
      device.configBytes === 0
        ? null
        : { offset: places.device, byteLength: Math.max(4, Math.ceil(device.configBytes / 4) * 4) },
    sharedMemory,
  };
}

function planBars(
  kind: PciBarKind,
  sizes: {
    readonly registersBar: number;
    readonly registerBytes: number;
    readonly msix: boolean;
    readonly sharedBytes: number;
  },
): readonly BarPlan[] {
  const { registersBar, registerBytes } = sizes;
  if (kind === "io") {
    return [{ index: 0, byteLength: registerBytes, flags: PciBar.IO, what: "registers", address: BUS_IO }];
  }
  const flags = PciBar.TYPE_64 | PciBar.PREFETCHABLE;
  const bars: BarPlan[] = [
    { index: registersBar, byteLength: registerBytes, flags, what: "registers", address: BUS_MEMORY_64 },
  ];
  if (sizes.msix) {
    bars.push({ index: MSIX_BAR, byteLength: PAGE_BYTES, flags: 0, what: "msix", address: BUS_MEMORY });
  }
  if (sizes.sharedBytes > 0) {
    const byteLength = 2 ** Math.ceil(Math.log2(sizes.sharedBytes));
    const address = Math.max(2 * BUS_MEMORY_64, byteLength);
    bars.push({ index: 4, byteLength, flags, what: "shared-memory", address });
  }
  return bars;
}

/** What stands in the six base address registers, and which of their bits take writes. */
export interface BarRegisters {
  readonly initial: Uint32Array;
  readonly writable: Uint32Array;
}

/** The registers of these BARs, unassigned. The address bits below a BAR's size are what tells its size: they stay 0. */
export function barRegisters(bars: readonly BarPlan[]): BarRegisters {
  const initial = new Uint32Array(PCI_BARS);
  const writable = new Uint32Array(PCI_BARS);
  for (const { index, byteLength, flags } of bars) {
    initial[index] = flags;
    writable[index] = byteLength >= HIGH_WORD ? 0 : HIGH_WORD - byteLength;
    if ((flags & PciBar.IO) === 0 && (flags & PciBar.TYPE_MASK) === PciBar.TYPE_64) {
      writable[index + 1] = 0xffff_ffff - Math.floor((byteLength - 1) / HIGH_WORD);
    }
  }
  return { initial, writable };
}

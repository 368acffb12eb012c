/**
 * What the configuration space of a virtio PCI function holds (PCI Local Bus 3.0 section 6, PCI Power Management 1.2
 * section 3, PCI Express 4.0 section 7.5.3, VIRTIO 1.2 sections 4.1.2 and 4.1.4).
 */
import {
  PCI_BARS,
  PciCapId,
  PciCommand,
  PciHeader,
  PciMsix,
  PciPm,
  PciPmcsr,
  PciStatus,
  VIRTIO_PCI_DEVICE_ID_BASE,
  VIRTIO_PCI_VENDOR_ID,
  VirtioCap,
  VirtioCapType,
} from "../../wire/pci.ts";
import { highWord, lowWord } from "../../wire/words.ts";
import type { VirtioDevice } from "../machinery/virtio-device.ts";
import { FunctionConfig } from "./function-config.ts";
import {
  type FunctionLayout,
  MSIX_PENDING_OFFSET,
  NOTIFY_MULTIPLIER,
  type StructurePlace,
  barRegisters,
} from "./function-layout.ts";

const REVISION = 1;
/** Display controller, other. */
const CLASS_DISPLAY_OTHER = 0x038000;
const SUBSYSTEM_ID = 0x1100;
const INTERRUPT_PIN_A = 1;
const PM_VERSION = 3;
/** PMCSR has two bytes. */
const PMCSR_WRITABLE = PciPmcsr.STATE_MASK;

/** The PCI Express capability, version 2, of an endpoint that is part of the root complex: it has no link. */
const Express = {
  BYTES: 60,
  FLAGS: 2,
  DEVICE_CAPABILITIES: 4,
  DEVICE_CONTROL: 8,
  VERSION: 2,
  ROOT_COMPLEX_ENDPOINT: 9 << 4,
  /** In the device capabilities: errors are told by role, and the function can be reset. */
  ROLE_BASED_ERRORS: 1 << 15,
  FUNCTION_LEVEL_RESET: 1 << 28,
  /** In the device control: what drivers set, and may read back. */
  CONTROL_WRITABLE: 0x7fff,
  /** In the device control: resets the function. Reads 0. */
  INITIATE_RESET: 0x8000,
} as const;

/** The capability for conventional functions that can be reset. */
const AdvancedFeatures = { ID: 0x13, BYTES: 6, LENGTH: 2, CAPABILITIES: 3, CONTROL: 4, PENDING_AND_RESET: 3 } as const;

/** Offsets of what has effects when written. Null: the function has none. */
export interface FunctionConfigPlaces {
  readonly power: number | null;
  readonly msix: number | null;
  /** The byte, and its bit, that resets the function when written as 1. */
  readonly resetByte: number;
  readonly resetBit: number;
  readonly window: number;
}

/** The configuration space of a function, unsealed, and its places. */
export function buildFunctionConfig(
  device: VirtioDevice,
  layout: FunctionLayout,
  options: {
    readonly vectors: number;
    readonly express: boolean;
    readonly powerManagement: boolean;
    readonly noSoftReset: boolean;
  },
): { readonly config: FunctionConfig; readonly places: FunctionConfigPlaces } {
  const config = new FunctionConfig(options.express);
  defineHeader(config, device, layout);
  const power = options.powerManagement ? addPowerManagement(config, options.noSoftReset) : null;
  const reset = options.express ? addExpress(config) : addAdvancedFeatures(config);
  const msix = options.vectors > 0 ? addMsix(config, options.vectors, layout) : null;
  const window = addVirtio(config, device, layout);
  return { config, places: { power, msix, ...reset, window } };
}

function defineHeader(config: FunctionConfig, device: VirtioDevice, layout: FunctionLayout): void {
  const decode = layout.kind === "io" ? PciCommand.IO : PciCommand.MEMORY;
  config.define(PciHeader.VENDOR_ID, 2, VIRTIO_PCI_VENDOR_ID);
  config.define(PciHeader.DEVICE_ID, 2, VIRTIO_PCI_DEVICE_ID_BASE + device.model.deviceId);
  config.define(PciHeader.COMMAND, 2, 0, decode | PciCommand.BUS_MASTER | PciCommand.INTX_DISABLE);
  config.define(PciHeader.STATUS, 2, PciStatus.CAPABILITIES);
  config.define(PciHeader.REVISION, 1, REVISION);
  config.define(PciHeader.CLASS, 2, CLASS_DISPLAY_OTHER & 0xffff);
  config.define(PciHeader.CLASS + 2, 1, CLASS_DISPLAY_OTHER >> 16);
  config.define(PciHeader.SUBSYSTEM_VENDOR_ID, 2, VIRTIO_PCI_VENDOR_ID);
  config.define(PciHeader.SUBSYSTEM_ID, 2, SUBSYSTEM_ID);
  config.define(PciHeader.INTERRUPT_LINE, 1, 0, 0xff);
  config.define(PciHeader.INTERRUPT_PIN, 1, INTERRUPT_PIN_A);
  const bars = barRegisters(layout.bars);
  for (let index = 0; index < PCI_BARS; index += 1) {
    config.define(PciHeader.BAR_0 + 4 * index, 4, bars.initial[index] ?? 0, bars.writable[index] ?? 0);
  }
}

function addPowerManagement(config: FunctionConfig, noSoftReset: boolean): number {
  const at = config.addCapability(PciCapId.POWER_MANAGEMENT, PciPm.BYTES);
  config.define(at + PciPm.CAPABILITIES, 2, PM_VERSION);
  config.define(at + PciPm.CONTROL_STATUS, 2, noSoftReset ? PciPmcsr.NO_SOFT_RESET : 0, PMCSR_WRITABLE);
  return at;
}

function addExpress(config: FunctionConfig): { readonly resetByte: number; readonly resetBit: number } {
  const at = config.addCapability(PciCapId.EXPRESS, Express.BYTES);
  config.define(at + Express.FLAGS, 2, Express.VERSION | Express.ROOT_COMPLEX_ENDPOINT);
  config.define(at + Express.DEVICE_CAPABILITIES, 4, Express.ROLE_BASED_ERRORS | Express.FUNCTION_LEVEL_RESET);
  config.define(at + Express.DEVICE_CONTROL, 2, 0, Express.CONTROL_WRITABLE | Express.INITIATE_RESET);
  return { resetByte: at + Express.DEVICE_CONTROL + 1, resetBit: Express.INITIATE_RESET >> 8 };
}

function addAdvancedFeatures(config: FunctionConfig): { readonly resetByte: number; readonly resetBit: number } {
  const at = config.addCapability(AdvancedFeatures.ID, AdvancedFeatures.BYTES);
  config.define(at + AdvancedFeatures.LENGTH, 1, AdvancedFeatures.BYTES);
  config.define(at + AdvancedFeatures.CAPABILITIES, 1, AdvancedFeatures.PENDING_AND_RESET);
  config.define(at + AdvancedFeatures.CONTROL, 1, 0, 1);
  return { resetByte: at + AdvancedFeatures.CONTROL, resetBit: 1 };
}

function addMsix(config: FunctionConfig, vectors: number, layout: FunctionLayout): number {
  const bar = layout.bars.find(({ what }) => what === "msix")?.index ?? 0;
  const at = config.addCapability(PciCapId.MSIX, PciMsix.BYTES);
  config.define(at + PciMsix.CONTROL, 2, vectors - 1, 0xc000);
  config.define(at + PciMsix.TABLE, 4, bar);
  config.define(at + PciMsix.PENDING, 4, MSIX_PENDING_OFFSET | bar);
  return at;
}

/** Returns where the window is. */
function addVirtio(config: FunctionConfig, device: VirtioDevice, layout: FunctionLayout): number {
  const structure = (type: number, place: StructurePlace, byteLength: number = VirtioCap.BYTES): number => {
    const at = addVendor(config, type, byteLength);
    config.define(at + VirtioCap.BAR, 1, layout.registersBar);
    config.define(at + VirtioCap.OFFSET, 4, place.offset);
    config.define(at + VirtioCap.LENGTH, 4, place.byteLength);
    return at;
  };
  structure(VirtioCapType.COMMON, layout.common);
  structure(VirtioCapType.ISR, layout.isr);
  if (layout.device !== null) structure(VirtioCapType.DEVICE, layout.device);
  const notify = structure(VirtioCapType.NOTIFY, layout.notify, VirtioCap.NOTIFY_BYTES);
  config.define(notify + VirtioCap.NOTIFY_MULTIPLIER, 4, NOTIFY_MULTIPLIER);
  const window = addVendor(config, VirtioCapType.PCI_ACCESS, VirtioCap.PCI_ACCESS_BYTES);
  config.define(window + VirtioCap.BAR, 1, 0, 0xff);
  for (const field of [VirtioCap.OFFSET, VirtioCap.LENGTH, VirtioCap.PCI_DATA]) {
    config.define(window + field, 4, 0, 0xffff_ffff);
  }
  addSharedMemory(config, device, layout);
  return window;
}

function addSharedMemory(config: FunctionConfig, device: VirtioDevice, layout: FunctionLayout): void {
  const bar = layout.bars.find(({ what }) => what === "shared-memory")?.index ?? 0;
  for (const [index, offset] of layout.sharedMemory.entries()) {
    const region = device.model.sharedMemory[index];
    if (region === undefined) continue;
    const { byteLength } = region.bytes;
    const at = addVendor(config, VirtioCapType.SHARED_MEMORY, VirtioCap.BYTES_64);
    config.define(at + VirtioCap.BAR, 1, bar);
    config.define(at + VirtioCap.REGION_ID, 1, region.id);
    config.define(at + VirtioCap.OFFSET, 4, lowWord(offset));
    config.define(at + VirtioCap.OFFSET_HIGH, 4, highWord(offset));
    config.define(at + VirtioCap.LENGTH, 4, lowWord(byteLength));
    config.define(at + VirtioCap.LENGTH_HIGH, 4, highWord(byteLength));
  }
}

function addVendor(config: FunctionConfig, type: number, byteLength: number): number {
  const at = config.addCapability(PciCapId.VENDOR, byteLength);
  config.define(at + VirtioCap.LENGTH_OF_CAP, 1, byteLength);
  config.define(at + VirtioCap.CFG_TYPE, 1, type);
  return at;
}

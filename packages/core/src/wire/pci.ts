/**
 * Virtio over PCI: VIRTIO 1.2 section 4.1, with what a driver needs of PCI itself (PCI Local Bus 3.0 section 6, PCI
 * Power Management 1.2 section 3). Offsets are bytes.
 */

/** PCI vendor id of every virtio device. */
export const VIRTIO_PCI_VENDOR_ID = 0x1af4;
/** PCI device id of a virtio 1.x device is this plus its virtio device id. */
export const VIRTIO_PCI_DEVICE_ID_BASE = 0x1040;

/** What a vendor capability leads to: `cfg_type` (section 4.1.4). */
export const VirtioCapType = {
  COMMON: 1,
  /** With a u32 multiplier behind it. */
  NOTIFY: 2,
  ISR: 3,
  DEVICE: 4,
  /** The window into BARs that lies in configuration space. */
  PCI_ACCESS: 5,
  /** With 64-bit offset and length; `id` is the region's. */
  SHARED_MEMORY: 8,
  VENDOR: 9,
} as const;
export type VirtioCapType = (typeof VirtioCapType)[keyof typeof VirtioCapType];

/** Fields of a vendor capability (`struct virtio_pci_cap` and those that extend it). */
export const VirtioCap = {
  ID: 0,
  NEXT: 1,
  LENGTH_OF_CAP: 2,
  CFG_TYPE: 3,
  BAR: 4,
  REGION_ID: 5,
  OFFSET: 8,
  LENGTH: 12,
  BYTES: 16,
  /** NOTIFY only. */
  NOTIFY_MULTIPLIER: 16,
  NOTIFY_BYTES: 20,
  /** SHARED_MEMORY only. */
  OFFSET_HIGH: 16,
  LENGTH_HIGH: 20,
  BYTES_64: 24,
  /** PCI_ACCESS only: the data window, 4 bytes. */
  PCI_DATA: 16,
  PCI_ACCESS_BYTES: 20,
} as const;

/** The common configuration (section 4.1.4.3, `struct virtio_pci_common_cfg`). 64-bit fields are written as two halves. */
export const CommonConfig = {
  DEVICE_FEATURE_SELECT: 0,
  DEVICE_FEATURE: 4,
  DRIVER_FEATURE_SELECT: 8,
  DRIVER_FEATURE: 12,
  /** u16, as are all below unless said. */
  CONFIG_MSIX_VECTOR: 16,
  NUM_QUEUES: 18,
  /** u8. */
  DEVICE_STATUS: 20,
  /** u8. */
  CONFIG_GENERATION: 21,
  QUEUE_SELECT: 22,
  QUEUE_SIZE: 24,
  QUEUE_MSIX_VECTOR: 26,
  QUEUE_ENABLE: 28,
  QUEUE_NOTIFY_OFF: 30,
  /** u64. */
  QUEUE_DESC: 32,
  /** u64. */
  QUEUE_DRIVER: 40,
  /** u64. */
  QUEUE_DEVICE: 48,
  QUEUE_NOTIF_CONFIG_DATA: 56,
  QUEUE_RESET: 58,
  ADMIN_QUEUE_INDEX: 60,
  ADMIN_QUEUE_NUM: 62,
  /** The whole, up to and without NOTIF_CONFIG_DATA, as devices of VIRTIO 1.0 have it. */
  BYTES_BASE: 56,
  BYTES: 64,
} as const;

/** Fields of a type 0 configuration header. */
export const PciHeader = {
  /** u16. */
  VENDOR_ID: 0x00,
  /** u16. */
  DEVICE_ID: 0x02,
  /** u16, bits of {@link PciCommand}. */
  COMMAND: 0x04,
  /** u16, bits of {@link PciStatus}. */
  STATUS: 0x06,
  /** u8. */
  REVISION: 0x08,
  /** Three bytes: interface, subclass, class. */
  CLASS: 0x09,
  /** u8. */
  HEADER_TYPE: 0x0e,
  /** Six u32. */
  BAR_0: 0x10,
  /** u16. */
  SUBSYSTEM_VENDOR_ID: 0x2c,
  /** u16. */
  SUBSYSTEM_ID: 0x2e,
  /** u8: offset of the first capability; its low two bits are reserved. */
  CAPABILITIES: 0x34,
  /** u8. */
  INTERRUPT_LINE: 0x3c,
  /** u8. */
  INTERRUPT_PIN: 0x3d,
  BYTES: 64,
} as const;

/** Base address registers in a type 0 header. */
export const PCI_BARS = 6;

/** Bits of the command register. */
export const PciCommand = { IO: 1, MEMORY: 2, BUS_MASTER: 4, INTX_DISABLE: 0x400 } as const;
export type PciCommand = (typeof PciCommand)[keyof typeof PciCommand];

/** Bits of the status register. */
export const PciStatus = { INTERRUPT: 0x08, CAPABILITIES: 0x10 } as const;
export type PciStatus = (typeof PciStatus)[keyof typeof PciStatus];

/** Bits of a base address register. */
export const PciBar = {
  IO: 1,
  TYPE_MASK: 6,
  /** Of the type: this BAR and the next are one of 64 bits. */
  TYPE_64: 4,
  PREFETCHABLE: 8,
  /** The low bits that are no address. */
  MEMORY_FLAGS: 0xf,
  IO_FLAGS: 3,
} as const;

/** Capability ids. */
export const PciCapId = { POWER_MANAGEMENT: 0x01, MSI: 0x05, VENDOR: 0x09, EXPRESS: 0x10, MSIX: 0x11 } as const;
export type PciCapId = (typeof PciCapId)[keyof typeof PciCapId];

/** Every capability starts with its id and the offset of the next (0: the last). */
export const PciCap = { ID: 0, NEXT: 1 } as const;

/** The power management capability. */
export const PciPm = {
  /** u16: what is supported, bits of {@link PciPmCapabilities}. */
  CAPABILITIES: 2,
  /** u16: PMCSR, bits of {@link PciPmcsr}. */
  CONTROL_STATUS: 4,
  BYTES: 8,
} as const;

/** Bits of the power management capabilities register. */
export const PciPmCapabilities = { VERSION_MASK: 7, D1: 0x200, D2: 0x400, PME_MASK: 0xf800 } as const;

/** Bits of PMCSR. */
export const PciPmcsr = {
  STATE_MASK: 3,
  /** D3hot to D0 keeps the function's state. */
  NO_SOFT_RESET: 8,
  PME_ENABLE: 0x100,
  /** Writing 1 clears it. */
  PME_STATUS: 0x8000,
} as const;

/** Power states, in PMCSR under {@link PciPmcsr.STATE_MASK}. */
export const PciPowerState = { D0: 0, D1: 1, D2: 2, D3HOT: 3 } as const;
export type PciPowerState = (typeof PciPowerState)[keyof typeof PciPowerState];

/** The least time between a write of D3hot or of D0 and the next access of the function, in milliseconds. */
export const D3HOT_DELAY_MS = 10;

/** The MSI-X capability. */
export const PciMsix = {
  /** u16: message control, bits of {@link PciMsixControl}. */
  CONTROL: 2,
  /** u32: BAR index in the low three bits, and offset of the table. */
  TABLE: 4,
  /** u32: the same for the pending bits. */
  PENDING: 8,
  BYTES: 12,
  BAR_MASK: 7,
} as const;

/** Bits of MSI-X message control. The table has SIZE_MASK's value plus one entries. */
export const PciMsixControl = { SIZE_MASK: 0x7ff, FUNCTION_MASK: 0x4000, ENABLE: 0x8000 } as const;

/** An entry of the MSI-X table; each field is a u32. */
export const PciMsixEntry = {
  ADDRESS_LOW: 0,
  ADDRESS_HIGH: 4,
  DATA: 8,
  /** Bit 0: masked. */
  VECTOR_CONTROL: 12,
  BYTES: 16,
  MASKED: 1,
} as const;

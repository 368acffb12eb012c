/** Registers of virtio over MMIO, version 2: VIRTIO 1.2 section 4.2.2. Byte offsets; each is 32 bits wide. */
export const MmioRegister = {
  MAGIC: 0x00,
  VERSION: 0x04,
  DEVICE_ID: 0x08,
  VENDOR_ID: 0x0c,
  DEVICE_FEATURES: 0x10,
  DEVICE_FEATURES_SEL: 0x14,
  DRIVER_FEATURES: 0x20,
  DRIVER_FEATURES_SEL: 0x24,
  QUEUE_SEL: 0x30,
  QUEUE_SIZE_MAX: 0x34,
  QUEUE_SIZE: 0x38,
  QUEUE_READY: 0x44,
  QUEUE_NOTIFY: 0x50,
  /** Bits of InterruptBit. */
  INTERRUPT_STATUS: 0x60,
  INTERRUPT_ACK: 0x64,
  STATUS: 0x70,
  QUEUE_DESC_LOW: 0x80,
  QUEUE_DESC_HIGH: 0x84,
  QUEUE_DRIVER_LOW: 0x90,
  QUEUE_DRIVER_HIGH: 0x94,
  QUEUE_DEVICE_LOW: 0xa0,
  QUEUE_DEVICE_HIGH: 0xa4,
  SHM_SEL: 0xac,
  /** All ones in both halves of the length: no such region. */
  SHM_LEN_LOW: 0xb0,
  SHM_LEN_HIGH: 0xb4,
  SHM_BASE_LOW: 0xb8,
  SHM_BASE_HIGH: 0xbc,
  QUEUE_RESET: 0xc0,
  CONFIG_GENERATION: 0xfc,
  /** Start of the device-specific configuration space, which may be accessed by byte. */
  CONFIG: 0x100,
} as const;
export type MmioRegister = (typeof MmioRegister)[keyof typeof MmioRegister];

/** What {@link MmioRegister.MAGIC} reads: "virt". */
export const MMIO_MAGIC = 0x74726976;
/** What {@link MmioRegister.VERSION} reads on a device that is not a legacy one. */
export const MMIO_VERSION = 2;

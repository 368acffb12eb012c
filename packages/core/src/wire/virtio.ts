/** Generic virtio: VIRTIO 1.2 sections 2.1, 2.2 and 6 (v1.4 where said). */

/** Feature bit numbers outside any device type (section 6). */
export const VirtioFeature = {
  INDIRECT_DESC: 28,
  EVENT_IDX: 29,
  VERSION_1: 32,
  ACCESS_PLATFORM: 33,
  RING_PACKED: 34,
  IN_ORDER: 35,
  ORDER_PLATFORM: 36,
  SR_IOV: 37,
  NOTIFICATION_DATA: 38,
  NOTIF_CONFIG_DATA: 39,
  RING_RESET: 40,
  ADMIN_VQ: 41,
  /** v1.4. crosvm uses bit 42, which the published table leaves unassigned. */
  SUSPEND: 43,
} as const;
export type VirtioFeature = (typeof VirtioFeature)[keyof typeof VirtioFeature];

/** Bits of the device status (section 2.1). */
export const DeviceStatus = {
  ACKNOWLEDGE: 1,
  DRIVER: 2,
  DRIVER_OK: 4,
  FEATURES_OK: 8,
  /** v1.4, with the feature SUSPEND: set by the driver; in force when it reads 1 and DRIVER_OK reads 0. */
  SUSPEND: 16,
  NEEDS_RESET: 64,
  FAILED: 128,
} as const;
export type DeviceStatus = (typeof DeviceStatus)[keyof typeof DeviceStatus];

/** A feature's bit number as a mask. */
export function featureBit(feature: number): bigint {
  return 1n << BigInt(feature);
}

/** No interrupt vector: what a vector register reads when none is, or could be, assigned (section 4.1.5.1.2). */
export const NO_VECTOR = 0xffff;

/** Bits of the interrupt status, in the ISR byte of PCI and in MMIO's register alike. Each transport acknowledges in its own way. */
export const InterruptBit = {
  /** A queue has used buffers. */
  QUEUE: 1,
  /** The configuration changed. */
  CONFIG: 2,
} as const;
export type InterruptBit = (typeof InterruptBit)[keyof typeof InterruptBit];

/**
 * How virtqueues lie in memory: split (VIRTIO 1.2 section 2.7) and packed (section 2.8). Offsets and sizes are bytes
 * unless named words.
 */

/** Bytes of a descriptor, in a split or packed ring or in an indirect table. */
export const DESCRIPTOR_BYTES = 16;
/** Most descriptors of any queue, split or packed. */
export const QUEUE_SIZE_MAX = 32768;

/** Flags of a descriptor, split (section 2.7.5) and packed (section 2.8.1). */
export const DescriptorFlag = {
  /** The chain goes on. */
  NEXT: 1,
  /** The device writes this buffer; else it reads it. */
  WRITE: 2,
  /** The buffer is a table of descriptors. */
  INDIRECT: 4,
  /** Packed only: written as the driver's wrap counter by the driver, who writes the inverse to USED. */
  AVAIL: 0x80,
  /** Packed only: the device writes its wrap counter here and to AVAIL. */
  USED: 0x8000,
} as const;
export type DescriptorFlag = (typeof DescriptorFlag)[keyof typeof DescriptorFlag];

/** A descriptor of a split ring, and of every indirect table of one (`struct virtq_desc`). */
export const SplitDescriptor = { ADDRESS: 0, LENGTH: 8, FLAGS: 12, NEXT: 14 } as const;

/** The available ring (`struct virtq_avail`): written by the driver, aligned to 2. */
export const AvailableRing = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_BYTES: 2, ALIGNMENT: 2 } as const;

/** The used ring (`struct virtq_used`): written by the device, aligned to 4. */
export const UsedRing = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_BYTES: 8, ALIGNMENT: 4 } as const;

/** An entry of the used ring (`struct virtq_used_elem`). */
export const UsedEntry = { ID: 0, LENGTH: 4 } as const;

/** Alignment of the descriptor table of either layout. */
export const DESCRIPTOR_ALIGNMENT = 16;

/** In the available ring's flags: the driver asks for no interrupts (without EVENT_IDX). */
export const AVAILABLE_NO_INTERRUPT = 1;
/** In the used ring's flags: the device asks for no notifications (without EVENT_IDX). */
export const USED_NO_NOTIFY = 1;

/** Bytes of a split ring's descriptor table. */
export function splitDescriptorBytes(size: number): number {
  return size * DESCRIPTOR_BYTES;
}

/** Bytes of an available ring, `used_event` included. */
export function availableRingBytes(size: number): number {
  return AvailableRing.RING + size * AvailableRing.ENTRY_BYTES + 2;
}

/** Bytes of a used ring, `avail_event` included. */
export function usedRingBytes(size: number): number {
  return UsedRing.RING + size * UsedRing.ENTRY_BYTES + 2;
}

/** Offset of `used_event` in the available ring: the used index after which the driver wants an interrupt. */
export function usedEventOffset(size: number): number {
  return AvailableRing.RING + size * AvailableRing.ENTRY_BYTES;
}

/** Offset of `avail_event` in the used ring: the available index after which the device wants a notification. */
export function availableEventOffset(size: number): number {
  return UsedRing.RING + size * UsedRing.ENTRY_BYTES;
}

/** A descriptor of a packed ring (`struct pvirtq_desc`). In an indirect table ID, and all flags but WRITE, are reserved. */
export const PackedDescriptor = { ADDRESS: 0, LENGTH: 8, ID: 12, FLAGS: 14 } as const;

/** Bytes of a packed queue's descriptor ring. */
export function packedRingBytes(size: number): number {
  return size * DESCRIPTOR_BYTES;
}

/** Event suppression of a packed ring (`struct pvirtq_event_suppress`), one structure a side, aligned to 4. */
export const EventSuppression = { DESCRIPTOR: 0, FLAGS: 2, BYTES: 4, ALIGNMENT: 4 } as const;

/** Values of the low two bits of an event suppression's flags. */
export const EventFlag = {
  ENABLE: 0,
  DISABLE: 1,
  /** At one descriptor; with EVENT_IDX only. */
  DESCRIPTOR: 2,
} as const;
export type EventFlag = (typeof EventFlag)[keyof typeof EventFlag];

/** The part of an event suppression's flags that is an {@link EventFlag}. */
export const EVENT_FLAG_MASK = 3;
/** The bit of `DESCRIPTOR` that is the wrap counter; the low 15 bits are the ring offset. */
export const EVENT_WRAP_BIT = 15;

/** The value of a NOTIFICATION_DATA notification (sections 2.9 and 4.1.5.2): queue, then what comes next. */
export const NotificationData = {
  QUEUE_MASK: 0xffff,
  /** Split: bits 16 to 31 are the available index. Packed: bits 16 to 30 are the ring offset, bit 31 the wrap counter. */
  NEXT_SHIFT: 16,
  NEXT_WRAP_BIT: 31,
} as const;

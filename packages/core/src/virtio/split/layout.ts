/**
 * Where the parts of a split virtqueue lie in one piece of memory (VIRTIO 1.2 sections 2.7 to 2.7.8).
 *
 * | part | bytes | alignment |
 * | --- | --- | --- |
 * | descriptor table | 16 n | 16 |
 * | available ring: flags, idx, ring\[n], used_event | 6 + 2 n | 2 |
 * | used ring: flags, idx, {id, len}\[n], avail_event | 6 + 8 n | 4 |
 * | indirect tables, one a descriptor (the driver's own) | 16 n e | 16 |
 */
import { assert } from "../../base/assert.ts";
import {
  DESCRIPTOR_ALIGNMENT,
  DESCRIPTOR_BYTES,
  QUEUE_SIZE_MAX,
  UsedRing,
  availableRingBytes,
  usedRingBytes,
} from "../../wire/ring.ts";

/** Byte offsets of the parts from the start, and bytes in all. */
export interface SplitLayout {
  readonly byteLength: number;
  readonly descriptors: number;
  readonly driver: number;
  readonly device: number;
  readonly indirect: number;
}

/** Whether a split queue may have `size` entries. Any number may be asked about. */
export function isSplitSize(size: number): boolean {
  return Number.isInteger(size) && size >= 1 && size <= QUEUE_SIZE_MAX && (size & (size - 1)) === 0;
}

/** The layout for a queue of `size` entries (a power of two), each with an indirect table of `indirectEntries` (0: none). */
export function splitLayout(options: { readonly size: number; readonly indirectEntries: number }): SplitLayout {
  const { size, indirectEntries } = options;
  assert(isSplitSize(size), `a split queue can't have ${size} entries`);
  const driver = DESCRIPTOR_BYTES * size;
  const device = alignUp(driver + availableRingBytes(size), UsedRing.ALIGNMENT);
  const indirect = alignUp(device + usedRingBytes(size), DESCRIPTOR_ALIGNMENT);
  return { byteLength: indirect + DESCRIPTOR_BYTES * size * indirectEntries, descriptors: 0, driver, device, indirect };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/**
 * Whether moving an index from `before` to `after` passed `event`, all modulo 2^16: the other side wants to hear of it
 * (2.7.7.1, 2.7.10.1).
 */
export function passesEvent(event: number, after: number, before: number): boolean {
  return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
}

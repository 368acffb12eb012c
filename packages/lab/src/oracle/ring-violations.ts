/**
 * What a driver must not do to a split ring (VIRTIO 1.2 section 2.7): a device is to notice, and to ask for a reset. An
 * available index that jumps by more than the queue's size is not among it, for QEMU 7.2 does not notice.
 */

/** One way to break the rules. */
export type RingViolationKind =
  | "empty buffer"
  | "read after write"
  | "loop"
  | "loop of two"
  | "next outside"
  | "head outside"
  | "empty table"
  | "ragged table"
  | "loop in table"
  | "next outside table";

/** A descriptor's fields. */
type Descriptor = readonly [address: number, byteLength: number, flags: number, next: number];

/** What is to be written, and which chain made available. */
export interface BrokenRing {
  /** The queue's own descriptors, from index 0 on. */
  readonly descriptors: readonly Descriptor[];
  /** Descriptors of an indirect table at the buffer's address. */
  readonly table: readonly Descriptor[];
  readonly head: number;
}

const [NEXT, WRITE, INDIRECT] = [1, 2, 4];

/** Every kind. */
export const RING_VIOLATIONS: readonly RingViolationKind[] = [
  "empty buffer",
  "read after write",
  "loop",
  "loop of two",
  "next outside",
  "head outside",
  "empty table",
  "ragged table",
  "loop in table",
  "next outside table",
];

/** How it is done, with a buffer of some KiB at `buffer`, in a queue of `size` entries. */
export function brokenRing(kind: RingViolationKind, buffer: number, size: number): BrokenRing {
  const good: Descriptor = [buffer, 24, 0, 0];
  const whole = { descriptors: [good], table: [], head: 0 };
  const indirect = (table: readonly Descriptor[], byteLength: number = 16 * table.length): BrokenRing => ({
    ...whole,
    table,
    descriptors: [[buffer, byteLength, INDIRECT, 0]],
  });
  switch (kind) {
    case "empty buffer":
      return { ...whole, descriptors: [[buffer, 0, 0, 0]] };
    case "read after write":
      return { ...whole, descriptors: [[buffer, 24, WRITE | NEXT, 1], good] };
    case "loop":
      return { ...whole, descriptors: [[buffer, 24, NEXT, 0]] };
    case "loop of two":
      return {
        ...whole,
        descriptors: [
          [buffer, 24, NEXT, 1],
          [buffer, 24, NEXT, 0],
        ],
      };
    case "next outside":
      return { ...whole, descriptors: [[buffer, 24, NEXT, size]] };
    case "head outside":
      return { ...whole, head: size };
    case "empty table":
      return indirect([], 0);
    case "ragged table":
      return indirect([good], 17);
    case "loop in table":
      return indirect([[buffer, 24, NEXT, 0]]);
    case "next outside table":
      return indirect([[buffer, 24, NEXT, 1]]);
  }
}

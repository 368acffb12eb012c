/** QEMU as the judge of another virtio-gpu device: the same requests to both, and every difference told. */
export { Coverage } from "./coverage.ts";
export { type Divergence, Judge, type Verdict } from "./judge.ts";
export type { KnownDifference } from "./known-differences.ts";
export { ModelSide } from "./model-side.ts";
export { type GuestAnswer, type GuestPort, type GuestRequest, type PortQueue, type QueueIndex, RingGuest, whole, } from "./ring-guest.ts";
export { describeStep, PIXEL_MEMORY, type Sequence, type SequenceRequest, type SequenceStep } from "./sequence.ts";
export { ORACLE_OUTPUTS, ORACLE_RAM_BYTES, type OracleSide, QemuSide } from "./side.ts";

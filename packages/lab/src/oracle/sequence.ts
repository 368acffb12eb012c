/**
 * What is asked of two devices at once: plain data, so that a sequence can be generated, shrunk, printed and replayed.
 */
import type { PositionedFile } from "@virtgpu/core/memory";
import type { RingViolationKind } from "./ring-violations.ts";
import { FREE_MEMORY, type GuestRequest, type QueueIndex } from "./ring-guest.ts";

/** One request of a sequence. */
export interface SequenceRequest extends GuestRequest {
  /** What it is, for messages. */
  readonly name: string;
}

/** A step of a sequence. */
export type SequenceStep =
  /** Requests that become available at once. */
  | { readonly kind: "batch"; readonly queue: QueueIndex; readonly requests: readonly SequenceRequest[] }
  /** The guest draws: other bytes in part of {@link PIXEL_MEMORY}. */
  | { readonly kind: "draw"; readonly offset: number; readonly byteLength: number; readonly seed: number }
  /** All outputs are compared. */
  | { readonly kind: "look" }
  /** The whole device, or (RING_RESET) one queue. */
  | { readonly kind: "reset"; readonly queue: QueueIndex | null }
  /** The rules of a ring are broken. Nothing can follow. */
  | { readonly kind: "violate"; readonly queue: QueueIndex; readonly how: RingViolationKind };

/** Steps on a device that was just reset, with this picture in memory. */
export interface Sequence {
  readonly memorySeed: number;
  readonly steps: readonly SequenceStep[];
}

/** Where backings lie: bytes that are not all alike. */
export const PIXEL_MEMORY: { readonly address: number; readonly byteLength: number } = {
  address: FREE_MEMORY,
  byteLength: 0x40000,
};

/** Bytes that any seed tells apart, and that repeat only after 4 GiB (xorshift32). */
export function noise(seed: number, byteLength: number): Uint8Array {
  const words = new Uint32Array((byteLength + 3) >> 2);
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return new Uint8Array(words.buffer, 0, byteLength);
}

/** Writes what a "draw" step says. */
export function draw(ram: PositionedFile, offset: number, byteLength: number, seed: number): void {
  const end = Math.min(PIXEL_MEMORY.byteLength, offset + byteLength);
  if (end > offset) ram.writeAt(PIXEL_MEMORY.address + offset, noise(seed, end - offset));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A step in one line: enough to say it again by hand. */
export function describeStep(step: SequenceStep): string {
  if (step.kind === "look") return "look at all outputs";
  if (step.kind === "reset") return step.queue === null ? "reset the device" : `reset queue ${step.queue}`;
  if (step.kind === "violate") return `break the rules of queue ${step.queue}: ${step.how}`;
  if (step.kind === "draw") return `draw ${step.byteLength} bytes at ${step.offset} (seed ${step.seed})`;
  return step.requests.map((request) => `${["control", "cursor"][step.queue]}: ${describeRequest(request)}`).join("\n");
}

/** A request in one line. */
export function describeRequest({ name, request, readable, writable, indirect }: SequenceRequest): string {
  const shape = `${readable.join("+")} > ${writable.join("+") || "0"}${indirect ? ", indirect" : ""}`;
  const shown = request.length > 160 ? `${hex(request.subarray(0, 160))}...` : hex(request);
  return `${name} [${shape}] ${shown}`;
}

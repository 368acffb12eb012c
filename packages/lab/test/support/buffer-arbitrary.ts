/**
 * How a request lies in memory: cut short or with bytes to spare, in several descriptors or an indirect table, with a
 * reply buffer of the right size, a short one, a large one, or none.
 */
import * as fc from "fast-check";
import { type RawCommand, replyCapacity } from "../../src/oracle/raw-commands.ts";
import type { GuestRequest } from "../../src/oracle/ring-guest.ts";

/** See the file's head. */
export interface BufferIntent {
  /** Bytes more (or, below 0, fewer) than the command has; null: exactly as it is. */
  readonly cut: number | null;
  readonly capacity: "right" | "header" | "large" | number;
  /** Descriptors that each of the two buffers is cut into. */
  readonly pieces: number;
  readonly indirect: boolean;
}

/** Mostly plain. */
export const buffers: fc.Arbitrary<BufferIntent> = fc.record({
  cut: fc.oneof(
    { weight: 14, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: fc.integer({ min: -40, max: 40 }) },
  ),
  capacity: fc.oneof(
    { weight: 14, arbitrary: fc.constant("right" as const) },
    { weight: 1, arbitrary: fc.constantFrom("header" as const, "large" as const) },
    { weight: 1, arbitrary: fc.nat({ max: 60 }) },
  ),
  pieces: fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, fc.constantFrom(2, 3)),
  indirect: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
});

function split(byteLength: number, pieces: number): readonly number[] {
  if (byteLength === 0) return [];
  const count = Math.min(byteLength, pieces);
  // Uneven on purpose: the first pieces end within a field.
  const small = Math.max(1, Math.floor(byteLength / (count + 2)) | 1);
  const first = Array.from({ length: count - 1 }, () => small);
  const rest = byteLength - small * (count - 1);
  return rest > 0 ? [...first, rest] : [byteLength];
}

function resized(bytes: Uint8Array, cut: number | null): Uint8Array {
  if (cut === null) return bytes;
  const result = new Uint8Array(Math.max(0, bytes.length + cut)).fill(0x5a);
  result.set(bytes.subarray(0, result.length));
  return result;
}

/** The request's bytes in this shape. */
export function shaped(bytes: Uint8Array, command: RawCommand, intent: BufferIntent): GuestRequest {
  const request = resized(bytes, intent.cut);
  const right = replyCapacity(command);
  const sizes = { right, header: 24, large: right + 100 } as const;
  const wanted = typeof intent.capacity === "number" ? intent.capacity : sizes[intent.capacity];
  // A chain has at least one descriptor.
  const capacity = request.length === 0 && wanted === 0 ? 24 : wanted;
  return {
    request,
    readable: split(request.length, intent.pieces),
    writable: split(capacity, intent.pieces),
    indirect: intent.indirect,
  };
}

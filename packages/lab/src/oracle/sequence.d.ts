/**
 * What is asked of two devices at once: plain data, so that a sequence can be generated, shrunk, printed and replayed.
 */
import type { PositionedFile } from "@virtgpu/core/memory";
import { type GuestRequest, type QueueIndex } from "./ring-guest.ts";
/** One request of a sequence. */
export interface SequenceRequest extends GuestRequest {
    /** What it is, for messages. */
    readonly name: string;
}
/** A step of a sequence. */
export type SequenceStep = 
/** Requests that become available at once. */
{
    readonly kind: "batch";
    readonly queue: QueueIndex;
    readonly requests: readonly SequenceRequest[];
}
/** The guest draws: other bytes in part of {@link PIXEL_MEMORY}. */
 | {
    readonly kind: "draw";
    readonly offset: number;
    readonly byteLength: number;
    readonly seed: number;
}
/** All outputs are compared. */
 | {
    readonly kind: "look";
};
/** Steps on a device that was just reset, with this picture in memory. */
export interface Sequence {
    readonly memorySeed: number;
    readonly steps: readonly SequenceStep[];
}
/** Where backings lie: bytes that are not all alike. */
export declare const PIXEL_MEMORY: {
    readonly address: number;
    readonly byteLength: number;
};
/** Bytes that any seed tells apart, and that repeat only after 4 GiB (xorshift32). */
export declare function noise(seed: number, byteLength: number): Uint8Array;
/** Writes what a "draw" step says. */
export declare function draw(ram: PositionedFile, offset: number, byteLength: number, seed: number): void;
/** A step in one line: enough to say it again by hand. */
export declare function describeStep(step: SequenceStep): string;
/** A request in one line. */
export declare function describeRequest({ name, request, readable, writable, indirect }: SequenceRequest): string;

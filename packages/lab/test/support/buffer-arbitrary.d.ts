/**
 * How a request lies in memory: cut short or with bytes to spare, in several descriptors or an indirect table, with a
 * reply buffer of the right size, a short one, a large one, or none.
 */
import * as fc from "fast-check";
import { type RawCommand } from "../../src/oracle/raw-commands.ts";
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
export declare const buffers: fc.Arbitrary<BufferIntent>;
/** The request's bytes in this shape. */
export declare function shaped(bytes: Uint8Array, command: RawCommand, intent: BufferIntent): GuestRequest;

/**
 * Memory entries for backings: whole ones in one piece or scattered, short, overlapping ones, and those a device must
 * refuse.
 */
import * as fc from "fast-check";
type Entry = readonly [address: number, length: number];
/** What a backing is like. Offsets are from the start of {@link PIXEL_MEMORY}. */
export type EntriesIntent = 
/** As many bytes as the image has, in pieces of `piece` bytes, each `step` bytes behind the last. */
{
    readonly kind: "cover";
    readonly start: number;
    readonly piece: number;
    readonly step: number;
} | {
    readonly kind: "list";
    readonly list: readonly Entry[];
}
/** A good entry or none, then one that is wrong. */
 | {
    readonly kind: "bad";
    readonly behind: boolean;
    readonly which: number;
};
export declare const entries: fc.Arbitrary<EntriesIntent>;
/** The entries, for an image of `byteLength` bytes. */
export declare function entriesOf(intent: EntriesIntent, byteLength: number): readonly Entry[];
export {};

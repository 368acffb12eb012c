/**
 * Where our device answers otherwise than QEMU on purpose: the rows of the table of differences that a sequence can
 * meet, each with the test that recognises it.
 */
import type { Divergence } from "./judge.ts";
import type { GuestAnswer } from "./ring-guest.ts";
/** A row of the table. */
export interface KnownDifference {
    /** Its id in the core's table. */
    readonly id: string;
    /** Both devices are in the same state afterwards. */
    readonly harmless: boolean;
    readonly explains: (divergence: Divergence) => boolean;
    /** Where both answer alike, but do something else: whether this request, so answered, does that. */
    readonly parts?: (request: Uint8Array, answer: GuestAnswer) => boolean;
}
/** The row that explains a difference, or null. */
export declare function explain(divergence: Divergence): KnownDifference | null;
/** The row that says that the devices are no longer in the same state after this request, or null. */
export declare function partingAt(request: Uint8Array, answer: GuestAnswer): KnownDifference | null;
/** Whether a sequence can go on after it. */
export declare function isHarmless({ harmless }: KnownDifference): boolean;

import type { RgbPicture } from "../hosts/qemu/ppm.ts";
import type { Coverage } from "./coverage.ts";
import { type KnownDifference } from "./known-differences.ts";
import { type GuestAnswer, type QueueIndex } from "./ring-guest.ts";
import { type Sequence, type SequenceRequest } from "./sequence.ts";
import { type OracleSide, type QemuSide } from "./side.ts";
/** Where two devices were found to differ. */
export interface Divergence {
    readonly what: "answer" | "order" | "status" | "picture" | "memory" | "end";
    /** Index of the step; the number of steps for what is looked at behind the last one. */
    readonly step: number;
    readonly queue: QueueIndex;
    /** The request it shows at, where it shows at one. */
    readonly sent: SequenceRequest | null;
    readonly qemu: GuestAnswer | null;
    readonly other: GuestAnswer | null;
    /** One sentence. */
    readonly sentence: string;
}
/** What came of a sequence. */
export interface Verdict {
    /** What nothing explains. */
    readonly divergence: Divergence | null;
    /** The rows of the table that were met. */
    readonly known: readonly KnownDifference[];
    /** Requests that were compared. */
    readonly requests: number;
}
/** Two devices and what is known about them. */
export declare class Judge {
    #private;
    constructor(qemu: QemuSide, other: OracleSide, coverage?: Coverage | null);
    /** Whether requests that are foreseen to end QEMU are left out. */
    spareQemu: boolean;
    /** Plays a sequence on both, from a reset on. */
    judge(sequence: Sequence): Promise<Verdict>;
}
/** What is wrong between two pictures of an output, or null. Null for ours is "nothing is shown". */
export declare function pictureDifference(theirs: RgbPicture, ours: RgbPicture | null): string | null;

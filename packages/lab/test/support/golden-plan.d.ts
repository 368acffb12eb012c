/**
 * What is asked of a real QEMU for the golden file: every 2D command, its error replies, fences, short requests and
 * short reply buffers, in one sequence, for the replies depend on what came before.
 *
 * Left out on purpose: a transfer whose source starts behind the backing (QEMU 7.2 aborts), sizes whose product wraps
 * 32 bits (7.2 then asks the machine for gigabytes), and requests shorter than a header (never answered).
 */
import { type RawCommand, type RawFence } from "../../src/oracle/raw-commands.ts";
/** One exchange to make. */
export interface GoldenStep {
    readonly name: string;
    readonly command: RawCommand;
    readonly fence: RawFence;
    /** Bytes of the reply buffer. */
    readonly capacity: number;
}
/** Outputs of the device that the plan is for. */
export declare const GOLDEN_OUTPUTS = 2;
/** The whole sequence, with a fence of its own for each step that has none if `fenced`. */
export declare function goldenPlan(fenced?: boolean): readonly GoldenStep[];

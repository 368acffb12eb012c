/**
 * What the sequences reached: how often each command was answered how.
 */
import type { GuestAnswer, QueueIndex, GuestRequest } from "./ring-guest.ts";
/** Counts of pairs of command and answer. */
export declare class Coverage {
    #private;
    /** Counts one exchange, by QEMU's answer. */
    count(queue: QueueIndex, { request }: GuestRequest, { used, reply }: GuestAnswer): void;
    /** Counts a row of the table of differences. */
    met(difference: string): void;
    /** Lines of text, sorted: what, and how often. */
    lines(): readonly string[];
    /** Whether this pair was reached, e.g. `("SET_SCANOUT", "1202")`. */
    has(command: string, answer: string): boolean;
}

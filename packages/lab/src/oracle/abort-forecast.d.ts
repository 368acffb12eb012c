/**
 * Foresees the transfers that end QEMU 7.2: a row of the source that starts behind the backing's last byte fails an
 * assertion in its `iov_to_buf`. A sequence with such a request tells nothing more, and a new QEMU costs as much time
 * as ten sequences, so such requests are left out. What is foreseen need not be exact: a QEMU that ends all the same is
 * a known difference.
 */
import type { SequenceRequest } from "./sequence.ts";
/** The state of one device, as far as this needs it. */
export declare class AbortForecast {
    #private;
    /** The requests that are safe to send. */
    safe(requests: readonly SequenceRequest[]): readonly SequenceRequest[];
}

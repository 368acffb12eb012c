/**
 * Sequences of commands as fast-check makes them: mostly well-formed, over few ids and sizes so that commands meet each
 * other, with every kind of malformation now and then. Intents are drawn (they shrink well) and then turned into bytes.
 */
import * as fc from "fast-check";
import type { Sequence } from "../../src/oracle/sequence.ts";
/** See the file's head. */
export declare const sequences: fc.Arbitrary<Sequence>;

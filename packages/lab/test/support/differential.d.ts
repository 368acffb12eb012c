import { Coverage } from "../../src/oracle/coverage.ts";
import type { OracleSide, QemuSide } from "../../src/oracle/side.ts";
/** What to run. */
export interface DifferentialOptions {
    readonly qemu: QemuSide;
    readonly other: OracleSide;
    readonly runs: number;
    readonly seed: number;
    /** Where in fast-check's tree to begin: what a failure printed. */
    readonly path?: string | undefined;
    /** Hears how many sequences are done. */
    readonly onSequence?: (done: number) => void;
}
/** What it came to. */
export interface DifferentialReport {
    readonly coverage: Coverage;
    readonly sequences: number;
    readonly requests: number;
    /** What nothing explains, the whole story; null when all is well. */
    readonly failure: string | null;
}
/** See the file's head. */
export declare function runDifferential(options: DifferentialOptions): Promise<DifferentialReport>;

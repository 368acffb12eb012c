/**
 * Reports: what a run or a matrix leaves behind, for people, for CI systems, for Perfetto.
 */
export * from "./chrome-trace.ts";
export * from "./junit.ts";
export * from "./matrix-record.ts";
export * from "./matrix-text.ts";
export * from "./pictures.ts";
export * from "./png.ts";
export * from "./run-record.ts";
export * from "./write-report.ts";

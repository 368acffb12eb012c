/** The conformance suite for suspend: one list of cases, for every driver and every host. */
export { SUSPEND_CASES } from "./cases/index.ts";
export type { TestedBuffer, TestedBufferOptions, TestedCursor, TestedDriver, TestedOutput } from "./driver.ts";
export type { DriverSuccessor } from "./driver-life.ts";
export { LentPages, type LentPagesOptions } from "./lent-pages.ts";
export { takePageImage } from "./page-image.ts";
export { PairSubject } from "./pair-subject.ts";
export { QemuSubject } from "./qemu-subject.ts";
export { SimulatedSubject, type SimulatedOptions } from "./simulated-subject.ts";
export * from "./subject.ts";
export {
  type CaseParts,
  type CommandCounts,
  type SleepKind,
  type SuspendCase,
  countCommands,
  notOffered,
  runFaulty,
  suspendCase,
} from "./suite.ts";
export { type Meanwhile, Stage } from "./stage.ts";

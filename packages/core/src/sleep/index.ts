/** The system's side of sleep: what calls drivers in Linux's order. */
export { defaultDeadlines, type SleepDeadlines } from "./deadline.ts";
export type { SuspendPolicy } from "./device-list.ts";
export type { HibernateOptions, HibernationMode, SleepOutcome } from "./hibernate.ts";
export type { DeviceReport, PhaseRecord, SleepFailure } from "./log.ts";
export { type Deliver, NotifierChain, type PowerSubscriber } from "./notifier-chain.ts";
export type { SleepResult } from "./operation.ts";
export {
  idlePlatform,
  type PlatformStep,
  type PmTest,
  type PowerOffMode,
  type SleepPlatform,
  type SleepTarget,
  type StepHandler,
  type Wake,
} from "./platform.ts";
export type { SnapshotDevice, SnapshotMode } from "./snapshot-device.ts";
export { isFinal, type SystemState, systemMoves } from "./states.ts";
export { type ClientOptions, type ImageOptions, SystemSleep, type SystemSleepOptions } from "./system-sleep.ts";

/** The driver of `@virtgpu/core` as a userspace driver on Linux. */
export { type MemoryKind, type OpenGpu, type OpenGpuOptions, listGpus, openGpu } from "./open-gpu.ts";
export { LentPages } from "./memory/lent-pages.ts";
export { type Picture, type Say, type ShowOptions, fitPicture, showPictures } from "./show/index.ts";
export {
  GpuSleep,
  type Hibernation,
  type HibernationMode,
  type LogindClient,
  LogindSleep,
  type SleepingGpu,
  SleepWatch,
  type SleepWatchParts,
  type Waking,
  type WokenGpu,
  hibernate,
  readBootMs,
  rehearse,
  type RehearsingGpu,
} from "./sleep/index.ts";
export { WAYS, type Way } from "./transport/index.ts";

/** The driver of `@virtgpu/core` as a userspace driver on Linux. */
export { type MemoryKind, type OpenGpu, type OpenGpuOptions, listGpus, openGpu } from "./open-gpu.ts";
export { WAYS, type Way } from "./transport/index.ts";

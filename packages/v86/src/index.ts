/** virtio-gpu for v86. */
export { attachVirtioGpu, type V86Gpu, type VirtioGpuOptions } from "./attach.ts";
export { V86_VERSIONS, type V86Emulator } from "./internals.ts";
export { packState, unpackState } from "./state-bytes.ts";
export { canvasSink, combineSinks, type CanvasSink, type CanvasSinkOptions } from "./sinks/canvas-sink.ts";
export type { CanvasLike } from "./sinks/canvas-types.ts";

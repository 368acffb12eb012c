/** The host side: a complete virtio-gpu device. */
export * from "./differences.ts";
export * from "./display-sink.ts";
export * from "./gpu-device.ts";
export * from "./memory-renderer.ts";
export type { DeviceOutput, OutputLayout, VirtioGpuDeviceOptions } from "./options.ts";
export {
  type ByteArray,
  type ConversionSize,
  framebufferToRgba,
  type PixelRect,
  type PixelSource,
  type RgbaTarget,
  toRgba,
} from "./pixels.ts";
export * from "./renderer.ts";
export type { BlobFacts, ResourceKind } from "./resource.ts";
export {
  GPU_DEVICE_STATE_VERSION,
  type GpuDeviceState,
  type SavedContexts,
  type SavedCursor,
  type SavedResource,
  type SavedScanout,
} from "./saved-state.ts";
export type { Framebuffer } from "./scanout.ts";

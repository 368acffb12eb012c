/** The guest side: VirtioGpu and all that it hands out. */
export { type BufferShape, GpuBuffer } from "./buffer.ts";
export type { Deadlines } from "./core.ts";
export type { Rect } from "./desired/geometry.ts";
export type {
  BlobLayout,
  BufferExporter,
  DesiredCursor,
  ImportListener,
  LostObject,
  Resource3dParameters,
} from "./desired/objects.ts";
export type { SavedBacking, SavedBuffer, SavedContext, SavedState } from "./desired/saved-state.ts";
export { TextConsole } from "./display/console.ts";
export type { ConnectorState, HotplugChange, HotplugEvent } from "./display/display.ts";
export * from "./display/modes.ts";
export { type BufferOptions, type ImportOptions, VirtioGpu, type VirtioGpuOptions } from "./gpu.ts";
export { Cursor, Output } from "./output.ts";
export type { UnrecoverablePolicy } from "./power/policy.ts";
export type { DriverState } from "./power/state.ts";
export {
  type Box,
  type ContextOptions,
  RenderContext,
  Rendering,
  type Transfer3d,
} from "./rendering.ts";
export { RenderResource } from "./render-resource.ts";
export type { HostCapset } from "./session/capsets.ts";
export type { Fence } from "./session/fences.ts";

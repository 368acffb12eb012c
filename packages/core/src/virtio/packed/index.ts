export * from "./device-queue.ts";
export * from "./driver-queue.ts";
export { type PackedLayout, isPackedSize, packedLayout } from "./layout.ts";

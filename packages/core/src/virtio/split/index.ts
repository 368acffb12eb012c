export * from "./device-queue.ts";
export * from "./driver-queue.ts";
export { type SplitLayout, isSplitSize, splitLayout } from "./layout.ts";

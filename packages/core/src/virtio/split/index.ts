export * from "./device-queue.ts";
export * from "./driver-queue.ts";
export {
  DESCRIPTOR_BYTES,
  DESCRIPTOR_INDIRECT,
  DESCRIPTOR_NEXT,
  DESCRIPTOR_WRITE,
  type SplitLayout,
  isSplitSize,
  splitLayout,
} from "./layout.ts";

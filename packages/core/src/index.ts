/**
 * A virtio-gpu driver and device that come through suspend and hibernation with every pixel. Each part has an entry
 * point of its own too (`@virtgpu/core/driver`, ...); the simulation only that.
 */
export * from "./base/index.ts";
export * from "./device/index.ts";
export * from "./driver/index.ts";
export * from "./memory/index.ts";
export * from "./sleep/index.ts";
export * from "./virtio/index.ts";
export * from "./wire/index.ts";

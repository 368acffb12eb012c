/** The host side: a complete virtio-gpu device. */
export * from "./display-sink.ts";
export * from "./gpu-device.ts";
export * from "./options.ts";
export * from "./pixels.ts";
export * from "./renderer.ts";

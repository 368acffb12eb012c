/** The virtio core: rings from both ends, transports, and what a device model is to them. */
export * from "./bring-up.ts";
export * from "./bus-access.ts";
export * from "./device-model.ts";
export * from "./device-queue.ts";
export * from "./driver-queue.ts";
export * from "./loopback.ts";
export * from "./machinery/index.ts";
export * from "./mmio/transport.ts";
export * from "./packed/index.ts";
export * from "./pci/capabilities.ts";
export * from "./pci/transport.ts";
export * from "./queue.ts";
export * from "./split/index.ts";
export * from "./transport.ts";

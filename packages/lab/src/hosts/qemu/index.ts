export * from "./pci-bus.ts";
export * from "./ppm.ts";
export * from "./qemu-host.ts";
export * from "./qemu-process.ts";
export * from "./qmp-client.ts";
export * from "./qtest-channel.ts";
export * from "./ram-file.ts";
export * from "./rfb-client.ts";

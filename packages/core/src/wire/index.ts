/** The bytes on the wire. See each file's head for its format. */
export * from "./edid/index.ts";
export * from "./gpu.gen.ts";
export * from "./gpu.ts";
export * from "./mmio.ts";
export * from "./names.ts";
export * from "./pci.ts";
export * from "./ring.ts";
export * from "./virtio.ts";
export * from "./words.ts";

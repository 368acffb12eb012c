/** Parts of a simulation: virtual time, seeded randomness, faults. For tests and the lab. */
export * from "./boot-driver.ts";
export * from "./faults/command-faults.ts";
export * from "./faults/dma-watch.ts";
export * from "./faults/faulty-allocator.ts";
export * from "./faults/faulty-dma-map.ts";
export * from "./faults/faulty-model.ts";
export * from "./faults/faulty-queue.ts";
export * from "./faults/faulty-transport.ts";
export * from "./faults/watched-memory.ts";
export * from "./recorder.ts";
export * from "./seeded-random.ts";
export * from "./sim-host.ts";
export * from "./sim-machine.ts";
export * from "./sim-platform.ts";
export * from "./virtual-clock.ts";
export type { PciSlotOptions } from "./wiring/pci-slot.ts";
export type { SlotKind } from "./wiring/wiring.ts";

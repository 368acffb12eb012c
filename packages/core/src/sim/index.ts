/** Parts of a simulation: virtual time, seeded randomness, faults. For tests and the lab. */
export * from "./faults/command-faults.ts";
export * from "./faults/faulty-model.ts";
export * from "./faults/faulty-queue.ts";
export * from "./faults/faulty-transport.ts";
export * from "./recorder.ts";
export * from "./seeded-random.ts";
export * from "./virtual-clock.ts";

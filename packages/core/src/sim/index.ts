/** Parts of a simulation: virtual time, seeded randomness, faults. For tests and the lab. */
export * from "./recorder.ts";
export * from "./seeded-random.ts";
export * from "./virtual-clock.ts";

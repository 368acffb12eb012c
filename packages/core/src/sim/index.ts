/** Parts of a simulation: virtual time, seeded randomness, faults. For tests and the lab. */
export * from "./seeded-random.ts";
export * from "./virtual-clock.ts";

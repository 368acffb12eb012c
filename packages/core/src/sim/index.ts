/** Parts of a simulation: virtual time, seeded randomness, faults. For tests and the lab. */
export {};

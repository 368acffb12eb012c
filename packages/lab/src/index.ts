/**
 * The lab: hosts for the driver, real and embedded, and what is done with them.
 */
export * from "./hosts/machine.ts";
export * from "./hosts/node-clock.ts";
export * from "./hosts/qemu/index.ts";
export * from "./oracle/index.ts";
export * from "./scenarios/suspend/index.ts";

export * from "./taken-function.ts";
export * from "./take.ts";
export * from "./pausable-transport.ts";

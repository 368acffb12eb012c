export * from "./taken-function.ts";
export * from "./take.ts";

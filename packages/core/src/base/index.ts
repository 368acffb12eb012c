export * from "./assert.ts";
export * from "./clock.ts";
export * from "./errors.ts";
export * from "./power.ts";
export * from "./random.ts";
export * from "./tracer.ts";

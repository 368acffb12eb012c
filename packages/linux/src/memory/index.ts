export * from "./locked-memory.ts";
export * from "./pagemap.ts";
export * from "./pool-allocator.ts";
export * from "./source.ts";
export * from "./bus-map.ts";

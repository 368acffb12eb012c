export * from "./mapping.ts";
export * from "./sys.ts";
export * from "./system-call-error.ts";

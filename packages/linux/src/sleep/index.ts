export * from "./gpu-sleep.ts";
export * from "./hibernate.ts";
export * from "./logind.ts";
export * from "./rehearse.ts";
export * from "./sleep-watch.ts";

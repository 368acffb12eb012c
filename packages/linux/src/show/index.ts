export * from "./fit.ts";
export * from "./picture-wall.ts";
export * from "./show.ts";

export * from "./config-file.ts";
export * from "./driver-binding.ts";
export * from "./register-window.ts";
export * from "./sysfs.ts";

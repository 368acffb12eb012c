/** A small 32-bit Linux for v86. */
export * from "./guest-files.ts";
export { GREETING, SHELL_PROMPT } from "./init-script.ts";

/**
 * Makes a folder and those above it. Node's own recursive mkdir never comes back where the system refuses with ENOENT, as
 * below /proc.
 */
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/** Throws the file system's error, ENOTDIR where something else has the name. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    makeFolder(dirname(path));
    mkdirSync(path);
  }
}

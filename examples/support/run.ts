/** Runs an example in a process of its own, on the sources, in an empty folder: for its test. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What a run came to. */
export interface ExampleRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Where it ran, and left what it wrote. */
  readonly folder: string;
}

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Runs `program`, a path of a TypeScript file, lets `check` look at the outcome, and removes what it left. */
export function runExample(program: string, check: (run: ExampleRun) => void): void {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-example-"));
  try {
    const env = { ...process.env, TSX_TSCONFIG_PATH: path("../tsconfig.json") };
    const args = ["--import", path("../../node_modules/tsx/dist/loader.mjs"), program];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8", env });
    check({ status, stdout, stderr, folder });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The path of an example by its name. */
export const example = (name: string): string => path(`../${name}.ts`);

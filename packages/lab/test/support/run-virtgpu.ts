/**
 * The command `virtgpu hibernate`, from its sources, in this process or in one of its own, in an empty folder.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { buildRouteMap } from "@stricli/core";
import { hibernateCommand } from "../../src/commands/hibernate.ts";
import { runApplication } from "../../src/commands/run-application.ts";
import type { RunSummary } from "../../src/report/run-record.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const LOADER = path("../../../../node_modules/tsx/dist/loader.mjs");
const CLI = path("../../src/cli.ts");
const TSCONFIG = path("../../../../examples/tsconfig.json");

/** What a run came to. */
export interface CommandRun {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const root = buildRouteMap({ routes: { hibernate: hibernateCommand }, docs: { brief: "for tests" } });
// Machine processes run the core's sources, as this one does.
process.env["TSX_TSCONFIG_PATH"] = TSCONFIG;

/** Runs it in this process, with these arguments; machines are processes of their own. */
export async function runVirtgpu(folder: string, args: readonly string[]): Promise<CommandRun> {
  let [stdout, stderr] = ["", ""];
  const collected = {
    stdout: {
      write: (text: string): void => {
        stdout += text;
      },
    },
    stderr: {
      write: (text: string): void => {
        stderr += text;
      },
    },
  };
  const status = await runApplication(root, args, { process: collected, folder });
  return { status, stdout, stderr };
}

/** Starts it as a process of its own. */
export function startVirtgpu(folder: string, args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, ["--import", LOADER, CLI, ...args], {
    cwd: folder,
    env: { ...process.env, TSX_TSCONFIG_PATH: TSCONFIG, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** What a started one comes to. */
export async function ended(child: ReturnType<typeof startVirtgpu>): Promise<CommandRun> {
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { status, stdout, stderr };
}

/** Runs `virtgpu hibernate --json` with small pictures. */
export async function hibernate(
  folder: string,
  args: readonly string[],
): Promise<CommandRun & { readonly summary: RunSummary }> {
  const small = [
    ["--size", "320x200"],
    ["--objects", "4"],
  ].filter(([name = ""]) => !args.includes(name) && !args.includes("--resume"));
  const run = await runVirtgpu(folder, ["hibernate", "--json", ...small.flat(), ...args]);
  if (run.stdout === "") throw new Error(`no JSON; it said: ${run.stderr}`);
  return { ...run, summary: JSON.parse(run.stdout) };
}

/** Lets `work` have an empty folder, and removes it. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "virtgpu-test-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Names in a folder, hidden ones too; none where there is no folder. */
export function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

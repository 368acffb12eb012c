/**
 * Applies a series to copies of the files that it names, in a scratch folder: the tree that is built hears of it only when
 * all patches fit. `git apply` does the work: exact like `git am`, and it refuses paths that lead out of the folder.
 */
import { execFile } from "node:child_process";
import { copyFileSync, lstatSync, mkdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { UsageError } from "../../../usage-error.ts";
import { type Patched, refuseBehindLink } from "./mirror.ts";
import { gitEnvironment, type Patch } from "./patch-series.ts";

const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
const run = promisify(execFile);

/** What {@link applySeries} needs. */
export interface ApplyOptions {
  /** The source's root; only read. */
  readonly source: string;
  /** e.g. "Linux 6.1.192", for the sentence of an error. */
  readonly name: string;
  readonly patches: readonly Patch[];
  /** A folder of ours; emptied first. */
  readonly scratch: string;
  /** Where git's words go when a patch does not apply. */
  readonly log: string;
}

/** The patched files. Throws UsageError: the patch, the file and the hunk that don't fit. */
export async function applySeries(options: ApplyOptions): Promise<Patched> {
  rmSync(options.scratch, { recursive: true, force: true });
  mkdirSync(options.scratch, { recursive: true });
  const paths = new Set<string>();
  for (const [index, patch] of options.patches.entries()) {
    const who = `patch ${index + 1} of ${options.patches.length} ${JSON.stringify(patch.title)} (${patch.file})`;
    for (const path of await touchedPaths(options, patch, who)) {
      if (paths.has(path)) continue;
      refuseBehindLink(options.source, path, who);
      copyOne(join(options.source, path), join(options.scratch, path));
      paths.add(path);
    }
    const refused = await gitApply(options.scratch, ["--verbose"], patch.diff);
    if (refused !== null) throw await refusal(options, patch, who, refused);
  }
  return { from: options.scratch, paths: [...paths].sort() };
}

/** The files that it reads, writes, removes or renames. */
async function touchedPaths(options: ApplyOptions, patch: Patch, who: string): Promise<ReadonlySet<string>> {
  const listed = await git(options.scratch, ["apply", "--numstat", "-z"], patch.diff);
  if (!listed.ok) {
    const said = /^error: (.*)$/m.exec(listed.stderr)?.[1] ?? "git can't read it";
    throw new UsageError(`${who} is damaged: ${said} (a mail program may have wrapped its lines)`);
  }
  const written = listed.stdout.split("\0").flatMap((row) => {
    const path = /^(?:\d+|-)\t(?:\d+|-)\t(.+)$/s.exec(row)?.[1];
    return path === undefined ? [] : [Buffer.from(path, "latin1").toString("utf8")];
  });
  const read = [...patch.diff.matchAll(/^(?:rename|copy) from (.+?)\r?$/gm)].flatMap(([, path]) => path ?? []);
  return new Set([...written, ...read]);
}

/** A file that is not there is none: the patch makes it, or does not apply. */
function copyOne(from: string, to: string): void {
  const stat = lstatSync(from, { throwIfNoEntry: false });
  if (stat === undefined || !(stat.isFile() || stat.isSymbolicLink())) return;
  mkdirSync(dirname(to), { recursive: true });
  if (stat.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
  else copyFileSync(from, to);
}

async function refusal(options: ApplyOptions, patch: Patch, who: string, said: string): Promise<UsageError> {
  mkdirSync(dirname(options.log), { recursive: true });
  writeFileSync(options.log, `${who}\n\n${said}`);
  const isThere = (await gitApply(options.scratch, ["--reverse", "--check"], patch.diff)) === null;
  const why = isThere ? "this source has it already" : whereItFails(patch.diff, said);
  return new UsageError(`${who} does not apply to ${options.name}: ${why}; the log is ${options.log}`);
}

/** The file and the hunk, from git's own words. */
export function whereItFails(diff: string, said: string): string {
  const failed = /^error: patch failed: (.+):(\d+)$/m.exec(said);
  const [, path = "", line = "0"] = failed ?? [];
  if (failed === null) return /^error: (.*)$/m.exec(said)?.[1] ?? "git refuses it";
  const hunks = hunksOf(diff, path);
  const index = hunks.findIndex((hunk) => hunk.line === Number(line));
  const hunk = hunks[index];
  if (hunk === undefined) return `${path}, at line ${line}`;
  return `${path}, hunk ${index + 1} of ${hunks.length} (at line ${line}${hunk.place === "" ? "" : `, in ${hunk.place}`})`;
}

function hunksOf(diff: string, path: string): { line: number; place: string }[] {
  const hunks: { line: number; place: string }[] = [];
  let isOurs = false;
  for (const row of diff.split("\n")) {
    const file = /^(?:---|\+\+\+) (?:[^/\t]+\/)?([^\t\r]+)/.exec(row)?.[1];
    if (row.startsWith("diff --git ") || row.startsWith("--- ")) isOurs = false;
    if (file === path) isOurs = true;
    const [, line, place] = /^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@ ?(.*?)\r?$/.exec(row) ?? [];
    if (isOurs && line !== undefined) hunks.push({ line: Number(line), place: (place ?? "").trim() });
  }
  return hunks;
}

/** Null where it applied, git's words otherwise. */
async function gitApply(folder: string, options: readonly string[], diff: string): Promise<string | null> {
  const { ok, stderr } = await git(folder, ["apply", "-p1", ...options], diff);
  return ok ? null : stderr;
}

interface GitAnswer {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

async function git(folder: string, args: readonly string[], input: string): Promise<GitAnswer> {
  const running = run("git", args, {
    cwd: folder,
    env: gitEnvironment(folder),
    maxBuffer: OUTPUT_BYTES_MAX,
    encoding: "latin1",
  });
  running.child.stdin?.on("error", () => {});
  running.child.stdin?.end(Buffer.from(input, "latin1"));
  try {
    return { ok: true, ...(await running) };
  } catch (error) {
    const text = (name: string): string => {
      const value: unknown = error instanceof Error ? Reflect.get(error, name) : undefined;
      return typeof value === "string" ? value : "";
    };
    return { ok: false, stdout: text("stdout"), stderr: text("stderr") === "" ? String(error) : text("stderr") };
  }
}

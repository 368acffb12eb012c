/**
 * A program that works for us and ends with us: it runs below a small shell that holds the other end of our pipe. When the
 * pipe closes, whether we close it or our process dies (SIGKILL included), the shell kills its whole process group, so
 * that no compiler of a build is left behind. (The same leash as QEMU's, hosts/qemu/qemu-process.ts.)
 */
import { spawn } from "node:child_process";
import type { Readable } from "node:stream";

/** $@: the command line. Descriptor 0 is the leash. The watcher lets go of our pipes, so that their end is seen. */
const LEASH = `
exec 9<&0
"$@" </dev/null 9<&- &
program=$!
( exec >/dev/null 2>&1; read -r line <&9; kill -9 -$$ ) &
leash=$!
exec 9<&-
wait $program; code=$?
kill -9 $leash 2>/dev/null
exit $code
`;

/** Longest line that is handed on whole; a longer one comes in pieces. */
const LINE_CHARACTERS_MAX = 65_536;

/** What {@link runProgram} needs. */
export interface ProgramOptions {
  /** Working folder. */
  readonly folder: string;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Each line of both output streams, without its end. */
  readonly onLine: (line: string) => void;
  /** Ends the program, and rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Runs a program to its end and gives its exit code, 137 where it was killed. Rejects where it can't be started, or on the signal. */
export async function runProgram(command: readonly string[], options: ProgramOptions): Promise<number> {
  options.signal?.throwIfAborted();
  const child = spawn("/bin/sh", ["-c", LEASH, "sh", ...command], {
    cwd: options.folder,
    env: { ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  eachLine(child.stdout, options.onLine);
  eachLine(child.stderr, options.onLine);
  const onAbort = (): void => {
    child.stdin.destroy();
  };
  options.signal?.addEventListener("abort", onAbort);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (ended) => resolve(ended ?? 137));
    });
    options.signal?.throwIfAborted();
    return code;
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
    child.stdin.destroy();
  }
}

function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("latin1");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
    if (rest.length < LINE_CHARACTERS_MAX) return;
    onLine(rest);
    rest = "";
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}

/** Ours without what would steer make, git or the compiler behind our back: the same input gives the same kernel. */
export function plainEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = ["PATH", "HOME", "TMPDIR"].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), LC_ALL: "C", ...more };
}

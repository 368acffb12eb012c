/**
 * One build at a time in a work folder. The lock is flock(2), held by a small process at the other end of our pipe: the
 * kernel lets go of it when that ends, and that ends with us, so a lock is never left behind.
 */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { plainEnvironment } from "./run-program.ts";

const HOLD = "echo held; exec cat >/dev/null";

/** Takes the lock, and waits for whoever has it (`onWait` is called once). Rejects on the signal, or where there is no flock. */
export async function takeLock(path: string, onWait: () => void, signal?: AbortSignal): Promise<AsyncDisposable> {
  const quick = await hold(["--nonblock", path], signal);
  if (quick !== null) return quick;
  onWait();
  const lock = await hold([path], signal);
  if (lock === null) throw new Error(`${path} can't be locked`);
  return lock;
}

async function hold(args: readonly string[], signal: AbortSignal | undefined): Promise<AsyncDisposable | null> {
  signal?.throwIfAborted();
  const child = spawn("flock", ["--no-fork", ...args, "sh", "-c", HOLD], {
    env: plainEnvironment(),
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const onAbort = (): void => {
    child.kill("SIGKILL");
  };
  signal?.addEventListener("abort", onAbort);
  try {
    const isHeld = await firstWord(child);
    signal?.throwIfAborted();
    if (!isHeld) return null;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await closed;
    },
  };
}

/** True as soon as it holds the lock, false where it ended without. */
async function firstWord(child: ChildProcessByStdio<Writable, Readable, null>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.stdout.once("data", () => resolve(true));
    child.once("close", () => resolve(false));
  });
}

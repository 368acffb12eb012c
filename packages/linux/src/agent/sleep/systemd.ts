/**
 * Sleeps as a user asks for them on a system with systemd: by systemctl(1), which starts the units around a sleep and, with
 * those of systemd-suspend.service(8), the sleep itself.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { messageOf } from "../message-of.ts";
import type { SleepWay } from "../protocol.ts";
import type { SleepEnd } from "./sleeper.ts";

const VERBS: Partial<Readonly<Record<SleepWay, string>>> = {
  "s4-platform": "hibernate",
  s3: "suspend",
  hybrid: "hybrid-sleep",
};

/** Settles in the machine that woke, or that never slept, once systemd is done with it. */
export async function sleepBySystemd(way: SleepWay, systemctl: string = "/bin/systemctl"): Promise<SleepEnd> {
  const verb = VERBS[way];
  if (verb === undefined) return { error: `ENOTSUP: systemd has no ${way}`, isSecondLife: false };
  try {
    await promisify(execFile)(systemctl, [verb]);
    return { error: null, isSecondLife: false };
  } catch (error) {
    const [first = ""] = said(error).trim().split("\n");
    return { error: `EIO: systemctl ${verb}: ${first === "" ? messageOf(error) : first}`, isSecondLife: false };
  }
}

function said(error: unknown): string {
  return typeof error === "object" && error !== null && "stderr" in error ? String(error.stderr) : "";
}

/** Hibernation by our own hand: /sys/power (the kernel's admin-guide/pm/sleep-states). */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { GpuError } from "@virtgpu/core/base";
import { errnoName } from "../native/system-call-error.ts";
import type { GpuSleep, Waking } from "./gpu-sleep.ts";

/** How the machine goes off: by ACPI S4, by a plain power-off, or by a reboot. */
export type HibernationMode = "platform" | "shutdown" | "reboot";

/** What came of it. */
export interface Hibernation {
  /** Null: the machine slept, and this is the woken one. Else what the kernel said, e.g. "ENODEV" without a swap disk. */
  readonly error: string | null;
  readonly waking: Waking;
}

/**
 * Freezes the GPUs, hibernates the machine, and brings the GPUs back. The write to /sys/power/state blocks this thread
 * until the machine is awake again. Throws GpuError when the GPUs can't be frozen, or this kernel can't hibernate.
 */
export async function hibernate(sleep: GpuSleep, mode: HibernationMode | null = null, root = ""): Promise<Hibernation> {
  const folder = `${root}/sys/power`;
  assertCanHibernate(folder);
  await sleep.freeze();
  const error = sleepNow(folder, mode);
  return { error, waking: sleep.restore() };
}

function assertCanHibernate(folder: string): void {
  let states: readonly string[] = [];
  try {
    states = readFileSync(`${folder}/state`, "utf8").trim().split(" ");
  } catch {
    // The sentence below says it.
  }
  if (!states.includes("disk")) throw new GpuError("ENOTSUP", `this kernel can't hibernate (${folder}/state)`);
}

function sleepNow(folder: string, mode: HibernationMode | null): string | null {
  try {
    if (mode !== null) writeFileSync(`${folder}/disk`, mode);
    const fd = openSync(`${folder}/state`, "w");
    try {
      writeSync(fd, "disk");
    } finally {
      closeSync(fd);
    }
    return null;
  } catch (error) {
    return errnoName(error) ?? String(error);
  }
}

/** Sleeps by words in files. Kernel interface: /sys/power. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoName } from "../../native/index.ts";
import type { SleepPlan } from "./ways.ts";
import { writeWord } from "./write-word.ts";

/** Does what a plan says under a folder that is /sys/power. Settles in the machine that wakes, or that never slept. */
export async function enterState(plan: SleepPlan, power: string): Promise<void> {
  try {
    for (const [file, word] of plan.settings) await offered(join(power, file), word);
    // The write is made by another thread: flips go on until all are frozen.
    await writeWord(join(power, "state"), plan.state);
  } finally {
    for (const [file, word] of plan.after) await writeWord(join(power, file), word).catch(() => undefined);
  }
}

/** Writes a word that a kernel may not know: its refusal says then what it does know. */
async function offered(file: string, word: string): Promise<void> {
  try {
    await writeWord(file, word);
  } catch (error) {
    const known = await readFile(file, "utf8").catch(() => "nothing");
    throw new Error(
      `${errnoName(error) ?? "EIO"}: this kernel takes no "${word}" in ${file}, it offers: ${known.trim()}`,
    );
  }
}

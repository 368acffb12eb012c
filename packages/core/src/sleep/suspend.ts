/** S3 and suspend-to-idle, in the order of Linux's kernel/power/suspend.c. */
import { FROM_RAM, type PmTest, type SleepTarget, TO_IDLE, TO_RAM } from "./platform.ts";
import type { SleepRun } from "./run.ts";

/** enter_state(): the notifiers, the tasks, the devices, the sleep, and back. `tested`: `pmTest` was reached. */
export async function suspend(run: SleepRun, target: SleepTarget, pmTest?: PmTest): Promise<"woken" | "tested"> {
  run.enter("preparing");
  await run.syncFilesystems();
  await run.prepare("SUSPEND_PREPARE", "POST_SUSPEND");
  try {
    run.enter("freezing");
    await run.down("tasks", "SUSPEND");
    await run.down("kernel-threads", "SUSPEND");
    if (pmTest === "freezer") return "tested";
    await run.down("allocations", "SUSPEND");
    return await suspendDevicesAndEnter(run, target, pmTest);
  } finally {
    await run.wakeUp("POST_SUSPEND", "RESUME");
  }
}

/** suspend_devices_and_enter(), for hybrid sleep and `/dev/snapshot` too: no notifier is told, tasks stay frozen. */
export async function suspendDevicesAndEnter(
  run: SleepRun,
  target: SleepTarget,
  pmTest?: PmTest,
): Promise<"woken" | "tested"> {
  try {
    if (await run.descend(target === "mem" ? TO_RAM : TO_IDLE, "SUSPEND", pmTest)) return "tested";
    if (target === "mem") await run.lastCheck();
    run.enter("asleep");
    run.wake = await run.verb(`enter ${target}`, () => run.platform.enterSleep(target));
    return "woken";
  } finally {
    run.enter("thawing");
    await run.ascend(FROM_RAM, "RESUME");
  }
}

/**
 * Hibernation, in the order of Linux's kernel/power/hibernate.c: the kernel that writes the image, the boot kernel that
 * loads it, and the image's own kernel. Each way reads from top to bottom; what `finally` does is the way back.
 */
import { GpuError, type RestoreMessage } from "../base/index.ts";
import {
  FIRMWARE_STEPS,
  FROM_BEFORE_DEVICES,
  FROM_JUMP,
  FROM_PLATFORM_OFF,
  FROM_SNAPSHOT,
  IN_IMAGE,
  type PmTest,
  type SleepStep,
  TO_JUMP,
  TO_PLATFORM_OFF,
  TO_SNAPSHOT,
} from "./platform.ts";
import type { SleepRun } from "./run.ts";
import { isFinal } from "./states.ts";
import { suspendDevicesAndEnter } from "./suspend.ts";

/**
 * What happens once the image is written (Linux /sys/power/disk). `platform`: the firmware's S4. `suspend`: hybrid
 * sleep, S3 with the image as a safety net. `test_resume`: this kernel loads it at once.
 */
export type HibernationMode = "platform" | "shutdown" | "reboot" | "suspend" | "test_resume";

/** What one hibernation is asked to do. */
export interface HibernateOptions {
  readonly mode: HibernationMode;
  /** Turn back behind this level, with everything as it was (Linux /sys/power/pm_test). */
  readonly pmTest?: PmTest | undefined;
}

/**
 * What a way to an image and back came to; that it came to nothing is an exception.
 *
 * | outcome | meaning |
 * | --- | --- |
 * | done | the call did what its name says |
 * | snapshotted | the image is in memory, this kernel goes on |
 * | resumed | this is the image's kernel, back from its disk |
 * | woken | it slept in RAM and woke |
 * | tested | `pmTest` was reached, and everything came back |
 * | aborted | a wakeup event or a failure turned it back: see `failures` |
 * | off | the power is off, or the machine reboots; this kernel is at its end |
 * | replaced | the image's kernel has the machine; this kernel is at its end |
 * | halted | the image is valid but the power could not be cut; this kernel must not run on |
 */
export type SleepOutcome =
  | "done"
  | "snapshotted"
  | "resumed"
  | "woken"
  | "tested"
  | "aborted"
  | "off"
  | "replaced"
  | "halted";

/** hibernate(): the notifiers, the image, the power-off, and (in the image's kernel, or rolled back) all the way back. */
export async function hibernate(run: SleepRun, { mode, pmTest }: HibernateOptions): Promise<SleepOutcome> {
  run.enter("preparing");
  await run.prepare("HIBERNATION_PREPARE", "POST_HIBERNATION");
  try {
    run.enter("freezing");
    await run.syncFilesystems();
    await run.down("tasks", "FREEZE");
    const world = await takeSnapshot(run, mode === "platform", pmTest);
    if (world !== "snapshotted") return world;
    await writeImage(run);
    return mode === "test_resume" ? await testResume(run) : await powerDown(run, mode);
  } finally {
    if (!isFinal(run.parts.system.state)) await run.wakeUp("POST_HIBERNATION", "RESTORE");
  }
}

/**
 * hibernation_snapshot(): down to the snapshot and back to running devices. In the kernel that goes on the devices come
 * back while image memory is held and allocations are restricted; in every other case the image's memory is free again.
 */
export async function takeSnapshot(
  run: SleepRun,
  throughFirmware: boolean,
  pmTest?: PmTest,
): Promise<"snapshotted" | "resumed" | "tested"> {
  const way = throughFirmware ? TO_SNAPSHOT : TO_SNAPSHOT.filter(([step]) => !FIRMWARE_STEPS.has(step));
  let message: RestoreMessage = "RESTORE";
  try {
    if (await run.descend(way, "FREEZE", pmTest)) return "tested";
    await run.lastCheck();
    run.enter("snapshotting");
    message = "RECOVER";
    const world = await run.verb("snapshot", () => run.platform.snapshot());
    message = world === "snapshotted" ? "THAW" : "RESTORE";
    return world;
  } finally {
    await comeBackFromSnapshot(run, message);
  }
}

/** The way back from create_image() and hibernation_snapshot(), in whichever kernel. */
async function comeBackFromSnapshot(run: SleepRun, message: RestoreMessage): Promise<void> {
  const toBeWritten: readonly SleepStep[] = message === "THAW" ? ["image-memory", "allocations"] : [];
  run.enter("thawing");
  await run.ascend(run.isDown("console") ? FROM_SNAPSHOT : FROM_BEFORE_DEVICES, message, toBeWritten);
}

/** swsusp_write(): tasks are still frozen, devices run. */
async function writeImage(run: SleepRun): Promise<void> {
  run.enter("writing");
  try {
    await run.verb("write-image", () => run.platform.writeImage(), {
      deadlineMs: run.parts.deadlines.imageMs,
      // By then the system runs on: an image found at the next boot would take it back in time.
      undoLate: () => run.platform.discardImage(),
    });
  } finally {
    await run.up("image-memory", "THAW");
  }
}

/** power_down(). Returns only what did not end in darkness, or that it did. */
async function powerDown(
  run: SleepRun,
  mode: Exclude<HibernationMode, "test_resume">,
): Promise<"off" | "halted" | "woken" | "aborted"> {
  let way = mode;
  if (way === "suspend") {
    try {
      await suspendDevicesAndEnter(run, "mem");
      await run.discardImage();
      return "woken";
    } catch {
      way = "platform";
    }
  }
  if (way === "platform") {
    try {
      await platformPowerOff(run);
      return "off";
    } catch (error) {
      if (error instanceof GpuError && error.code === "EBUSY") {
        // A wakeup event: someone is at the machine. Any other error must not keep the power on.
        await run.discardImage();
        return "aborted";
      }
      way = "shutdown";
    }
  }
  return shutDown(run, way);
}

/** hibernation_platform_enter(): devices go down once more, then the firmware cuts the power. */
export async function platformPowerOff(run: SleepRun): Promise<void> {
  try {
    await run.descend(TO_PLATFORM_OFF, "HIBERNATE");
    await run.lastCheck();
    run.enter("powering-off");
    await run.verb("power-off platform", () => run.platform.powerOff("platform"));
    run.enter("off");
  } catch (error) {
    run.enter("thawing");
    await run.ascend(FROM_PLATFORM_OFF, "RESTORE");
    throw error;
  }
}

/** kernel_power_off() and kernel_restart(): no freeze, every driver's shutdown instead. */
export async function shutDown(run: SleepRun, mode: "shutdown" | "reboot"): Promise<"off" | "halted"> {
  run.enter("powering-off");
  await run.parts.devices.shutdownAll(run.log);
  try {
    await run.verb(`power-off ${mode}`, () => run.platform.powerOff(mode));
    run.enter("off");
    return "off";
  } catch {
    run.enter("halted");
    return "halted";
  }
}

/** software_resume(), in the boot kernel: load the image and hand the machine over; or recover and boot on. */
export async function resumeFromImage(run: SleepRun, throughFirmware: boolean): Promise<"replaced"> {
  run.enter("preparing");
  await run.prepare("RESTORE_PREPARE", "POST_RESTORE");
  try {
    run.enter("freezing");
    await run.down("tasks", "QUIESCE");
    await run.down("kernel-threads", "QUIESCE");
    await run.down("image-load", "QUIESCE");
    await jump(run, throughFirmware);
    run.enter("replaced");
    return "replaced";
  } finally {
    if (!isFinal(run.parts.system.state)) await run.wakeUp("POST_RESTORE", "RECOVER");
  }
}

/** hibernation_restore(): devices are quiesced, then the image takes over. Throws if it did not, with devices running. */
export async function jump(run: SleepRun, throughFirmware: boolean): Promise<void> {
  const way = throughFirmware ? TO_JUMP : TO_JUMP.filter(([step]) => !FIRMWARE_STEPS.has(step));
  try {
    await run.descend(way, "QUIESCE");
    run.enter("jumping");
    await run.verb("jump", () => run.platform.jumpToImage());
  } catch (error) {
    // A jump fails for want of memory only; so a loaded image goes first.
    if (run.parts.system.state === "jumping") await run.up("image-load", "RECOVER");
    run.enter("thawing");
    await run.ascend(FROM_JUMP, "RECOVER");
    throw error;
  }
}

/** `test_resume`: the boot kernel's side in the kernel that has just written the image. */
async function testResume(run: SleepRun): Promise<"resumed"> {
  run.enter("freezing");
  try {
    await run.up("allocations", "THAW");
    await run.down("image-load", "QUIESCE");
    await jump(run, false);
  } catch (error) {
    // This kernel runs on: an image found at the next boot would take it back in time.
    await run.discardImage();
    throw error;
  }
  await resumeAsImage(run, false);
  return "resumed";
}

/** The image's kernel, from the instruction behind the snapshot up to running devices. */
export async function resumeAsImage(run: SleepRun, throughFirmware: boolean): Promise<void> {
  run.becomeImage(throughFirmware ? IN_IMAGE : IN_IMAGE.filter((step) => !FIRMWARE_STEPS.has(step)));
  await comeBackFromSnapshot(run, "RESTORE");
}

/** The image's kernel all the way: hibernate() from behind the snapshot. */
export async function continueFromImage(run: SleepRun, throughFirmware: boolean): Promise<"resumed"> {
  await resumeAsImage(run, throughFirmware);
  await run.wakeUp("POST_HIBERNATION", "RESTORE");
  return "resumed";
}

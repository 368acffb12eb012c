/**
 * What the machine does in a sleep, apart from its devices: the steps of Linux's kernel/power (hibernate.c, suspend.c),
 * each with its way down and its way back, and the tables of their order.
 */
import type { FreezeMessage, RestoreMessage } from "../base/index.ts";

/**
 * The steps, with their names in Linux.
 *
 * | step | down | back |
 * | --- | --- | --- |
 * | tasks | freeze_processes | thaw_processes |
 * | platform-begin | platform_begin | platform_end |
 * | image-memory | hibernate_preallocate_memory | swsusp_free |
 * | image-load | swsusp_read | swsusp_free |
 * | kernel-threads | freeze_kernel_threads | thaw_kernel_threads |
 * | device-prepare | dpm_prepare | dpm_complete |
 * | console | suspend_console | resume_console |
 * | allocations | pm_restrict_gfp_mask | pm_restore_gfp_mask |
 * | late | dpm_suspend_late | dpm_resume_early |
 * | noirq | dpm_suspend_noirq | dpm_resume_noirq |
 * | platform-prepare | platform_pre_snapshot, hibernation_ops->prepare | platform_finish |
 * | cpus | pm_sleep_disable_secondary_cpus | pm_sleep_enable_secondary_cpus |
 * | syscore | syscore_suspend | syscore_resume |
 */
export type PlatformStep =
  | "tasks"
  | "platform-begin"
  | "image-memory"
  | "image-load"
  | "kernel-threads"
  | "device-prepare"
  | "console"
  | "allocations"
  | "late"
  | "noirq"
  | "platform-prepare"
  | "cpus"
  | "syscore";

/** A platform step, or the main phase of the devices: dpm_suspend and dpm_resume, which call the `PowerClient`s. */
export type SleepStep = PlatformStep | "devices";

/** One step of the machine. Either half may be absent, and may reject: on the way down this aborts the sleep. */
export interface StepHandler {
  /** The way down. */
  forward?(message: FreezeMessage): Promise<void>;
  /** The way back. Its failure is recorded and the way back goes on. */
  backward?(message: RestoreMessage): Promise<void>;
}

/** A wake from S3 or s2idle. */
export interface Wake {
  /** What woke the machine, for people: `rtc`, `power button`, ... */
  readonly source: string;
}

/** Into which state of RAM-kept sleep: S3, or suspend-to-idle. */
export type SleepTarget = "mem" | "s2idle";

/** How the power ends: the platform's S4, a plain power-off, a reboot. */
export type PowerOffMode = "platform" | "shutdown" | "reboot";

/** The machine. Each of its promises may reject to fail the step. */
export interface SleepPlatform {
  /** Steps in which this machine has something to do. */
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** Linux ksys_sync_helper(): what is not in the image yet goes to its disks. */
  syncFilesystems(): Promise<void>;
  /** Linux pm_wakeup_pending(): something happened that a sleep would miss. */
  wakeupPending(): boolean;
  /**
   * Takes the image (Linux swsusp_arch_suspend). Returns in two time lines: `snapshotted` in the machine that goes on to
   * write it, `resumed` in one that was restored from it.
   */
  snapshot(): Promise<"snapshotted" | "resumed">;
  /** Writes the image to where the next boot looks for it; a half-written one must not be found there. */
  writeImage(): Promise<void>;
  /** Makes the next boot ignore the image (Linux swsusp_unmark): the system runs on, so the image is stale. */
  discardImage(): Promise<void>;
  /** Enters S3 or s2idle; resolves at the wake. */
  enterSleep(target: SleepTarget): Promise<Wake>;
  /** Ends the power. Resolves when the machine is as good as off (or never); rejects if the power can't be cut. */
  powerOff(mode: PowerOffMode): Promise<void>;
  /** Hands the machine to the loaded image. Resolves when the image's kernel runs (or never); rejects if it can't. */
  jumpToImage(): Promise<void>;
}

/** A machine on which every step succeeds and does nothing: spread it and override what yours does. */
export const idlePlatform: SleepPlatform = {
  steps: {},
  syncFilesystems: () => Promise.resolve(),
  wakeupPending: () => false,
  snapshot: () => Promise.resolve("snapshotted" as const),
  writeImage: () => Promise.resolve(),
  discardImage: () => Promise.resolve(),
  enterSleep: () => Promise.resolve({ source: "none" }),
  powerOff: () => Promise.resolve(),
  jumpToImage: () => Promise.resolve(),
};

/** Linux's `pm_test` levels: how far down a trial goes before it turns back. */
export type PmTest = "freezer" | "devices" | "platform" | "processors" | "core";

/** A way down: its steps in order, each with the `pm_test` level that turns back right behind it. */
export type WayDown = readonly (readonly [step: SleepStep, turnsBackAt?: PmTest])[];

/** hibernation_snapshot() and create_image(): message FREEZE. */
export const TO_SNAPSHOT: WayDown = [
  ["platform-begin"],
  ["image-memory"],
  ["kernel-threads", "freezer"],
  ["device-prepare"],
  ["console"],
  ["allocations"],
  ["devices", "devices"],
  ["late"],
  ["noirq"],
  ["platform-prepare", "platform"],
  ["cpus", "processors"],
  ["syscore", "core"],
];

/**
 * The way back from a snapshot, taken or not. Image memory that is of no more use is given back before the devices come
 * up, who may need it; kernel threads stay frozen until the tasks thaw.
 */
export const FROM_SNAPSHOT: readonly SleepStep[] = [
  "syscore",
  "cpus",
  "platform-prepare",
  "noirq",
  "late",
  "image-memory",
  "devices",
  "allocations",
  "console",
  "device-prepare",
  "platform-begin",
];

/** The way back when not even the console had been suspended: no device was touched, so the plain reverse. */
export const FROM_BEFORE_DEVICES: readonly SleepStep[] = [
  "device-prepare",
  "kernel-threads",
  "image-memory",
  "platform-begin",
];

/** What is down in an image, in order: its kernel wakes up in the middle of create_image(). */
export const IN_IMAGE: readonly SleepStep[] = ["tasks", ...TO_SNAPSHOT.map(([step]) => step)];

/** hibernation_restore() and resume_target_kernel(), the boot kernel's side: message QUIESCE. */
export const TO_JUMP: WayDown = [
  ["console"],
  ["allocations"],
  ["device-prepare"],
  ["devices"],
  ["late"],
  ["noirq"],
  ["platform-prepare"],
  ["cpus"],
  ["syscore"],
];

/** The boot kernel's way back when the jump did not come off. */
export const FROM_JUMP: readonly SleepStep[] = [
  "syscore",
  "cpus",
  "platform-prepare",
  "noirq",
  "late",
  "devices",
  "device-prepare",
  "allocations",
  "console",
];

/** hibernation_platform_enter(): message HIBERNATE. */
export const TO_PLATFORM_OFF: WayDown = [
  ["platform-begin"],
  ["console"],
  ["device-prepare"],
  ["devices"],
  ["late"],
  ["noirq"],
  ["platform-prepare"],
  ["cpus"],
  ["syscore"],
];

/** The way back when the platform did not cut the power. */
export const FROM_PLATFORM_OFF: readonly SleepStep[] = [
  "syscore",
  "cpus",
  "platform-prepare",
  "noirq",
  "late",
  "devices",
  "device-prepare",
  "console",
  "platform-begin",
];

/** suspend_devices_and_enter() down to S3: message SUSPEND. */
export const TO_RAM: WayDown = [
  ["platform-begin"],
  ["console"],
  ["device-prepare"],
  ["devices", "devices"],
  ["platform-prepare"],
  ["late"],
  ["noirq", "platform"],
  ["cpus", "processors"],
  ["syscore", "core"],
];

/** The same down to s2idle: the processors stay up. */
export const TO_IDLE: WayDown = TO_RAM.filter(([step]) => step !== "cpus" && step !== "syscore");

/** The way back from S3 and s2idle. */
export const FROM_RAM: readonly SleepStep[] = [
  "syscore",
  "cpus",
  "noirq",
  "late",
  "platform-prepare",
  "devices",
  "device-prepare",
  "console",
  "platform-begin",
];

/** Steps that only a sleep through the platform's firmware has (Linux: `platform_mode`). */
export const FIRMWARE_STEPS: ReadonlySet<SleepStep> = new Set<SleepStep>(["platform-begin", "platform-prepare"]);

/** Steps whose way back runs even if their way down failed, for it may have done a part. The others undo themselves. */
export const PARTIAL_STEPS: ReadonlySet<SleepStep> = new Set<SleepStep>([
  "platform-begin",
  "device-prepare",
  "devices",
  "platform-prepare",
  "cpus",
]);

/** Linux resume_event(): the message that undoes a phase from within. */
export const undoMessage: Readonly<Record<FreezeMessage, RestoreMessage>> = {
  FREEZE: "RECOVER",
  QUIESCE: "RECOVER",
  HIBERNATE: "RESTORE",
  SUSPEND: "RESUME",
};

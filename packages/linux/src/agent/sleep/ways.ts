/**
 * The ways to sleep that need nothing but words in files: what to write where. Kernel interface: Documentation/admin-guide/pm
 * (sleep-states, hibernation) and Documentation/power/basic-pm-debugging.
 */
import type { SleepWay } from "../protocol.ts";

/** The ways that the kernel does all by itself. */
export type PowerFileWay = Exclude<SleepWay, "uswsusp" | "uswsusp-twice">;

/** What is written under /sys/power, in order; the last word puts the machine to sleep. */
export interface SleepPlan {
  readonly settings: readonly (readonly [file: string, word: string])[];
  readonly state: "disk" | "mem" | "freeze";
  /** Written afterwards, however it went. */
  readonly after: readonly (readonly [file: string, word: string])[];
}

const disk = (mode: string): SleepPlan => ({ settings: [["disk", mode]], state: "disk", after: [] });

const test = (level: string): SleepPlan => ({
  settings: [
    ["pm_test", level],
    ["disk", "platform"],
  ],
  state: "disk",
  after: [["pm_test", "none"]],
});

/** What each way writes. */
export const sleepPlans: Readonly<Record<PowerFileWay, SleepPlan>> = {
  "s4-platform": disk("platform"),
  "s4-shutdown": disk("shutdown"),
  "s4-reboot": disk("reboot"),
  "test-resume": disk("test_resume"),
  // The image is written, then the machine sleeps as in S3; it is there should the power fail.
  hybrid: {
    settings: [
      ["mem_sleep", "deep"],
      ["disk", "suspend"],
    ],
    state: "disk",
    after: [["disk", "platform"]],
  },
  s3: { settings: [["mem_sleep", "deep"]], state: "mem", after: [] },
  s2idle: { settings: [], state: "freeze", after: [] },
  // One device after the other, so that the abort comes after the GPU and not beside it.
  "abort-freeze": {
    settings: [
      ["pm_async", "0"],
      ["disk", "platform"],
    ],
    state: "disk",
    after: [["pm_async", "1"]],
  },
  "abort-image": disk("platform"),
  "pm-test-freezer": test("freezer"),
  "pm-test-devices": test("devices"),
  "pm-test-platform": test("platform"),
  "pm-test-processors": test("processors"),
  "pm-test-core": test("core"),
};

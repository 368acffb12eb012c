/**
 * The ways to sleep of a Linux guest: what each should do to the machine, and what proves that it did (kernel:
 * Documentation/power/swsusp.rst, basic-pm-debugging.rst, userland-swsusp.rst).
 */
import type { SleepWay } from "@virtgpu/linux/agent";

/** What is known of a way before it is tried. */
export interface SleepWayFacts {
  /** For `--help`. */
  readonly about: string;
  /** Whether the QEMU process ends, and the next one wakes the guest. */
  readonly endsProcess: boolean;
  /** QMP events that must be told. */
  readonly events: readonly string[];
  /** Whether somebody has to wake the machine. */
  readonly needsWake: boolean;
  /** `refused`: the sleep is meant to fail, and to leave everything as it was. */
  readonly outcome: "slept" | "refused";
  /** Whether the machine was in ACPI S3: its firmware has run, and QEMU's q35 reaches no S4 any more. */
  readonly isS3: boolean;
  /** Requirements that the picture's coming back shows. */
  readonly requirements: readonly string[];
}

const S4 = { endsProcess: true, needsWake: false, outcome: "slept", isS3: false, requirements: [] } as const;
const LIGHT = {
  endsProcess: false,
  events: [],
  needsWake: false,
  outcome: "slept",
  isS3: false,
  requirements: [],
} as const;

/** All ways, in the order of `--help` and of the matrix. */
export const LINUX_SLEEP_WAYS: Readonly<Record<SleepWay, SleepWayFacts>> = {
  "s4-platform": { ...S4, about: "hibernation, ACPI S4; a new QEMU wakes it", events: ["SUSPEND_DISK"] },
  "s4-shutdown": { ...S4, about: "hibernation, plain power-off", events: ["SHUTDOWN"] },
  "s4-reboot": { ...S4, about: "hibernation, then a reset", events: [] },
  "test-resume": {
    ...LIGHT,
    about: "hibernation that is read back at once",
    requirements: ["R-41 (d)"],
  },
  s3: {
    ...LIGHT,
    about: "suspend to RAM, ACPI S3",
    events: ["SUSPEND"],
    needsWake: true,
    isS3: true,
    requirements: ["R-11 (a)"],
  },
  // QEMU's clock rings no bell that an idle kernel hears.
  s2idle: {
    ...LIGHT,
    about: "suspend to idle; its power button wakes it",
    needsWake: true,
    requirements: ["R-11 (b)"],
  },
  hybrid: {
    ...LIGHT,
    about: "an image to disk, then S3; woken from RAM",
    events: ["SUSPEND"],
    needsWake: true,
    isS3: true,
    requirements: ["R-11 (d)", "R-41 (c)"],
  },
  uswsusp: { ...S4, about: "one image by /dev/snapshot, then ACPI S4", events: ["SUSPEND_DISK"] },
  "uswsusp-twice": {
    ...S4,
    about: "two images by /dev/snapshot in one go: the live machine and both are looked at",
    events: ["SUSPEND_DISK"],
    requirements: ["R-15"],
  },
  "abort-freeze": {
    ...LIGHT,
    about: "a hibernation turned back once the GPU is frozen",
    outcome: "refused",
    requirements: ["R-37"],
  },
  "abort-image": {
    ...LIGHT,
    about: "a hibernation that fails for want of swap",
    outcome: "refused",
    requirements: ["R-37", "R-41 (a)"],
  },
  "pm-test-freezer": { ...LIGHT, about: "pm_test freezer: tasks frozen and thawed" },
  "pm-test-devices": { ...LIGHT, about: "pm_test devices: devices too" },
  "pm-test-platform": { ...LIGHT, about: "pm_test platform: firmware too" },
  "pm-test-processors": { ...LIGHT, about: "pm_test processors: other processors too" },
  "pm-test-core": { ...LIGHT, about: "pm_test core: all but the sleep" },
};

const NAMES: ReadonlySet<string> = new Set(Object.keys(LINUX_SLEEP_WAYS));

/** Whether a word names a way. */
export function isSleepWay(word: string): word is SleepWay {
  return NAMES.has(word);
}

/**
 * The machine for a chain of sleeps: q35, unless one follows an ACPI S3. QEMU's q35 with its firmware never powers off again
 * behind that, and its later sleeps may hang.
 */
export function machineFor(chain: readonly SleepWay[]): "q35" | "pc" {
  const first = chain.findIndex((way) => LINUX_SLEEP_WAYS[way].isS3);
  return first >= 0 && first < chain.length - 1 ? "pc" : "q35";
}

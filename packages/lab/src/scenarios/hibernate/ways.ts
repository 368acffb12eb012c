/**
 * The ways to sleep that `--sleep` offers: which operation of the system each is, and what it must come to.
 */
import type { HibernateOptions, PmTest, SleepOutcome, SleepResult, SystemSleep } from "@virtgpu/core/sleep";

/** What is made to fail on purpose, and where. */
export type PlannedAbort = "prepare" | "freeze" | "wakeup" | "image" | "power-off";

/** One way to sleep. */
export interface SleepWay {
  readonly about: string;
  /** What the operation comes to when nothing else goes wrong. */
  readonly outcome: SleepOutcome;
  /** Whether the machine process is gone afterwards, and a new one starts from the image. */
  readonly ends: boolean;
  /** Whether an image is written. */
  readonly writesImage: boolean;
  readonly abort: PlannedAbort | null;
  run(sleep: SystemSleep): Promise<SleepResult>;
}

type WayFacts = Omit<SleepWay, "run" | "ends" | "abort"> & { readonly abort?: PlannedAbort };

function hibernation(options: HibernateOptions, facts: WayFacts): SleepWay {
  return {
    ...facts,
    abort: facts.abort ?? null,
    ends: facts.outcome === "off",
    run: (sleep) => sleep.hibernate(options),
  };
}

function suspend(target: "mem" | "s2idle", facts: WayFacts): SleepWay {
  return { ...facts, abort: facts.abort ?? null, ends: false, run: (sleep) => sleep.suspend(target) };
}

const trial = (pmTest: PmTest): SleepWay =>
  hibernation(
    { mode: "platform", pmTest },
    { about: `down to pm_test ${pmTest} and back`, outcome: "tested", writesImage: false },
  );

const aborted = (abort: PlannedAbort, about: string): SleepWay =>
  hibernation({ mode: "platform" }, { about, outcome: "aborted", writesImage: abort === "power-off", abort });

/** All of them, by name. */
export const SLEEP_WAYS: Readonly<Record<string, SleepWay>> = {
  s4: hibernation(
    { mode: "platform" },
    { about: "hibernation through the firmware", outcome: "off", writesImage: true },
  ),
  shutdown: hibernation(
    { mode: "shutdown" },
    { about: "hibernation that ends in a plain power-off", outcome: "off", writesImage: true },
  ),
  reboot: hibernation(
    { mode: "reboot" },
    { about: "hibernation that ends in a reboot", outcome: "off", writesImage: true },
  ),
  s3: suspend("mem", { about: "suspend to RAM", outcome: "woken", writesImage: false }),
  s2idle: suspend("s2idle", { about: "suspend to idle", outcome: "woken", writesImage: false }),
  hybrid: hibernation(
    { mode: "suspend" },
    { about: "suspend to RAM with an image as a safety net", outcome: "woken", writesImage: true },
  ),
  "test-resume": hibernation(
    { mode: "test_resume" },
    { about: "an image that the same kernel loads at once", outcome: "resumed", writesImage: true },
  ),
  "abort-prepare": aborted("prepare", "another driver vetoes"),
  "abort-freeze": aborted("freeze", "another driver's freeze fails behind the GPU's"),
  "abort-wakeup": aborted("wakeup", "a wakeup event comes with everything down"),
  "abort-image": aborted("image", "the image can't be written"),
  "abort-power-off": aborted("power-off", "a wakeup event comes at the power-off"),
  "abort-s3": suspend("mem", {
    about: "another driver's suspend fails behind the GPU's",
    outcome: "aborted",
    writesImage: false,
    abort: "freeze",
  }),
  "test-freezer": trial("freezer"),
  "test-devices": trial("devices"),
  "test-platform": trial("platform"),
  "test-processors": trial("processors"),
  "test-core": trial("core"),
};

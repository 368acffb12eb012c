/**
 * Scenes and hosts that are hard on a driver: each a plain run with something else about it.
 */
import type { SleepWay } from "@virtgpu/linux/agent";
import type { BootChanges } from "../../guests/linux/linux-vm.ts";
import type { LifePlan } from "./plan.ts";
import { deviceText, type LinuxSetup, ramFor } from "./setup.ts";

/** A case: what it changes, and what it then must be. */
export interface LinuxCase {
  readonly about: string;
  readonly requirements: readonly string[];
  /** Sleeps of its own; null: those that were asked for. */
  readonly chain: readonly SleepWay[] | null;
  readonly plan?: (plan: LifePlan) => Partial<LifePlan>;
  readonly setup?: (setup: LinuxSetup) => Partial<LinuxSetup>;
  /** What every process after the first has otherwise. */
  readonly changes?: (setup: LinuxSetup) => BootChanges;
  /** Only for our driver: what it needs the kernel's does not offer. */
  readonly onlyOurs?: boolean;
}

/** All, by name. */
export const LINUX_CASES: Readonly<Record<string, LinuxCase>> = {
  plain: { about: "two outputs, off-screen objects, a cursor, flips", requirements: [], chain: null },
  dark: {
    about: "all outputs are off, no cursor, 23 objects",
    requirements: ["R-28 (b)"],
    chain: null,
    plan: (plan) => ({
      outputs: plan.outputs.map(() => null),
      cursor: false,
      flips: false,
      offscreen: { ...plan.offscreen, count: 23 },
    }),
  },
  headless: {
    about: "no output is used at all",
    requirements: ["R-36", "R-28 (a)"],
    chain: null,
    plan: (plan) => ({ outputs: [], cursor: false, flips: false, offscreen: { ...plan.offscreen, count: 23 } }),
  },
  "hung-host": {
    about: "a host that answers nothing for 8 s, 100 objects: turned back in time, then a sleep that succeeds",
    requirements: ["R-06 (a)", "R-06 (c)", "R-07 (a)"],
    chain: ["s4-platform", "s4-platform"],
    onlyOurs: true,
    plan: (plan) => ({ hangMs: 8000, cursor: false, flips: false, offscreen: { ...plan.offscreen, count: 100 } }),
  },
  "hung-host-cursor": {
    about: "the same with a visible cursor and few objects",
    requirements: ["R-07 (a)"],
    chain: ["s4-platform", "s4-platform"],
    onlyOurs: true,
    plan: (plan) => ({ hangMs: 8000, cursor: true, flips: false, offscreen: { ...plan.offscreen, count: 8 } }),
  },
  "small-host": {
    about: "the host that wakes has memory for few objects: creates are refused, and reported",
    requirements: ["R-26", "R-27 (b)"],
    chain: null,
    plan: () => ({
      offscreen: { count: 200, width: 128, height: 128 },
      shownMax: 200,
      flips: false,
      hotplug: false,
      extras: false,
      loss: { outputs: [] },
    }),
    changes: (setup) => ({ devices: [`${deviceText(setup)},max_hostmem=12M`] }),
  },
  "fewer-outputs": {
    about: "the host that wakes has one output",
    requirements: ["R-35 (d)"],
    chain: null,
    plan: (plan) => ({ flips: false, hotplug: false, loss: { outputs: plan.outputs.map((_, at) => at).slice(1) } }),
    changes: (setup) => ({ devices: [deviceText({ ...setup, outputs: 1 })] }),
  },
  "other-memory": {
    about: "the machine that wakes has other memory: the kernel refuses its image",
    requirements: [],
    chain: null,
    changes: (setup) => ({ memory: ramFor(setup) + 64 }),
  },
};

/** The list. */
import type { SuspendCase } from "../suite.ts";
import { ABORT_CASES } from "./aborts.ts";
import { FAULT_CASES } from "./faults.ts";
import { MEANWHILE_CASES } from "./meanwhile.ts";
import { RESET_CASES } from "./resets.ts";
import { SCENE_CASES } from "./scenes.ts";
import { WAY_CASES } from "./ways.ts";

/** Every case of the suite, for every driver and every host. Their ids are unique. */
export const SUSPEND_CASES: readonly SuspendCase[] = [
  ...WAY_CASES,
  ...RESET_CASES,
  ...ABORT_CASES,
  ...SCENE_CASES,
  ...MEANWHILE_CASES,
  ...FAULT_CASES,
];

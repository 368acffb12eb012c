/**
 * The conformance suite for suspend on our own device while its host's process dies: at each command of a case in turn, or,
 * where they are many, at some from the first to the last.
 */
import { describe, expect, it } from "vitest";
import {
  type CommandCounts,
  SUSPEND_CASES,
  SimulatedSubject,
  countCommands,
  notOffered,
  runFaulty,
} from "../src/scenarios/suspend/index.ts";
import { type Omissions, planned, rows } from "./support/conformance.ts";

/** Cases of up to so many commands are struck at each. */
const EACH_MAX = 10;
/** Of the others so many are struck. */
const SOME = 6;
const OMISSIONS: Omissions = { "s3-no-soft-reset": "S3 resets the device", ...planned("dies") };

/** Command numbers from just behind the drawing to the case's end, the first and the last among them. */
function deaths({ drawn, done }: CommandCounts): readonly number[] {
  const count = done - drawn;
  const struck = count <= EACH_MAX ? count : SOME;
  const step = struck > 1 ? (count - 1) / (struck - 1) : 0;
  return Array.from({ length: struck }, (_, index) => drawn + 1 + Math.round(index * step));
}

describe("a host that dies loses nothing in the end, at whichever command of", () => {
  it.each(rows(SUSPEND_CASES, OMISSIONS))("%s", async (_, suspendCase) => {
    const reason = notOffered(suspendCase, new SimulatedSubject({ variant: "dies" }));
    expect(reason).toBe(OMISSIONS[suspendCase.id] ?? null);
    if (reason !== null) return;
    for (const diesAt of deaths(await countCommands(suspendCase, new SimulatedSubject()))) {
      try {
        await runFaulty(suspendCase, new SimulatedSubject({ variant: "dies", diesAt }));
      } catch (error) {
        throw new Error(`the host's death at command ${diesAt}: ${String(error)}`, { cause: error });
      }
    }
  });
});

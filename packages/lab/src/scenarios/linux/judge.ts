/**
 * What each sleep, and a whole guest life, came to.
 */
import { type LinuxSleep, type LinuxVerdict, worstVerdict } from "../../report/linux-record.ts";
import { plural } from "../../report/quantities.ts";
import { checksOf } from "./checks.ts";
import type { Observation } from "./observation.ts";
import { reasonOf } from "./reason.ts";
import { verdictOf } from "./verdict.ts";

/** A sleep as the report has it. */
export function judgeSleep(seen: Observation): LinuxSleep {
  const { number, way, reply, events, end, isNewProcess, times } = seen;
  return {
    number,
    way,
    verdict: verdictOf(seen),
    checks: checksOf(seen),
    times,
    evidence: {
      events,
      exitCode: end?.code ?? null,
      isNewProcess,
      sleepError: reply?.error ?? null,
      restored: reply?.restored ?? null,
      lost: reply?.lost ?? null,
    },
    reason: reasonOf(seen),
  };
}

/** A guest life: its verdict, the reason of its worst sleep, and all in a sentence. */
export interface LifeJudgement {
  readonly verdict: LinuxVerdict;
  readonly sentence: string;
  readonly reason: string | null;
}

const TITLES: Readonly<Record<LinuxVerdict, string>> = {
  "came-back": "the picture came back by itself",
  "came-back-after-redraw": "the picture came back only after a redraw",
  never: "the picture never came back",
  hung: "the machine hung",
};

/** Judges all sleeps of a life. */
export function judgeLife(sleeps: readonly LinuxSleep[]): LifeJudgement {
  const verdict = worstVerdict(sleeps.map((sleep) => sleep.verdict));
  const worst = sleeps.find((sleep) => sleep.verdict === verdict);
  const failed = sleeps.flatMap(({ number, way, checks }) =>
    checks
      .filter(({ result }) => result === "fail")
      .map(({ name }) => (sleeps.length > 1 ? `${name} (${number}, ${way})` : name)),
  );
  const where =
    sleeps.length > 1 && verdict !== "came-back" ? ` (sleep ${worst?.number ?? 0}, ${worst?.way ?? ""})` : "";
  const more = failed.length > 3 ? ` and ${failed.length - 3} more` : "";
  const list = `not so: ${failed.slice(0, 3).join("; ")}${more}`;
  const count = `${plural(failed.length, "check")} failed`;
  const losses = failed.length === 0 ? "nothing was lost" : verdict === "came-back" ? list : count;
  const over = sleeps.length > 1 && verdict === "came-back" ? ` from each of ${plural(sleeps.length, "sleep")}` : "";
  return { verdict, sentence: `${TITLES[verdict]}${over}${where}; ${losses}`, reason: worst?.reason ?? null };
}

/** 0: it came back by itself with nothing lost; 1: not so. */
export function exitCodeOf(sleeps: readonly LinuxSleep[]): 0 | 1 {
  const isWell = sleeps.every(
    ({ verdict, checks }) => verdict === "came-back" && checks.every(({ result }) => result !== "fail"),
  );
  return isWell && sleeps.length > 0 ? 0 : 1;
}

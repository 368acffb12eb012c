/**
 * Two guests side by side: which one serves its user better. What counts, in this order: whether the picture comes back,
 * then which checks fail, then how long the picture and everything take. Both may be best.
 */
import { type LinuxCheck, type LinuxRecord, type LinuxTimes, LINUX_VERDICTS } from "./linux-record.ts";

/** A check of one sleep in both. */
export interface ComparedCheck {
  readonly sleep: number;
  readonly way: string;
  readonly name: string;
  /** Null: that one has no such check. */
  readonly results: readonly [LinuxCheck | null, LinuxCheck | null];
}

/** A time of one sleep in both. */
export interface ComparedTime {
  readonly sleep: number;
  readonly way: string;
  readonly name: string;
  readonly ms: readonly [number | null, number | null];
}

/** See the file's head. */
export interface LinuxComparison {
  readonly names: readonly [string, string];
  /** `both`: nothing tells them apart but times. */
  readonly better: "first" | "second" | "both";
  readonly sentence: string;
  readonly checks: readonly ComparedCheck[];
  readonly times: readonly ComparedTime[];
}

/** Compares two records. */
export function compareLinux(first: LinuxRecord, second: LinuxRecord): LinuxComparison {
  const names = namesOf(first, second);
  const checks = compareChecks(first, second);
  return { names, ...judgePair(first, second, names), checks, times: compareTimes(first, second) };
}

function namesOf(first: LinuxRecord, second: LinuxRecord): readonly [string, string] {
  const name = ({ subject }: LinuxRecord): string => `${subject.name}, Linux ${subject.kernel}`;
  const [one, other] = [name(first), name(second)];
  return one === other ? [`${one} (A)`, `${other} (B)`] : [one, other];
}

const failures = ({ sleeps }: LinuxRecord): number =>
  sleeps.reduce((sum, { checks }) => sum + checks.filter(({ result }) => result === "fail").length, 0);

function judgePair(
  first: LinuxRecord,
  second: LinuxRecord,
  [one, other]: readonly [string, string],
): Pick<LinuxComparison, "better" | "sentence"> {
  const rank = (record: LinuxRecord): number => LINUX_VERDICTS.indexOf(record.verdict);
  const lead = rank(second) - rank(first);
  if (lead !== 0) {
    const [winner, loser] = lead > 0 ? [first, second] : [second, first];
    const [good, bad] = lead > 0 ? [one, other] : [other, one];
    return {
      better: lead > 0 ? "first" : "second",
      sentence: `${good} is better: ${winner.verdict} against ${loser.verdict} of ${bad}`,
    };
  }
  const fewer = failures(second) - failures(first);
  if (fewer !== 0) {
    const good = fewer > 0 ? one : other;
    const [least, most] = [failures(first), failures(second)].sort((a, b) => a - b);
    return {
      better: fewer > 0 ? "first" : "second",
      sentence: `${good} is better: both "${first.verdict}", but ${least} checks fail against ${most}`,
    };
  }
  const isWell = first.verdict === "came-back" && failures(first) === 0;
  return {
    better: "both",
    sentence: isWell
      ? "both came back with nothing lost; only times differ"
      : `both "${first.verdict}", with as many checks failing`,
  };
}

function compareChecks(first: LinuxRecord, second: LinuxRecord): readonly ComparedCheck[] {
  const rows = new Map<
    string,
    { row: Omit<ComparedCheck, "results">; results: [LinuxCheck | null, LinuxCheck | null] }
  >();
  for (const [side, record] of [first, second].entries()) {
    for (const { number, way, checks } of record.sleeps) {
      for (const check of checks) {
        const key = JSON.stringify([number, check.name]);
        const known = rows.get(key) ?? { row: { sleep: number, way, name: check.name }, results: [null, null] };
        known.results[side === 0 ? 0 : 1] = check;
        rows.set(key, known);
      }
    }
  }
  return [...rows.values()].map(({ row, results }) => ({ ...row, results }));
}

const TIMES: readonly (readonly [keyof LinuxTimes, string])[] = [
  ["hibernate", "until asleep"],
  ["picture", "from the wake to the picture"],
  ["guestPicture", "guest: to the picture"],
  ["guestComplete", "guest: to all objects"],
];

function compareTimes(first: LinuxRecord, second: LinuxRecord): readonly ComparedTime[] {
  return first.sleeps.flatMap(({ number, way, times }) => {
    const other = second.sleeps.find((sleep) => sleep.number === number)?.times;
    return TIMES.map(([field, name]): ComparedTime => {
      return { sleep: number, way, name, ms: [times[field], other?.[field] ?? null] };
    });
  });
}

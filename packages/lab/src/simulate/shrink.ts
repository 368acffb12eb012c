/**
 * Makes a failing schedule short: delta debugging over its events (Zeller and Hildebrandt, 2002), then over what happens
 * within its sleeps. Any part of a schedule is a schedule, so each try is a run.
 */
import { Coverage } from "./coverage.ts";
import type { Schedule, SimEvent } from "./schedule.ts";
import { type Outcome, runSchedule } from "./world.ts";

/** A schedule, and the failure that it leads to. */
export interface Shrunk {
  readonly schedule: Schedule;
  readonly failure: string;
  /** Runs that it took. */
  readonly runs: number;
}

/** What of a failure has to stay: its words without their numbers. */
export function kindOf(sentence: string): string {
  return sentence.replace(/\d+/g, "N");
}

/** Shortens `schedule`, which fails; `runsMax`: how many tries that may take. */
export async function shrinkSchedule(schedule: Schedule, runsMax: number): Promise<Shrunk> {
  let runs = 0;
  const tryOut = (events: readonly SimEvent[]): Promise<Outcome> => {
    runs += 1;
    return runSchedule({ ...schedule, events }, new Coverage());
  };
  const first = await tryOut(schedule.events);
  if (first.failure === null) return { schedule, failure: "", runs };
  const kind = kindOf(first.failure.message);
  let failure = first.failure.message;
  const fails = async (events: readonly SimEvent[]): Promise<boolean> => {
    if (runs >= runsMax) return false;
    const outcome = await tryOut(events);
    if (outcome.failure === null || kindOf(outcome.failure.message) !== kind) return false;
    failure = outcome.failure.message;
    return true;
  };
  let events: readonly SimEvent[] = schedule.events.slice(0, first.at + 1);
  if (!(await fails(events))) events = schedule.events;
  events = await withoutParts(events, fails);
  events = await withoutAsides(events, fails);
  return { schedule: { ...schedule, events }, failure, runs };
}

type Fails = (events: readonly SimEvent[]) => Promise<boolean>;

/** Leaves out ever smaller parts, for as long as that helps. */
async function withoutParts(all: readonly SimEvent[], fails: Fails): Promise<readonly SimEvent[]> {
  let events = all;
  for (let size = Math.ceil(events.length / 2); size >= 1; ) {
    let isShorter = false;
    for (let from = events.length - size; from > -size; from -= size) {
      const left = [...events.slice(0, Math.max(0, from)), ...events.slice(Math.max(0, from) + size)];
      if (left.length === events.length || !(await fails(left))) continue;
      events = left;
      isShorter = true;
    }
    if (size === 1 && !isShorter) break;
    size = isShorter ? Math.min(size, Math.max(1, events.length)) : Math.floor(size / 2);
    if (events.length === 0) break;
  }
  return events;
}

async function withoutAsides(all: readonly SimEvent[], fails: Fails): Promise<readonly SimEvent[]> {
  let events = all;
  for (let index = 0; index < events.length; index += 1) {
    const event = events[index];
    if (event === undefined || event.deed.op !== "sleep") continue;
    for (const aside of event.deed.asides) {
      const current = events[index];
      if (current === undefined || current.deed.op !== "sleep") continue;
      const asides = current.deed.asides.filter((each) => each !== aside);
      const changed = events.with(index, { ...current, deed: { ...current.deed, asides } });
      if (await fails(changed)) events = changed;
    }
  }
  return events;
}

/**
 * One sleep of a life, from the look before it to the observation.
 */
import type { SleepWay } from "@virtgpu/linux/agent";
import { sleep } from "@virtgpu/core/base";
import type { LinuxTimes } from "../../report/linux-record.ts";
import { type Found, lookAfter } from "./after.ts";
import { type Before, lookBefore } from "./before.ts";
import { type Course, isSamePlace, takeCourse, watched } from "./course.ts";
import type { Life, LifePicture } from "./life.ts";
import { hostComplaints, kernelComplaints } from "./log-lines.ts";
import type { DeviceStatus } from "./machine.ts";
import { sentenceOf } from "./deadline.ts";
import type { Observation } from "./observation.ts";

/** Which sleep of the life. */
export interface SleepStep {
  readonly way: SleepWay;
  readonly number: number;
  readonly meant: "slept" | "refused";
  /** How many were turned back before it. */
  readonly refusedBefore: number;
}

const STATUS_LIMIT_MS = 5000;

/** Looks, sleeps, looks. Rejects only where the machine was broken before it slept. */
export async function sleepOnce(
  life: Life,
  step: SleepStep,
): Promise<{ readonly observation: Observation; readonly pictures: readonly LifePicture[] }> {
  const { watcher, plan, machine } = life;
  const over = plan.chain.length > 1 ? ` (${step.number} of ${plan.chain.length})` : "";
  watcher.stage(`sleep: ${step.way}${over}`);
  const before = await lookBefore(life);
  const course = await takeCourse(life, { way: step.way, hangMs: step.number === 1 ? plan.hangMs : 0 }, before);
  // Before anything is drawn: a command that waits for ever changes nothing, but a reset by a mode set might.
  const isBack = (course.looked?.rightAt ?? null) !== null && course.hung === null;
  const status = isBack ? null : await statusOf(life);
  if (course.hung === null) watcher.stage(`look${over}`);
  const found = course.hung === null ? await lookAfter(life, before, course) : NOTHING_FOUND;
  const twice = step.way === "uswsusp-twice" && course.hung === null ? await seeTwice(life, before, course) : null;
  const console = machine.console.slice(before.consoleLines);
  const { log, last, ...seen } = found;
  const observation: Observation = {
    ...step,
    expectsLoss: plan.loss !== null,
    reply: course.reply,
    hung: course.hung,
    events: course.events.length === 0 ? [...machine.events] : course.events,
    end: course.end,
    isNewProcess: course.isNewProcess,
    ...seen,
    twice,
    hotplugReason: course.notResized,
    textConsoleReason: reasonOf(life),
    kernelLines: kernelComplaints(log.length === 0 ? console : log),
    hostLines: hostComplaints(machine.errors.slice(before.hostLines)),
    status,
    console,
    times: timesOf(course),
  };
  return { observation, pictures: picturesOf(life, before, course, last) };
}

function reasonOf({ textConsole }: Life): string | null {
  if (textConsole === null) return null;
  return "reason" in textConsole ? textConsole.reason : "the agent stopped answering before";
}

/** Behind a power cut the first image wakes. It answers nobody, but its outputs can be looked at; then its life goes on. */
async function seeTwice(life: Life, before: Before, { live }: Course): Promise<Observation["twice"]> {
  const { machine, eyes, plan, staying } = life;
  const told =
    live === null ? "the live machine was not seen" : `the live machine showed ${live ? "all" : "something else"}`;
  try {
    await machine.cutPower();
    await machine.boot();
    const { right } = await eyes.watchFor(watched(life, before), plan.limits.grace);
    const first = right.size === staying.length;
    return { live: live === true, first, detail: `${told}; the first image shows ${first ? "all" : "something else"}` };
  } catch (error) {
    return {
      live: live === true,
      first: false,
      detail: `${told}; the first image does not wake: ${sentenceOf(error)}`,
    };
  }
}

const NOTHING_FOUND: Found = {
  outputs: [],
  cursor: null,
  offscreen: [],
  offscreenReason: null,
  newDrawing: null,
  memory: null,
  flips: null,
  hotplug: null,
  textConsole: null,
  stuck: null,
  log: [],
  last: new Map(),
};

async function statusOf({ machine, clock }: Life): Promise<DeviceStatus | null> {
  const late = sleep(clock, STATUS_LIMIT_MS).then(() => null);
  return Promise.race([machine.deviceStatus(0).catch(() => null), late]);
}

function timesOf({ askedAt, asleepAt, wokeAt, answeredAt, looked, reply, isNewProcess }: Course): LinuxTimes {
  const since = (from: number | null, to: number | null): number | null =>
    from === null || to === null ? null : Math.round(to - from);
  return {
    hibernate: isNewProcess ? since(askedAt, asleepAt) : null,
    wake: since(wokeAt, answeredAt),
    picture: since(wokeAt, looked?.rightAt ?? null),
    guestPicture: reply?.picture ?? null,
    guestComplete: reply?.complete ?? null,
  };
}

function picturesOf(life: Life, before: Before, course: Course, last: Found["last"]): readonly LifePicture[] {
  return life.staying.flatMap((one): LifePicture[] => {
    const { gpu, output } = one;
    const seen = [...(course.looked?.last ?? [])].find(([place]) => isSamePlace(place, one))?.[1];
    const [then, now] = [before.pictures.get(one), last.get(one) ?? seen];
    return [
      ...(then === undefined ? [] : [{ gpu, output, when: "before" as const, picture: then }]),
      ...(now === undefined ? [] : [{ gpu, output, when: "after" as const, picture: now }]),
    ];
  });
}

/**
 * A sleep takes its course: the wish, the end of the process or an event, the wake, the answer; and from the wake on the
 * outputs are watched.
 */
import type { Size, SleepReply, SleepWay } from "@virtgpu/linux/agent";
import { sleep } from "@virtgpu/core/base";
import type { ProcessEnd } from "../../guests/linux/linux-vm.ts";
import type { Before } from "./before.ts";
import { DeadlineError, sentenceOf, within } from "./deadline.ts";
import type { Expected, Looked } from "./eyes.ts";
import type { Life } from "./life.ts";
import type { Place } from "./observation.ts";
import { LINUX_SLEEP_WAYS } from "./ways.ts";

/** Two images, written by a program through the disk, take so many times as long as a sleep may. */
const TWICE = 3;

/** Between two tries to wake a machine. */
const WAKE_AGAIN_MS = 3000;
const FALL_ASLEEP_MS = 8000;

/** What a display is given while the machine sleeps. */
export const OTHER_SIZE: Size = { width: 1152, height: 864 };

/** See the file's head; times by the lab's clock, null: it did not happen. */
export interface Course {
  reply: SleepReply | null;
  /** Where it stopped, in a sentence. */
  hung: string | null;
  end: ProcessEnd | null;
  events: readonly string[];
  isNewProcess: boolean;
  readonly askedAt: number;
  asleepAt: number | null;
  wokeAt: number | null;
  answeredAt: number | null;
  /** The display that got another size meanwhile. */
  resized: Place | null;
  /** Why none did. */
  notResized: string | null;
  looked: Looked | null;
  /** With two images: whether the machine that goes on shows all that it should; null: it did not go on. */
  live: boolean | null;
}

/** How to sleep, and for how long the host stops answering before. */
export interface CourseOptions {
  readonly way: SleepWay;
  readonly hangMs: number;
}

/** Never rejects. */
export async function takeCourse(life: Life, { way, hangMs }: CourseOptions, before: Before): Promise<Course> {
  const { machine, clock, plan } = life;
  const course: Course = {
    reply: null,
    hung: null,
    end: null,
    events: [],
    isNewProcess: false,
    askedAt: clock.nowMs(),
    asleepAt: null,
    wokeAt: null,
    answeredAt: null,
    resized: null,
    notResized: plan.hotplug ? "the machine was not asleep, or has no display that can be changed" : null,
    looked: null,
    live: null,
  };
  const watch = new Watch(life, before, course);
  try {
    if (hangMs > 0) {
      await within(clock, plan.limits.call, "hanging the device", machine.call("hang", { milliseconds: hangMs }));
    }
    const answer = machine.call("sleep", { way });
    answer.catch(() => {});
    await (LINUX_SLEEP_WAYS[way].needsWake ? sleepAndWake : sleepOrEnd)(life, way, course, answer, {
      watch,
      before,
    });
    course.reply ??= await awaitAnswer(life, course, answer);
    course.answeredAt = clock.nowMs();
    if (!course.isNewProcess) course.events = [...machine.events];
  } catch (error) {
    course.hung = sentenceOf(error);
  }
  course.looked = await watch.until(clock.nowMs() + (course.hung === null ? plan.limits.grace : 0));
  return course;
}

/** A new process has said its first word: unless that was the answer, another kernel runs in it. */
async function awaitAnswer({ clock, plan }: Life, course: Course, answer: Promise<SleepReply>): Promise<SleepReply> {
  if (!course.isNewProcess) return within(clock, plan.limits.wake, "waking up", answer);
  const late = sleep(clock, plan.limits.anew).then(() => null);
  const reply = await Promise.race([answer, late]);
  if (reply === null) throw new DeadlineError("the machine booted anew instead of waking from its image");
  return reply;
}

type Advance = (
  life: Life,
  way: SleepWay,
  course: Course,
  answer: Promise<SleepReply>,
  context: { readonly watch: Watch; readonly before: Before },
) => Promise<void>;

/** The process ends, and the next one wakes the guest; or an answer comes first, from a machine that slept otherwise or not at all. */
const sleepOrEnd: Advance = async (life, way, course, answer, { watch, before }) => {
  const { machine, clock, plan, watcher } = life;
  const ended = machine.ended();
  ended.catch(() => {});
  const asleep = Promise.race([answer, ended]);
  if (way === "uswsusp-twice") await lookLive(life, course, before, asleep);
  const limit = plan.limits.sleep * (way === "uswsusp-twice" ? TWICE : 1);
  const first = await within(clock, limit, "going to sleep", asleep);
  if (!("code" in first)) {
    course.reply = first;
    course.wokeAt = clock.nowMs();
    watch.start();
    return;
  }
  course.end = first;
  course.events = first.events;
  course.asleepAt = clock.nowMs();
  course.isNewProcess = true;
  watcher.note(`asleep: ${first.events.join(", ") || "no event"}; QEMU ended with ${first.signal ?? first.code}`);
  course.wokeAt = clock.nowMs();
  watch.start();
  await within(clock, plan.limits.wake, "booting to the image", machine.boot());
};

/** Somebody has to end the sleep. An answer before that: it was refused, or an alarm ended it. */
const sleepAndWake: Advance = async (life, way, course, answer, { watch }) => {
  const { clock, plan } = life;
  const asleep = tellsEvents(life, LINUX_SLEEP_WAYS[way].events, () => course.reply !== null);
  void answer.then(
    (reply) => (course.reply = reply),
    () => {},
  );
  await within(clock, plan.limits.sleep, "going to sleep", Promise.race([answer, asleep]));
  course.asleepAt = clock.nowMs();
  if (LINUX_SLEEP_WAYS[way].events.length > 0 && course.reply === null) await watch.resize();
  const woken = wakeUp(life, way, () => course.reply !== null);
  woken.catch(() => {});
  await within(clock, plan.limits.sleep, "waking the machine", Promise.race([answer, woken]));
  course.wokeAt = clock.nowMs();
  watch.start();
};

/** Two images are made, and the machine goes on for some seconds: then its outputs are looked at. */
async function lookLive(life: Life, course: Course, before: Before, asleep: Promise<unknown>): Promise<void> {
  const { machine, clock, plan, eyes } = life;
  const state = { isOver: false };
  void asleep.finally(() => (state.isOver = true)).catch(() => {});
  const end = clock.nowMs() + plan.limits.sleep * TWICE;
  const isLive = (): boolean => machine.console.slice(before.consoleLines).some((line) => line.includes(plan.liveSays));
  while (!state.isOver && !isLive() && clock.nowMs() < end) await sleep(clock, 50);
  if (!isLive()) return;
  const { right } = await eyes.watch(watched(life, before), () => state.isOver);
  course.live = right.size === life.staying.length;
}

/** What each output may show: what it should, or what is flipped on it. */
export function watched(life: Life, { flipping }: Before): readonly Expected[] {
  return life.staying.map((one) => (flipping !== null && isSamePlace(one, flipping) ? flipping : one));
}

/**
 * A machine that idles tells no event: it gets time to fall asleep, then it is woken until it answers, by its power button and by
 * bytes on the agent's port. What comes too early would turn its sleep back.
 */
async function wakeUp({ machine, clock }: Life, way: SleepWay, isOver: () => boolean): Promise<void> {
  if (LINUX_SLEEP_WAYS[way].events.length > 0) {
    await machine.wake();
    return;
  }
  await sleep(clock, FALL_ASLEEP_MS);
  while (!isOver()) {
    await machine.wake();
    machine.call("hello", {}).catch(() => {});
    await sleep(clock, WAKE_AGAIN_MS);
  }
}

/** Resolves when the machine has told all these events. */
async function tellsEvents({ machine, clock }: Life, wanted: readonly string[], isOver: () => boolean): Promise<void> {
  while (!isOver() && !wanted.every((event) => machine.events.includes(event))) await sleep(clock, 50);
}

/** Looks at the outputs from the wake on, and changes a display's size as soon as there is one to change. */
class Watch {
  readonly #life: Life;
  readonly #expected: readonly Expected[];
  readonly #course: Course;
  #end: number = Infinity;
  #looked: Promise<Looked> | null = null;

  constructor(life: Life, before: Before, course: Course) {
    this.#life = life;
    this.#course = course;
    this.#expected = watched(life, before);
  }

  start(): void {
    this.#looked ??= this.#look();
  }

  /** What was seen up to `end`, or until all was right. */
  async until(end: number): Promise<Looked | null> {
    this.#end = end;
    return this.#looked;
  }

  async resize(): Promise<void> {
    const { machine, staying, plan } = this.#life;
    const place = staying.findLast(({ gpu }) => gpu === 0);
    if (!plan.hotplug || place === undefined || this.#course.resized !== null) return;
    try {
      await machine.resize(place.gpu, place.output, OTHER_SIZE);
      this.#course.resized = place;
    } catch (error) {
      this.#course.notResized = error instanceof Error ? error.message : String(error);
    }
  }

  async #look(): Promise<Looked> {
    const { eyes, clock, staying } = this.#life;
    const [first] = staying;
    if (this.#course.isNewProcess && first !== undefined) {
      // The first picture shows that the new process can be reached.
      while (clock.nowMs() < this.#end && (await eyes.see(first).catch(() => null)) === null) await sleep(clock, 60);
      await this.resize();
    }
    return eyes.watch(this.#expected, () => clock.nowMs() >= this.#end);
  }
}

/** Whether both are the same output. */
export function isSamePlace(one: Place, other: Place): boolean {
  return one.gpu === other.gpu && one.output === other.output;
}

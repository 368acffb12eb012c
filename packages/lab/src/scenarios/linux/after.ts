/**
 * What is looked at after a sleep: whether pictures come back by themselves, after a redraw, after something new; then
 * everything that can't be seen at once, with the help of the agent.
 */
import type { AgentCall, AgentCalls, Size } from "@virtgpu/linux/agent";
import { sleep } from "@virtgpu/core/base";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import type { Before } from "./before.ts";
import { type Course, isSamePlace, OTHER_SIZE } from "./course.ts";
import { DeadlineError, sentenceOf, within } from "./deadline.ts";
import type { Expected } from "./eyes.ts";
import type { Life } from "./life.ts";
import type { SeenCursor } from "./machine.ts";
import type { CameBack, CursorSeen, Observation, OffscreenSeen, OutputSeen, WrongObject } from "./observation.ts";
import { expectedPicture, isSamePicture, sampleOf, showsInCorner } from "./pictures.ts";
import { NEW_DRAWING } from "./plan.ts";
import { type ConsoleSeen, seeConsole } from "./text-console.ts";

const GARBLED = /makes no sense/;

/** What the agent's help brought to light. */
export type Found = Pick<
  Observation,
  | "outputs"
  | "cursor"
  | "offscreen"
  | "offscreenReason"
  | "newDrawing"
  | "memory"
  | "flips"
  | "hotplug"
  | "textConsole"
  | "stuck"
> & { readonly log: readonly string[]; readonly last: ReadonlyMap<Expected, RgbPicture> };

/** Looks at everything, as far as the agent answers. Never rejects. */
export async function lookAfter(life: Life, before: Before, course: Course): Promise<Found> {
  const after = new After(life, before, course);
  await after.run();
  return after.found();
}

class After {
  readonly #life: Life;
  readonly #before: Before;
  readonly #course: Course;
  /** Each lit output's step; absent: not yet. */
  readonly #back: Map<Expected, CameBack> = new Map();
  readonly #last: Map<Expected, RgbPicture>;
  readonly #darkened: OutputSeen[] = [];
  #cursor: CursorSeen | null = null;
  #offscreen: OffscreenSeen[] = [];
  #offscreenReason: string | null = "the agent stopped answering before";
  #newDrawing: boolean | null = null;
  #memory: Observation["memory"] = null;
  #flips: Observation["flips"] = null;
  #hotplug: Observation["hotplug"] = null;
  #textConsole: ConsoleSeen | null = null;
  #stuck: string | null = null;
  #log: readonly string[] = [];

  constructor(life: Life, before: Before, course: Course) {
    this.#life = life;
    this.#before = before;
    this.#course = course;
    this.#last = new Map();
    for (const one of life.staying) {
      const key = [...(course.looked?.last.keys() ?? [])].find((seen) => isSamePlace(seen, one));
      const picture = key === undefined ? undefined : course.looked?.last.get(key);
      if (picture !== undefined) this.#last.set(one, picture);
      if ([...(course.looked?.right ?? [])].some((seen) => isSamePlace(seen, one))) this.#back.set(one, "itself");
    }
  }

  async run(): Promise<void> {
    try {
      await this.#seeOff();
      await this.#stopFlips();
      await this.#bringBack();
      await this.#seeCursor();
      await this.#drawNew();
      await this.#showOffscreen();
      await this.#hash();
      await this.#seeHotplug();
      await this.#seeConsole();
    } catch (error) {
      this.#stuck = sentenceOf(error);
    }
    this.#log = await this.#call("log", {}, "reading the kernel's log").then(
      ({ lines }) => lines,
      () => [],
    );
  }

  found(): Found {
    const lit = this.#life.staying.map((one): OutputSeen => {
      const { gpu, output } = one;
      const wasRight = this.#before.right.has(one);
      const cameBack = this.#back.get(one) ?? "never";
      return { gpu, output, isLit: true, wasRight, cameBack, shows: shows(this.#last.get(one), one) };
    });
    return {
      outputs: [...lit, ...this.#darkened],
      cursor: this.#cursor,
      offscreen: this.#offscreen,
      offscreenReason: this.#offscreenReason,
      newDrawing: this.#newDrawing,
      memory: this.#memory,
      flips: this.#flips,
      hotplug: this.#hotplug,
      textConsole: this.#textConsole,
      stuck: this.#stuck,
      log: this.#log,
      last: this.#last,
    };
  }

  /** What an output that is off shows is QEMU's affair; it is no picture of ours. */
  async #seeOff(): Promise<void> {
    const ours = this.#life.staying.flatMap(({ pictures }) => pictures);
    for (const place of this.#life.off) {
      const picture = await this.#life.eyes.see(place);
      const isOn = ours.some((one) => isSamePicture(one, picture));
      const what = isOn
        ? "it shows a picture of the scene"
        : `${picture.width}x${picture.height}, no picture of the scene`;
      this.#darkened.push({ ...place, isLit: false, wasRight: true, cameBack: isOn ? "never" : "itself", shows: what });
    }
  }

  async #stopFlips(): Promise<void> {
    const { flipping } = this.#before;
    if (flipping === null) return;
    const { gpu, output } = flipping;
    this.#flips = await this.#call("flips", { output, on: false, gpu }, "ending the flips");
    const lit = this.#life.staying.find((one) => isSamePlace(one, flipping));
    if (lit === undefined || this.#back.get(lit) !== "itself") return;
    await this.#showAgain(lit);
  }

  /** A redraw, then something new, where a picture did not come by itself. */
  async #bringBack(): Promise<void> {
    const { plan, scenes } = this.#life;
    if (this.#missing().length > 0) {
      for (const { gpu } of scenes) await this.#call("redraw", { gpu }, "showing again what is shown");
      await this.#watch(this.#missing(), "redraw");
    }
    for (const one of this.#missing()) {
      const drawn = await this.#draw(one, NEW_DRAWING);
      const { right, last } = await this.#life.eyes.watchFor([drawn], plan.limits.redrawn);
      const picture = last.get(drawn);
      if (picture !== undefined) this.#last.set(one, picture);
      if (right.size > 0) this.#back.set(one, "draw");
      await this.#draw(one, 0);
    }
  }

  async #watch(expected: readonly Expected[], step: CameBack): Promise<void> {
    const { right, last } = await this.#life.eyes.watchFor(expected, this.#life.plan.limits.redrawn);
    for (const [one, picture] of last) this.#last.set(one, picture);
    for (const one of right) this.#back.set(one, step);
  }

  #missing(): readonly Expected[] {
    return this.#life.staying.filter((one) => !this.#back.has(one));
  }

  async #seeCursor(): Promise<void> {
    const { cursor: before } = this.#before;
    const [first] = this.#life.staying;
    if (before === null || first === undefined) return;
    const after = (await this.#life.machine.cursor(first.gpu, first.output)) ?? undefined;
    const isSame = before !== undefined && after !== undefined && isSameCursor(before, after);
    this.#cursor = { isSame, before: cursorText(before), after: cursorText(after) };
  }

  /** Something new on the first output, then what was there. */
  async #drawNew(): Promise<void> {
    const { staying: lit, eyes, plan } = this.#life;
    const [first] = lit;
    if (first === undefined) return;
    const drawn = await this.#draw(first, NEW_DRAWING);
    this.#newDrawing = (await eyes.watchFor([drawn], plan.limits.redrawn)).right.size > 0;
    await this.#draw(first, 0);
    await eyes.watchFor([first], plan.limits.redrawn);
  }

  /** Each off-screen object on the first output, or a number of them, spread evenly. */
  async #showOffscreen(): Promise<void> {
    const { scenes, staying: lit, plan } = this.#life;
    if (this.#life.staying.length > 0 && this.#back.size === 0) {
      this.#offscreenReason = "no output shows anything any more";
      return;
    }
    this.#offscreenReason = null;
    for (const { gpu, seed, reply } of scenes) {
      const shown = new Set(reply.shown);
      const hidden = reply.objects.filter(({ index }) => !shown.has(index));
      const place = lit.find((one) => one.gpu === gpu) ?? { gpu, output: 0 };
      for (const kind of new Set(hidden.map((object) => object.kind))) {
        const own = hidden.filter((object) => object.kind === kind);
        const sample = sampleOf(
          own.map((_, at) => at),
          plan.shownMax,
        ).flatMap((at) => own[at] ?? []);
        const wrong: WrongObject[] = [];
        for (const { index, width, height } of sample) {
          const picture = expectedPicture(plan.pattern, seed + index, { width, height });
          const detail = await this.#showOne({ object: index, ...place }, picture);
          if (detail !== null) wrong.push({ index, kind, detail });
        }
        this.#offscreen.push({
          kind: gpu === 0 ? kind : `${kind}, GPU ${gpu}`,
          total: own.length,
          shown: sample.length,
          wrong,
        });
      }
      await this.#restoreOutput(gpu);
    }
  }

  /** Null: it shows what it should. */
  async #showOne(
    { object, gpu, output }: { readonly object: number; readonly gpu: number; readonly output: number },
    wanted: RgbPicture,
  ): Promise<string | null> {
    const { eyes, clock, plan } = this.#life;
    try {
      await this.#call("show", { object, output, gpu }, `showing object ${object}`);
    } catch (error) {
      // What the host can't give back can't be shown; to be told so is as it should be.
      if (plan.loss === null || error instanceof DeadlineError) throw error;
      return sentenceOf(error);
    }
    const end = clock.nowMs() + Math.min(1500, plan.limits.redrawn);
    for (;;) {
      const picture = await eyes.see({ gpu, output });
      if (isSamePicture(picture, wanted) || showsInCorner(picture, wanted)) return null;
      if (clock.nowMs() >= end) return `${picture.width}x${picture.height} of something else`;
      await sleep(clock, 40);
    }
  }

  /** What the first output showed; or dark, where it was. */
  async #restoreOutput(gpu: number): Promise<void> {
    const { staying: lit, eyes, plan } = this.#life;
    const one = lit.find((candidate) => candidate.gpu === gpu);
    if (one === undefined) {
      await this.#call("show", { object: null, output: 0, gpu }, "turning the output off again");
      return;
    }
    await this.#showAgain(one);
    await eyes.watchFor([one], plan.limits.redrawn);
  }

  async #showAgain({ gpu, output }: Expected): Promise<void> {
    const object = this.#objectOn(gpu, output);
    if (object !== null) await this.#call("show", { object, output, gpu }, "showing what was shown");
  }

  #objectOn(gpu: number, output: number): number | null {
    return this.#life.scenes.find((scene) => scene.gpu === gpu)?.reply.shown[output] ?? null;
  }

  /** Draws the seed of the scene, or another one, into what an output shows. */
  async #draw(one: Expected, step: number): Promise<Expected> {
    const { gpu, output } = one;
    const { plan, scenes } = this.#life;
    const object = this.#objectOn(gpu, output) ?? 0;
    const seed = (scenes.find((scene) => scene.gpu === gpu)?.seed ?? 0) + object + step;
    await this.#call("draw", { object, seed, gpu }, "drawing");
    const [{ width, height } = { width: 1, height: 1 }] = one.pictures;
    return { gpu, output, pictures: [expectedPicture(plan.pattern, seed, { width, height })] };
  }

  async #hash(): Promise<void> {
    let objects = 0;
    const changed = [];
    for (const { gpu, reply } of this.#life.scenes) {
      const now = await this.#call("hashes", { gpu }, "reading the objects' memory");
      const found = new Map(now.objects.map((object) => [object.index, object.sha256]));
      objects += reply.objects.length;
      changed.push(...reply.objects.filter(({ index, sha256 }) => found.get(index) !== sha256));
    }
    this.#memory = { objects, changed };
  }

  /** Waits for the guest to see the display's new size, then gives it its old one. */
  async #seeHotplug(): Promise<void> {
    const { resized } = this.#course;
    const { clock, plan, machine } = this.#life;
    if (resized === null) return;
    const end = clock.nowMs() + plan.limits.redrawn;
    let seen: readonly Size[] = [];
    for (;;) {
      const { outputs } = await this.#call("outputs", { gpu: resized.gpu }, "asking for the outputs");
      seen = outputs[resized.output]?.modes ?? [];
      const isSeen = seen.some(({ width, height }) => width === OTHER_SIZE.width && height === OTHER_SIZE.height);
      if (isSeen || clock.nowMs() >= end) break;
      await sleep(clock, 100);
    }
    this.#hotplug = { asked: OTHER_SIZE, seen };
    const size = plan.outputs[resized.output];
    if (size !== null && size !== undefined) await machine.resize(resized.gpu, resized.output, size).catch(() => {});
  }

  async #seeConsole(): Promise<void> {
    const { textConsole } = this.#life;
    if (textConsole !== null && "lines" in textConsole) this.#textConsole = await seeConsole(this.#life, textConsole);
  }

  async #call<Call extends AgentCall>(
    call: Call,
    parameters: AgentCalls[Call]["with"],
    what: string,
  ): Promise<AgentCalls[Call]["result"]> {
    const { clock, machine, plan } = this.#life;
    const ask = (): Promise<AgentCalls[Call]["result"]> =>
      within(clock, plan.limits.call, what, machine.call(call, parameters));
    try {
      // A byte that the emulated port lost is no driver's fault.
      return await ask().catch((error: unknown) => (GARBLED.test(sentenceOf(error)) ? ask() : Promise.reject(error)));
    } catch (error) {
      throw error instanceof DeadlineError ? error : new Error(`${what} failed: ${sentenceOf(error)}`);
    }
  }
}

function shows(picture: RgbPicture | undefined, { pictures }: Expected): string {
  if (picture === undefined) return "nothing could be seen";
  const size = `${picture.width}x${picture.height}`;
  if (pictures.some((one) => isSamePicture(one, picture))) return `${size}, what it should`;
  const lit = picture.rgb.reduce((sum, value) => sum + (value === 0 ? 0 : 1), 0);
  if (lit === 0) return `${size}, all black`;
  // QEMU writes a line of text on a black picture where nobody draws.
  const isPlaceholder = size === "640x480" && lit < picture.rgb.length / 50;
  return isPlaceholder ? `${size}, what QEMU shows where no guest draws` : `${size} of something else`;
}

function isSameCursor(one: SeenCursor, other: SeenCursor): boolean {
  if (one.hotX !== other.hotX || one.hotY !== other.hotY || Buffer.compare(one.mask, other.mask) !== 0) return false;
  return (
    one.width === other.width &&
    one.height === other.height &&
    one.mask.every((isOpaque, at) => {
      return (
        isOpaque === 0 ||
        Buffer.compare(one.rgb.subarray(at * 3, at * 3 + 3), other.rgb.subarray(at * 3, at * 3 + 3)) === 0
      );
    })
  );
}

function cursorText(cursor: SeenCursor | undefined): string {
  if (cursor === undefined) return "none";
  const { width, height, hotX, hotY, mask } = cursor;
  const opaque = mask.reduce((sum, bit) => sum + bit, 0);
  return `${width}x${height}, hot spot ${hotX},${hotY}, ${opaque} pixels`;
}

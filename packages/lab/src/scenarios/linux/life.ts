/**
 * One guest life: boot, draw, sleep as often as the plan says, look, and power off. What was seen is handed back as data;
 * nothing is judged here.
 */
import type { AgentHello, SceneReply } from "@virtgpu/linux/agent";
import type { Clock } from "@virtgpu/core/base";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import { within } from "./deadline.ts";
import { type Expected, Eyes } from "./eyes.ts";
import type { LinuxMachine } from "./machine.ts";
import { type Observation, type Place, placeName } from "./observation.ts";
import { expectedPicture } from "./pictures.ts";
import { type LifePlan, sceneOf, seedOf } from "./plan.ts";
import { sleepOnce } from "./sleep-once.ts";
import { beginConsole, type ConsoleBefore } from "./text-console.ts";
import { LINUX_SLEEP_WAYS } from "./ways.ts";

/** Told while it goes on, for people. */
export interface LifeWatcher {
  stage(title: string): void;
  note(text: string): void;
}

/** A picture for the report, of the last sleep, or of the one that lost it. */
export interface LifePicture extends Place {
  readonly when: "before" | "after";
  readonly picture: RgbPicture;
}

/** The scene of one GPU. */
export interface DrawnScene {
  readonly gpu: number;
  readonly seed: number;
  readonly reply: SceneReply;
}

/** What the sleeps of a life have in common. */
export interface Life {
  readonly plan: LifePlan;
  readonly machine: LinuxMachine;
  readonly clock: Clock;
  readonly eyes: Eyes;
  readonly watcher: LifeWatcher;
  readonly scenes: readonly DrawnScene[];
  /** Lit outputs with what they show, and those of them that the host that wakes has, too. */
  readonly lit: readonly Expected[];
  readonly staying: readonly Expected[];
  /** Outputs that are off. */
  readonly off: readonly Place[];
  /** The kernel's text console; null: it is no part of this life. */
  readonly textConsole: ConsoleBefore | null;
}

/** What a life came to. */
export interface LifeOutcome {
  readonly hello: AgentHello;
  readonly observations: readonly Observation[];
  readonly notOffered: readonly { readonly kind: string; readonly reason: string }[];
  readonly pictures: readonly LifePicture[];
  /** How the guest powered off, null: it was ended. */
  readonly farewell: string | null;
}

/** Runs a life. Rejects where the machine does not even come to its first sleep: that is no verdict on a driver. */
export async function runLife(
  plan: LifePlan,
  machine: LinuxMachine,
  clock: Clock,
  watcher: LifeWatcher,
): Promise<LifeOutcome> {
  const { limits } = plan;
  watcher.stage("boot");
  await machine.boot();
  const hello = await within(clock, limits.call, "the agent's greeting", machine.call("hello", {}));
  watcher.note(`Linux ${hello.kernel}, ${hello.gpus.length} GPU(s) by ${hello.way}`);
  watcher.stage("draw the scene");
  const scenes = await drawScenes(plan, machine, clock);
  if (plan.remedy) {
    await within(clock, limits.call, "setting up the remedy", machine.call("remedy", { on: true }));
  }
  const lit = scenes.flatMap((scene) => litOutputs(plan, scene));
  const eyes = new Eyes(machine, clock);
  const life: Life = {
    plan,
    machine,
    clock,
    eyes,
    watcher,
    scenes,
    lit,
    textConsole: await beginConsole({ plan, machine, clock, eyes, lit }),
    staying: lit.filter(({ output }) => plan.loss?.outputs.includes(output) !== true),
    off: scenes.flatMap(({ gpu }) => plan.outputs.flatMap((size, output) => (size === null ? [{ gpu, output }] : []))),
  };
  const { observations, pictures } = await runSleeps(life);
  const isUp = observations.every(({ hung, stuck }) => hung === null && stuck === null);
  const farewell = isUp ? await powerOff(life) : null;
  return { hello, observations, notOffered: notOfferedBy(scenes), pictures, farewell };
}

/** Each once, though all GPUs lack it. */
function notOfferedBy(scenes: readonly DrawnScene[]): LifeOutcome["notOffered"] {
  const all = scenes.flatMap(({ reply }) => reply.notOffered);
  return all.filter(({ kind, reason }, at) => {
    return all.findIndex((one) => one.kind === kind && one.reason === reason) === at;
  });
}

async function drawScenes(plan: LifePlan, machine: LinuxMachine, clock: Clock): Promise<readonly DrawnScene[]> {
  const scenes: DrawnScene[] = [];
  const limit = plan.limits.call + 50 * plan.offscreen.count;
  for (let gpu = 0; gpu < plan.gpus; gpu += 1) {
    const call = machine.call("scene", sceneOf(plan, gpu));
    scenes.push({ gpu, seed: seedOf(plan, gpu), reply: await within(clock, limit, "drawing the scene", call) });
  }
  return scenes;
}

function litOutputs({ outputs, pattern }: LifePlan, { gpu, seed, reply }: DrawnScene): readonly Expected[] {
  return outputs.flatMap((size, output) => {
    const object = reply.shown[output];
    if (size === null || typeof object !== "number") return [];
    return [{ gpu, output, pictures: [expectedPicture(pattern, seed + object, size)] }];
  });
}

async function runSleeps(life: Life): Promise<Pick<LifeOutcome, "observations" | "pictures">> {
  const observations: Observation[] = [];
  let pictures: readonly LifePicture[] = [];
  for (const [at, way] of life.plan.chain.entries()) {
    const refusedBefore = observations.filter(({ reply }) => reply?.error !== null).length;
    const isHung = at === 0 && life.plan.hangMs > 0;
    const meant = isHung ? "refused" : LINUX_SLEEP_WAYS[way].outcome;
    const once = await sleepOnce(life, { way, number: at + 1, meant, refusedBefore });
    observations.push(once.observation);
    pictures = once.pictures;
    const { hung, stuck, outputs } = once.observation;
    const lost = outputs.filter(({ cameBack }) => cameBack === "never");
    if (hung !== null || stuck !== null || lost.length > 0) {
      if (at + 1 < life.plan.chain.length)
        life.watcher.note(`no further sleeps: ${lost.map(placeName).join(", ") || "the machine is stuck"}`);
      break;
    }
  }
  return { observations, pictures };
}

async function powerOff({ machine, clock, plan }: Life): Promise<string | null> {
  try {
    const ended = machine.ended();
    ended.catch(() => {});
    await within(clock, plan.limits.call, "finishing", machine.call("finish", {}));
    const { code, signal } = await within(clock, plan.limits.call, "powering off", ended);
    return signal ?? `code ${code}`;
  } catch {
    return null;
  }
}

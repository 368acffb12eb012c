/**
 * What a guest is put through: its scene, its sleeps, and how long each wait may take.
 */
import type { AgentDriver, SceneRequest, Size, SleepWay } from "@virtgpu/linux/agent";
import type { Pattern } from "./pictures.ts";

/** Milliseconds. Generous: a guest under software emulation on a busy machine takes many times what it takes alone. */
export interface Limits {
  /** A sleep, up to the end of the process or the answer. */
  readonly sleep: number;
  /** From the new process, or the wake, to the answer. */
  readonly wake: number;
  /** From a new process's first word to the answer. */
  readonly anew: number;
  /** Any other call. */
  readonly call: number;
  /** How long a picture may take to come back by itself, from the answer on; and after a redraw or a drawing. */
  readonly grace: number;
  readonly redrawn: number;
}

/** See {@link Limits}. */
export const LIMITS: Limits = { sleep: 180_000, wake: 180_000, anew: 5000, call: 60_000, grace: 6000, redrawn: 4000 };

/** See the file's head. */
export interface LifePlan {
  readonly driver: AgentDriver;
  readonly chain: readonly SleepWay[];
  readonly gpus: number;
  /** One an output of each GPU; null: off. */
  readonly outputs: readonly (Size | null)[];
  readonly offscreen: { readonly count: number } & Size;
  readonly cursor: boolean;
  readonly extras: boolean;
  /** Pages of the last output are flipped until the freeze. */
  readonly flips: boolean;
  /** The last output's display gets another size while the machine sleeps. */
  readonly hotplug: boolean;
  readonly remedy: boolean;
  /** The host stops answering for so long just before the first sleep, which has to be turned back. 0: it does not. */
  readonly hangMs: number;
  /** What the host that wakes can't give back: these outputs, and objects; null: it can give back all. */
  readonly loss: { readonly outputs: readonly number[] } | null;
  readonly seed: number;
  /** Off-screen objects are shown up to so many, spread evenly. */
  readonly shownMax: number;
  readonly limits: Limits;
  readonly pattern: Pattern;
  /** What the console says where two images are made and the machine goes on for a while. */
  readonly liveSays: string;
}

/** The scene that the agent is asked for; each GPU has a seed of its own. */
export function sceneOf(plan: LifePlan, gpu: number): SceneRequest & { readonly gpu: number } {
  const { outputs, offscreen, cursor, extras } = plan;
  return { seed: seedOf(plan, gpu), outputs, offscreen, cursor: cursor && gpu === 0, extras, gpu };
}

/** The seed of a GPU's first object. */
export function seedOf({ seed }: LifePlan, gpu: number): number {
  return seed + gpu * GPU_STEP;
}

/** More than any GPU has objects. */
const GPU_STEP = 200_000;
/** Added to a seed: something new. */
export const NEW_DRAWING = 100_000;

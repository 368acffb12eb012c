/**
 * What was seen around one sleep, as plain data. Checks, verdict and reason are made of it, and of nothing else.
 */
import type { SceneObject, Size, SleepReply, SleepWay } from "@virtgpu/linux/agent";
import type { LinuxTimes } from "../../report/linux-record.ts";
import type { DeviceStatus } from "./machine.ts";
import type { ConsoleSeen } from "./text-console.ts";

/** After which step an output first showed what it should. */
export type CameBack = "itself" | "redraw" | "draw" | "never";

/** Where a picture is: an output of a GPU, both counted from 0. */
export interface Place {
  readonly gpu: number;
  readonly output: number;
}

/** For people: "output 1", and of which GPU, but for the first. */
export function placeName({ gpu, output }: Place): string {
  return gpu === 0 ? `output ${output}` : `output ${output} of GPU ${gpu}`;
}

/** One output around a sleep. */
export interface OutputSeen extends Place {
  /** Whether the scene has it lit. */
  readonly isLit: boolean;
  /** Whether it showed what it should before the sleep. */
  readonly wasRight: boolean;
  readonly cameBack: CameBack;
  /** What it showed last, for people, e.g. "640x480, another picture". */
  readonly shows: string;
}

/** An object that was shown afterwards, and was not what it had been. */
export interface WrongObject {
  readonly index: number;
  readonly kind: string;
  readonly detail: string;
}

/** Off-screen objects, shown one after the other. */
export interface OffscreenSeen {
  readonly kind: string;
  readonly total: number;
  readonly shown: number;
  readonly wrong: readonly WrongObject[];
}

/** The cursor; `before` and `after`: what it was then, for people. */
export interface CursorSeen {
  readonly isSame: boolean;
  readonly before: string;
  readonly after: string;
}

/** What was seen; null: nobody looked, or nothing came. */
export interface Observation {
  readonly number: number;
  readonly way: SleepWay;
  /** Whether it was to sleep, or to be turned back. */
  readonly meant: "slept" | "refused";
  /** Whether the host that woke it can't give back everything. */
  readonly expectsLoss: boolean;
  /** How many sleeps of this life were turned back before this one. */
  readonly refusedBefore: number;
  readonly reply: SleepReply | null;
  /** Where the machine stopped, in a sentence; null: it did not. */
  readonly hung: string | null;
  /** What it no longer answered after it woke, in a sentence; null: it answered all. */
  readonly stuck: string | null;
  readonly events: readonly string[];
  readonly end: { readonly code: number | null; readonly signal: string | null } | null;
  readonly isNewProcess: boolean;
  readonly outputs: readonly OutputSeen[];
  readonly offscreen: readonly OffscreenSeen[];
  /** Why the off-screen objects were not shown; null: they were. */
  readonly offscreenReason: string | null;
  readonly cursor: CursorSeen | null;
  /** Objects whose guest memory is not what it was. */
  readonly memory: { readonly objects: number; readonly changed: readonly SceneObject[] } | null;
  readonly flips: { readonly flips: number; readonly failed: number; readonly reason: string | null } | null;
  /** A display that changed its size while the machine slept: what it was given, and what the guest sees. */
  readonly hotplug: { readonly asked: Size; readonly seen: readonly Size[] } | null;
  readonly hotplugReason: string | null;
  /** With two images: whether the machine that went on, and the first image, showed all that they should. */
  readonly twice: { readonly live: boolean; readonly first: boolean; readonly detail: string } | null;
  /** The kernel's text console. */
  readonly textConsole: ConsoleSeen | null;
  /** Why it was not looked at; null: nobody meant to. */
  readonly textConsoleReason: string | null;
  /** Whether something new, drawn afterwards, was shown. */
  readonly newDrawing: boolean | null;
  readonly kernelLines: readonly string[];
  readonly hostLines: readonly string[];
  readonly status: DeviceStatus | null;
  readonly console: readonly string[];
  readonly times: LinuxTimes;
}

/** Times of a sleep that was not measured. */
export const NO_TIMES: LinuxTimes = {
  hibernate: null,
  wake: null,
  picture: null,
  guestPicture: null,
  guestComplete: null,
};

/**
 * The kernel's text console: what it says, and what the first output shows where it is given to it. A kernel's own driver
 * shows it without an application's help, so that its picture is the driver's own work.
 */
import { sleep } from "@virtgpu/core/base";
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import { DeadlineError, sentenceOf, within } from "./deadline.ts";
import type { Expected, Eyes } from "./eyes.ts";
import type { Life } from "./life.ts";
import { isSamePicture } from "./pictures.ts";

/** What is written there. */
export const CONSOLE_LINES: readonly string[] = [
  "virtgpu: what this console says, and the picture of it, outlive a sleep.",
  ...Array.from({ length: 8 }, (_, row) => {
    return Array.from({ length: 64 }, (__, column) => String.fromCharCode(33 + ((row * 37 + column) % 94))).join("");
  }),
];

const AGAIN_MS = 80;
/** So many looks at one and the same picture, and it is taken for done. */
const STEADY_LOOKS = 3;

/** The console before the first sleep, or why there is none to be looked at. */
export type ConsoleBefore =
  | { readonly lines: readonly string[]; readonly picture: RgbPicture | null }
  | { readonly reason: string };

/** The console around a sleep: each false or true, for people the detail. `picture` null: no framebuffer shows it. */
export interface ConsoleSeen {
  readonly text: { readonly isSame: boolean; readonly detail: string };
  readonly picture: { readonly isSame: boolean; readonly detail: string } | null;
}

type Lookers = Pick<Life, "machine" | "clock" | "plan" | "eyes" | "lit">;

/** Writes to it, looks, and gives the outputs back to the scene. Null: not with this driver, or this scene. */
export async function beginConsole(life: Lookers): Promise<ConsoleBefore | null> {
  const { plan, eyes, clock } = life;
  const [first] = life.lit;
  if (plan.driver !== "kernel" || first === undefined) return null;
  try {
    const { lines, isShown } = await give(life, true, CONSOLE_LINES);
    const picture = isShown ? await steadyPicture(eyes, first, { clock, limitMs: plan.limits.redrawn }) : null;
    await give(life, false);
    const isWritten = CONSOLE_LINES.every((line) => lines.includes(line));
    return isWritten ? { lines, picture } : { reason: "the console does not say what was written there" };
  } catch (error) {
    if (error instanceof DeadlineError) throw error;
    return { reason: sentenceOf(error) };
  }
}

/** Looks at it again. Rejects where the agent does not answer. */
export async function seeConsole(
  life: Lookers,
  before: Extract<ConsoleBefore, { readonly lines: readonly string[] }>,
): Promise<ConsoleSeen> {
  const { eyes, plan } = life;
  const [first] = life.lit;
  const { lines } = await give(life, true);
  const changed = before.lines.findIndex((line, at) => lines[at] !== line);
  const at = changed < 0 && lines.length > before.lines.length ? before.lines.length : changed;
  const said = (text: string | undefined): string => (text === undefined ? "nothing" : JSON.stringify(text));
  const detail =
    at < 0
      ? `all ${lines.length} lines are the same`
      : `line ${at + 1} was ${said(before.lines[at])}, and is ${said(lines[at])}`;
  const picture =
    before.picture === null || first === undefined
      ? null
      : await seePicture(eyes, first, before.picture, plan.limits.redrawn);
  await give(life, false);
  return { text: { isSame: at < 0, detail }, picture };
}

async function seePicture(
  eyes: Eyes,
  { gpu, output }: Expected,
  wanted: RgbPicture,
  limitMs: number,
): Promise<NonNullable<ConsoleSeen["picture"]>> {
  const { right, last } = await eyes.watchFor([{ gpu, output, pictures: [wanted] }], limitMs);
  const [now] = last.values();
  const size = now === undefined ? "nothing" : `${now.width}x${now.height} of something else`;
  return { isSame: right.size > 0, detail: right.size > 0 ? "every pixel is the same" : `it shows ${size}` };
}

/** What an output shows once it is something else than the scene, and stays so; null: it never did. */
async function steadyPicture(
  eyes: Eyes,
  first: Expected,
  { clock, limitMs }: { readonly clock: Life["clock"]; readonly limitMs: number },
): Promise<RgbPicture | null> {
  const end = clock.nowMs() + limitMs;
  let [last, looks]: [RgbPicture | null, number] = [null, 0];
  while (clock.nowMs() < end) {
    const picture = await eyes.see(first);
    const isConsole =
      picture.rgb.some((value) => value !== 0) && !first.pictures.some((one) => isSamePicture(one, picture));
    looks = isConsole && last !== null && isSamePicture(last, picture) ? looks + 1 : 0;
    if (looks === STEADY_LOOKS) return picture;
    last = picture;
    await sleep(clock, AGAIN_MS);
  }
  return null;
}

function give(
  { clock, machine, plan }: Lookers,
  isGiven: boolean,
  write?: readonly string[],
): Promise<{ readonly lines: readonly string[]; readonly isShown: boolean }> {
  const what = isGiven ? "giving the outputs to the text console" : "taking the outputs from the text console";
  const call = machine.call("console", { isGiven, ...(write === undefined ? {} : { write }) });
  return within(clock, plan.limits.call, what, call);
}

/**
 * What is there before a sleep: pictures, the cursor, an application that flips pages.
 */
import type { RgbPicture } from "../../hosts/qemu/ppm.ts";
import { type SeenCursor } from "./machine.ts";
import { within } from "./deadline.ts";
import type { Expected } from "./eyes.ts";
import type { Life } from "./life.ts";

/** See the file's head. */
export interface Before {
  /** Outputs that show what they should. */
  readonly right: ReadonlySet<Expected>;
  readonly pictures: ReadonlyMap<Expected, RgbPicture>;
  /** Null: the scene has none. Undefined: it should, but none is seen. */
  readonly cursor: SeenCursor | null | undefined;
  /** The output whose pages are flipped, with all that it shows meanwhile. */
  readonly flipping: Expected | null;
  /** So many lines of QEMU and of the console are older. */
  readonly hostLines: number;
  readonly consoleLines: number;
}

/** Looks, and begins to flip. Rejects where the machine is broken before it slept. */
export async function lookBefore(life: Life): Promise<Before> {
  const { eyes, lit, machine, plan, clock } = life;
  const { last, right } = await eyes.watchFor(lit, plan.limits.redrawn);
  const [first] = lit;
  const cursor =
    plan.cursor && first !== undefined ? ((await machine.cursor(first.gpu, first.output)) ?? undefined) : null;
  await within(clock, plan.limits.call, "reading the kernel's log", machine.call("log", {}));
  const consoleLines = machine.console.length;
  const hostLines = machine.errors.length;
  return { right, pictures: last, cursor, flipping: await startFlips(life), hostLines, consoleLines };
}

/** On the last output of the first GPU, where it is not the only one: another shows what comes back without help. */
async function startFlips({ plan, machine, lit, eyes, clock }: Life): Promise<Expected | null> {
  const own = lit.filter(({ gpu }) => gpu === 0);
  const last = own.at(-1);
  if (!plan.flips || own.length < 2 || last === undefined) return null;
  const { output } = last;
  await within(clock, plan.limits.call, "starting to flip pages", machine.call("flips", { output, on: true, gpu: 0 }));
  const seen = await eyes.collect(last, 6);
  return { ...last, pictures: [...last.pictures, ...seen] };
}

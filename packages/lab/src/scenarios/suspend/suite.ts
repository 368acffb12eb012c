/** The suite: what a case is, and how one is run. The list is in cases/. */
import { GpuError } from "@virtgpu/core/base";
import { type Ability, CORE_ABILITIES, CaseFailed, type SuspendSubject, must } from "./subject.ts";
import { Stage } from "./stage.ts";

/** How the machine sleeps in a case, or what puts an end to its host without a sleep. */
export type SleepKind =
  | "s4"
  | "s3"
  | "s2idle"
  | "hybrid"
  | "test-resume"
  | "trial"
  | "aborted"
  | "reset"
  | "death"
  | "restart"
  | "snapshot"
  | "several";

/** What a case is made of. */
export interface CaseParts {
  /** Stable, for lists of results: lower case with dashes. */
  readonly id: string;
  /** A sentence about what comes through. */
  readonly title: string;
  readonly sleep: SleepKind;
  /** What the machine must be able to do. Default: nothing that not every machine can. */
  readonly needs?: readonly Ability[] | undefined;
  /** What there is before. */
  draw(stage: Stage): Promise<void>;
  /** Sleeps, with whatever happens meanwhile. What is on the scene afterwards must be on the host. */
  act(stage: Stage): Promise<void>;
}

/** One case. Everything about it is the same for every driver and host. */
export interface SuspendCase extends Required<Omit<CaseParts, "needs">> {
  readonly needs: readonly Ability[];
  /** Whether a real host can be asked for it, with nothing but registers and a power switch. */
  readonly core: boolean;
  /** Runs it once. Throws CaseFailed or GpuError with what is wrong. A subject serves once. */
  run(subject: SuspendSubject): Promise<void>;
}

/** Makes a case. */
export function suspendCase(parts: CaseParts): SuspendCase {
  const { needs = [] } = parts;
  const made: SuspendCase = {
    id: parts.id,
    title: parts.title,
    sleep: parts.sleep,
    needs,
    core: needs.every((ability) => CORE_ABILITIES.has(ability)),
    draw: (stage) => parts.draw(stage),
    act: (stage) => parts.act(stage),
    run: (subject) => subject.run(play(made, subject)),
  };
  return made;
}

/** Why a subject can't be asked for a case; null when it can. */
export function notOffered(theCase: SuspendCase, subject: SuspendSubject): string | null {
  for (const ability of theCase.needs) {
    const reason = subject.lacks(ability);
    if (reason !== null) return reason;
  }
  return null;
}

async function play(theCase: SuspendCase, subject: SuspendSubject): Promise<void> {
  await onStage(theCase, subject, async (stage) => {
    await theCase.act(stage);
    await stage.settled();
    await stage.check("afterwards");
  });
}

/** Draws, sleeps, and whatever happened lets go of the device. */
async function onStage(
  theCase: SuspendCase,
  subject: SuspendSubject,
  work: (stage: Stage) => Promise<void>,
): Promise<void> {
  const reason = notOffered(theCase, subject);
  if (reason !== null) throw new CaseFailed(`${subject.label} can't be asked for ${theCase.id}: ${reason}`);
  const stage = await Stage.open(subject);
  try {
    await theCase.draw(stage);
    await stage.check("before");
    await work(stage);
  } finally {
    await stage.close();
  }
  await subject.verifyRemoved();
}

/** Commands that the host sees in a good run: up to the end of the drawing, and up to the end of the case. */
export interface CommandCounts {
  readonly drawn: number;
  readonly done: number;
}

/** Counts the commands of a good run. The subject has to have the ability `faults`. */
export async function countCommands(theCase: SuspendCase, subject: SuspendSubject): Promise<CommandCounts> {
  const { faults } = subject.host;
  must(faults !== null, `${subject.label} counts no commands`);
  let drawn = 0;
  let done = 0;
  await subject.run(
    onStage(theCase, subject, async (stage) => {
      drawn = faults.count;
      await theCase.act(stage);
      await stage.settled();
      done = faults.count;
    }),
  );
  return { drawn, done };
}

/**
 * Runs a case on a host that misbehaves while it acts: by a plan that `arrange` makes, or by its own nature. The case may
 * then come to an end of any sort; but once the fault has gone nothing is missing, nobody waits, and a whole hibernation
 * goes without an error. With `mends` the fault never goes by itself: somebody has the driver mend the device.
 */
export async function runFaulty(
  theCase: SuspendCase,
  subject: SuspendSubject,
  arrange: (subject: SuspendSubject) => void = () => {},
  { mends = false }: { readonly mends?: boolean } = {},
): Promise<void> {
  await subject.run(
    onStage(theCase, subject, async (stage) => {
      arrange(subject);
      try {
        await theCase.act(stage);
      } catch (error) {
        if (!(error instanceof GpuError || error instanceof CaseFailed)) throw error;
      }
      await stage.aftermath(mends);
      await stage.settled({ forgiven: true });
      subject.host.forgive();
      await stage.check("once the fault has gone");
      await stage.hibernate();
      await stage.check("after a good hibernation");
    }),
  );
}

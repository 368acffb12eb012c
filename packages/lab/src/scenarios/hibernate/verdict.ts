/**
 * What a run came to, in one word and one sentence, with the reasons.
 */
import { MachineError } from "../../guests/machine/protocol.ts";
import type { ErrorRecord, RunVerdict } from "../../report/run-record.ts";
import { UsageError } from "../../usage-error.ts";
import { differingPixels, type PictureComparison } from "./compare.ts";
import type { Cycle, RunOutcome, RunPlan } from "./run.ts";

/** See the file's head. */
export interface Judgement {
  readonly verdict: RunVerdict;
  readonly sentence: string;
  /** What was lost or went wrong. */
  readonly errors: readonly ErrorRecord[];
}

/** Exit codes of the commands that judge; 2 is for mistakes in what was typed. */
export const EXIT_CODES: Readonly<Record<RunVerdict, number>> = { "nothing lost": 0, lost: 1, failed: 3 };

/** Judges a run. Throws the UsageError that ended it. */
export function judge(plan: RunPlan, { error, cycles }: RunOutcome): Judgement {
  if (error instanceof UsageError) throw error;
  const where = (index: number): string => (cycles.length > 1 ? `cycle ${index + 1}: ` : "");
  const losses = cycles.flatMap((cycle, index) => lossesOf(plan, cycle, where(index)));
  const given = cycles.flatMap((cycle, index) => givenUp(plan, cycle, where(index)));
  const failures = error === null ? cycles.flatMap((cycle) => oddities(plan, cycle)) : [failureOf(error)];
  const errors = [...losses, ...given, ...failures];
  if (losses.length > 0) return { verdict: "lost", sentence: `lost: ${few(losses)}`, errors };
  if (failures.length > 0) return { verdict: "failed", sentence: `failed: ${few(failures)}`, errors };
  if (given.length > 0) return { verdict: "lost", sentence: givenUpSentence(given), errors };
  return { verdict: "nothing lost", sentence: keptSentence(cycles), errors };
}

function failureOf(error: Error): ErrorRecord {
  const isMachine = error instanceof MachineError;
  const message = isMachine ? error.message : `${error.name}: ${error.message}`;
  return { code: isMachine ? error.code : "EIO", message, where: "machine" };
}

/** Contents that were the host's alone, and that the user's policy says to let go. */
export function isGivenUp({ policy }: Pick<RunPlan, "policy">, reason: string): boolean {
  return policy === "lose" && reason.endsWith("(ENOTRECOVERABLE)");
}

function givenUp(plan: RunPlan, cycle: Cycle, where: string): readonly ErrorRecord[] {
  return toldLosses(cycle)
    .filter(({ reason }) => isGivenUp(plan, reason))
    .map(({ object }) => ({
      code: "LOST",
      message: `${where}${object}: its contents went with the host`,
      where: `${where}${object}`,
    }));
}

/** What the last restore says that it could not bring back. */
export function toldLosses({
  restored,
  slept,
}: Cycle): readonly { readonly object: string; readonly reason: string }[] {
  return ((restored ?? slept)?.reports ?? []).flatMap(({ lost }) => lost);
}

function lossesOf(plan: RunPlan, cycle: Cycle, where: string): readonly ErrorRecord[] {
  const { before, after: found, comparison, flows } = cycle;
  if (comparison === null) return [];
  const lost = (place: string, message: string): ErrorRecord => ({ code: "LOST", message, where: `${where}${place}` });
  const seen =
    (what: string) =>
    ({ output, isSame, after }: PictureComparison): ErrorRecord[] => {
      const place = `${what} ${output}`;
      if (isSame) return [];
      const isOutput = what === "output";
      const differing = isOutput
        ? differingPixels(before?.outputs[output] ?? null, found?.outputs[output] ?? null)
        : null;
      if (after === null) return [lost(place, `${where}${place} is dark`)];
      return [lost(place, `${where}${place} differs${differing === null ? "" : ` in ${differing} pixels`}`)];
    };
  const told = toldLosses(cycle).filter(({ reason }) => !isGivenUp(plan, reason));
  return [
    ...comparison.outputs.flatMap(seen("output")),
    ...comparison.cursors.flatMap(seen("the cursor of output")),
    ...comparison.objects.flatMap(({ key, reason }) =>
      reason === null ? [] : [lost(key, `${where}"${key}": ${reason}`)],
    ),
    ...told.map(({ object, reason }) => lost(object, `${where}${object}: ${reason}`)),
    ...(flows ? [] : [lost("frames", `${where}no frame reaches the host any more`)]),
  ];
}

/** Nothing was lost, but something did not come to what it should have. */
function oddities({ way, faults, wayName }: RunPlan, { slept, restored, after }: Cycle): readonly ErrorRecord[] {
  const complaints = (after?.errorLines ?? []).map((line) => odd(`the host says: ${line}`, "host"));
  if (faults.length > 0) return complaints;
  if (restored !== null && restored.outcome !== "resumed") {
    return [...complaints, odd(`the restore ended as "${restored.outcome}"${because(restored.failures)}`, "restore")];
  }
  if (slept === null || slept.outcome === way.outcome) return complaints;
  const what =
    slept.outcome === "aborted" ? "was turned back, with everything still there" : `ended as "${slept.outcome}"`;
  return [...complaints, odd(`${wayName} ${what}${because(slept.failures)}`, wayName)];
}

const odd = (message: string, where: string): ErrorRecord => ({ code: "EIO", message, where });

interface Failure {
  readonly device: string;
  readonly phase: string;
  readonly message: string;
}

function because([first]: readonly Failure[]): string {
  return first === undefined ? "" : `: ${first.message} (${first.device}, ${first.phase})`;
}

function keptSentence(cycles: readonly Cycle[]): string {
  const { objects = [], outputs = [], cursors = [] } = cycles.at(-1)?.comparison ?? {};
  const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const parts = [plural(objects.length, "object"), plural(outputs.length, "output")];
  if (cursors.length > 0) parts.push(plural(cursors.length, "cursor"));
  const over = cycles.length === 1 ? "" : ` in ${cycles.length} cycles`;
  return `nothing lost: ${parts.join(", ")} the same, byte for byte${over}`;
}

/** What was given up is lost all the same; that the user wanted it so is said. */
function givenUpSentence(given: readonly ErrorRecord[]): string {
  return `lost, as --policy lose allows: ${few(given)}; all else is the same, byte for byte`;
}

function few(errors: readonly ErrorRecord[]): string {
  const more = errors.length > 3 ? ` and ${errors.length - 3} more` : "";
  return `${errors
    .slice(0, 3)
    .map(({ message }) => message)
    .join("; ")}${more}`;
}

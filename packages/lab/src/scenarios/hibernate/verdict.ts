/**
 * What a run came to, in one word and one sentence, with the reasons.
 */
import { MachineError } from "../../guests/machine/protocol.ts";
import { UsageError } from "../../usage-error.ts";
import type { KindComparison } from "./compare.ts";
import type { Cycle, RunOutcome, RunPlan } from "./run.ts";

/** `kept`: nothing was lost. `lost`: something was. `failed`: host or machine failed, so nobody knows or nothing is left. */
export type Verdict = "kept" | "lost" | "failed";

/** See the file's head. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly sentence: string;
  /** What was lost or went wrong, one sentence each. */
  readonly errors: readonly string[];
}

/** Exit codes of the commands that judge. */
export const EXIT_CODES: Readonly<Record<Verdict | "usage", number>> = { kept: 0, lost: 1, usage: 2, failed: 3 };

/** Judges a run. Throws the UsageError that ended it. */
export function judge(plan: RunPlan, { error, cycles }: RunOutcome): Judgement {
  if (error instanceof UsageError) throw error;
  const losses = cycles.flatMap((cycle, index) => lossesOf(cycle, cycles.length > 1 ? `cycle ${index + 1}: ` : ""));
  if (losses.length > 0) return { verdict: "lost", sentence: `lost: ${few(losses)}`, errors: losses };
  if (error !== null) {
    const why = error instanceof MachineError ? error.message : `${error.name}: ${error.message}`;
    return { verdict: "failed", sentence: `failed: ${why}`, errors: [why] };
  }
  const odd = cycles.flatMap((cycle) => oddities(plan, cycle));
  if (odd.length > 0) return { verdict: "failed", sentence: `failed: ${few(odd)}`, errors: odd };
  return { verdict: "kept", sentence: keptSentence(cycles), errors: [] };
}

/** Objects by kind over all cycles: the worst of each. */
export function kindTable(cycles: readonly Cycle[]): readonly KindComparison[] {
  const rows = new Map<string, KindComparison>();
  for (const { comparison } of cycles) {
    for (const row of comparison?.kinds ?? []) {
      const known = rows.get(row.kind);
      if (known === undefined || row.lost > known.lost) rows.set(row.kind, row);
    }
  }
  return [...rows.values()];
}

function lossesOf({ comparison, slept, restored, flows }: Cycle, where: string): readonly string[] {
  if (comparison === null) return [];
  const { outputs, cursors, losses } = comparison;
  const seen = (what: string): ((row: (typeof outputs)[number]) => string[]) => {
    return ({ output, isSame, after, differing }) => {
      if (isSame) return [];
      if (after === null) return [`${where}${what} ${output} is dark`];
      return [`${where}${what} ${output} differs${differing === null ? "" : ` in ${differing} pixels`}`];
    };
  };
  const told = ((restored ?? slept)?.reports ?? []).flatMap(({ lost }) => lost);
  return [
    ...outputs.flatMap(seen("output")),
    ...cursors.flatMap(seen("the cursor of output")),
    ...losses.map(({ key, why }) => `${where}"${key}": ${why}`),
    ...told.map(({ object, reason }) => `${where}${object}: ${reason}`),
    ...(flows ? [] : [`${where}no frame reaches the host any more`]),
  ];
}

/** Nothing was lost, but something did not come to what it should have. */
function oddities({ way, faults, wayName }: RunPlan, { slept, restored, after }: Cycle): readonly string[] {
  const complaints = (after?.errorLines ?? []).map((line) => `the host says: ${line}`);
  if (restored !== null && restored.outcome !== "resumed" && faults.length === 0) {
    return [...complaints, `the restore ended as "${restored.outcome}"${because(restored.failures)}`];
  }
  if (slept === null || slept.outcome === way.outcome || faults.length > 0) return complaints;
  if (slept.outcome === "aborted") {
    return [...complaints, `${wayName} was turned back, with everything still there${because(slept.failures)}`];
  }
  return [...complaints, `${wayName} ended as "${slept.outcome}"${because(slept.failures)}`];
}

function because(
  failures: readonly { readonly device: string; readonly phase: string; readonly message: string }[],
): string {
  const [first] = failures;
  return first === undefined ? "" : `: ${first.message} (${first.device}, ${first.phase})`;
}

function keptSentence(cycles: readonly Cycle[]): string {
  const rows = kindTable(cycles);
  const objects = rows.reduce((sum, { count }) => sum + count, 0);
  const outputs = cycles[0]?.comparison?.outputs.length ?? 0;
  const cursors = cycles[0]?.comparison?.cursors.length ?? 0;
  const over = cycles.length === 1 ? "" : ` in ${cycles.length} cycles`;
  const seen = `${outputs} output${outputs === 1 ? "" : "s"}${cursors === 0 ? "" : `, ${cursors} cursor${cursors === 1 ? "" : "s"}`}`;
  return `nothing lost: ${objects} objects, ${seen} the same, byte for byte${over}`;
}

function few(sentences: readonly string[]): string {
  const more = sentences.length > 3 ? ` and ${sentences.length - 3} more` : "";
  return `${sentences.slice(0, 3).join("; ")}${more}`;
}

/** How the conformance suite stands in a test file: each case by its name, and what is not asked for by its reason. */
import { SUSPEND_CASES, type SuspendCase } from "../../src/scenarios/suspend/index.ts";

/** By the case's id: why it is not asked for. */
export type Omissions = Readonly<Record<string, string>>;

/** What needs a plan of faults, on a host that is made to go wrong already: it `does`. */
export function planned(does: string): Omissions {
  const ids = SUSPEND_CASES.filter(({ needs }) => needs.includes("faults")).map(({ id }) => id);
  return Object.fromEntries(ids.map((id) => [id, `what the host does is planned already: it ${does}`]));
}

/** For `it.each`. */
export function rows(
  cases: readonly SuspendCase[],
  omissions: Omissions,
): readonly (readonly [title: string, SuspendCase])[] {
  return cases.map((suspendCase) => {
    const { id, title } = suspendCase;
    return [id in omissions ? `${id}: not asked for, as ${omissions[id]}` : `${id}: ${title}`, suspendCase];
  });
}

/**
 * What a sleep came to, in one word.
 */
import { type LinuxVerdict, worstVerdict } from "../../report/linux-record.ts";
import type { CameBack, Observation } from "./observation.ts";

const RANKS: Readonly<Record<CameBack, LinuxVerdict>> = {
  itself: "came-back",
  redraw: "came-back-after-redraw",
  draw: "came-back-after-redraw",
  never: "never",
};

/** By the worst of its outputs. */
export function verdictOf({ hung, outputs }: Observation): LinuxVerdict {
  if (hung !== null) return "hung";
  return worstVerdict(outputs.map(({ cameBack }) => RANKS[cameBack]));
}

/** What a simulation comes to when something is not as it must be. */

/** See the file's head. */
export class SimulationFailure extends Error {
  override readonly name: string = "SimulationFailure";
}

/** Throws {@link SimulationFailure} with the sentence unless `condition` holds. */
export function demand(condition: boolean, sentence: string | (() => string)): asserts condition {
  if (!condition) throw new SimulationFailure(typeof sentence === "string" ? sentence : sentence());
}

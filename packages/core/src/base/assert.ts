/** A bug in this project (never the peer's doing): caught nowhere but at the top level. */
export class InvariantViolation extends Error {
  override readonly name: string = "InvariantViolation";
}

/** Throws {@link InvariantViolation} unless `condition` holds. For our own mistakes only, never for a peer's input. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantViolation(message);
}

/** Ends an exhaustive `switch`: fails to compile when a case is missing. */
export function assertNever(value: never): never {
  throw new InvariantViolation(`unexpected case: ${String(value)}`);
}

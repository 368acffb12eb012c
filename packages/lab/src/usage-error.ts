/**
 * A mistake of the person at the keyboard: one sentence that says what to do, exit code 2, never a stack trace.
 */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}

/** Bugs of this package. */

/** Demands what can only fail by a bug. */
export function assert(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new Error(`bug: it does not hold that ${expectation}`);
}

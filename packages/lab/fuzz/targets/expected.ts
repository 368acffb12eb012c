/** The errors that code under test may refuse an input with. */

const EXPECTED: ReadonlySet<string> = new Set(["GpuError", "UsageError", "RingViolation"]);

/** Runs `work`; only an error that nobody planned comes out. */
export function refusing(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    rethrowUnplanned(error);
  }
}

/** The same for work that takes its time. */
export async function refusingLater(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    rethrowUnplanned(error);
  }
}

function rethrowUnplanned(error: unknown): void {
  if (error instanceof Error && EXPECTED.has(error.name) && error.message !== "") return;
  throw error;
}

/** Waits that come to an end. */
import type { Clock } from "@virtgpu/core/base";

/** Something took too long; its message is a sentence that says what. */
export class DeadlineError extends Error {
  override readonly name: string = "DeadlineError";
}

/** What `work` comes to, or DeadlineError. What comes later is dropped. */
export async function within<T>(clock: Clock, limitMs: number, what: string, work: Promise<T>): Promise<T> {
  work.catch(() => {});
  let cancel: (() => void) | null = null;
  const late = new Promise<never>((_, reject) => {
    cancel = clock.after(limitMs, () => {
      reject(new DeadlineError(`${what} took more than ${Math.round(limitMs / 1000)} s`));
    });
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    (cancel as (() => void) | null)?.();
  }
}

/** An error's first line, without the console's last ones and the words of the layers that it came through. */
export function sentenceOf(error: unknown): string {
  const [first = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
  return first
    .replace(/; the console(?:'s last lines:| said nothing)(?: \(\w+\))?$/, "")
    .replace(/^the agent can't \w+: /, "")
    .replace(/ \(E[A-Z]+\)$/, "");
}

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

/** Waiting with an end. */
import type { Clock } from "../base/clock.ts";
import type { GpuError } from "../base/errors.ts";

/** Settles as `work` does, or rejects with `late()` after `deadlineMs`. What `work` comes to afterwards is nobody's. */
export function withDeadline<T>(clock: Clock, deadlineMs: number, work: Promise<T>, late: () => GpuError): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(Math.max(0, deadlineMs), () => reject(late()));
    work.then(resolve, reject).finally(cancel);
  });
}

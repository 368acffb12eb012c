/** Lent memory that its owner asks back: when no host uses it any more. */
import { GpuError } from "../base/errors.ts";
import type { GpuCore } from "./core.ts";
import { type ResourceObject, isRecoverable } from "./desired/objects.ts";

/**
 * Resolves when no host uses the object's backing any more. A hung host makes it wait, until its answer or a confirmed
 * reset; so does one at rest which holds what nobody could bring back, until the wake.
 */
export function untilUnmapped(core: GpuCore, object: ResourceObject): Promise<void> {
  const { session, memory, desired } = core;
  // An unconfirmed reset may have left an old host that still reads it.
  if (session === null) return new Promise((resolve) => memory.afterReset(resolve));
  const host = session.reconciler.resources.get(object.id);
  if (host === undefined || host.unmapBacking === null) return Promise.resolve();
  const unmapped = new Promise<void>((resolve) => host.whenBackingReleased(resolve));
  if (core.is("suspended") && desired.objects().every((each) => isRecoverable(each) || core.losses.has(each))) {
    // A device at rest takes no command, and the owner may be on its way down in the same sleep: it can't wait for the wake.
    void core.closeSession(new GpuError("ESTALE", "lent memory was asked back while it slept", { device: core.label }));
  } else {
    session.reconciler.touch(host);
  }
  return unmapped;
}

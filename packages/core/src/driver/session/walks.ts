/** The two ways over all that a session takes care of besides outputs: they list nothing beforehand but ids. */
import type { DesiredState } from "../desired/desired-state.ts";
import type { HostEntity } from "./host-state.ts";
import type { Reconciler } from "./reconciler.ts";

/** Gives one entity after the other, null at the end. */
export type Walk = () => HostEntity | null;

/** What is desired: contexts, then resources, in the order of creation. */
export function walkDesired(reconciler: Reconciler, desired: DesiredState): Walk {
  const contexts = desired.contexts.values();
  const resources = desired.resources.values();
  return () => {
    const context = contexts.next();
    if (context.done !== true) return reconciler.context(context.value);
    const resource = resources.next();
    return resource.done === true ? null : reconciler.resource(resource.value);
  };
}

/** What the host has: resources, newest first, then contexts. */
export function walkHostBackwards(reconciler: Reconciler): Walk {
  const ids = [...reconciler.resources.keys()].sort((a, b) => a - b);
  const contexts = [...reconciler.contexts.values()];
  return () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      const host = reconciler.resources.get(id);
      if (host !== undefined) return host;
    }
    return contexts.pop() ?? null;
  };
}

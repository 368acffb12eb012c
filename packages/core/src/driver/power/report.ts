/**
 * What a restore came to: what the host has again and what it has not, each once, with the reason.
 */
import type { RestoreReport } from "../../base/power.ts";
import type { GpuCore } from "../core.ts";
import { type DesiredObject, objectName, sameScanout } from "../desired/objects.ts";
import type { Reconciler } from "../session/reconciler.ts";
import { isBackingReady } from "../session/steps.ts";

interface Loss {
  readonly object: string;
  readonly reason: string;
}

/** Taken when everything is settled. */
export function restoreReport(core: GpuCore): RestoreReport {
  const { desired } = core;
  const reconciler = core.session?.reconciler;
  const lost: Loss[] = desired.lostBefore.map(({ name, reason }) => ({ object: name, reason }));
  let restored = 0;
  for (const object of desired.objects()) {
    const reason = objectLoss(core, reconciler, object);
    if (reason === null) restored += 1;
    else lost.push({ object: objectName(object), reason });
    if (reason === null && object.kind !== "context" && object.uuidWanted && !core.hasUuid)
      lost.push({ object: `the UUID of ${objectName(object)}`, reason: "this host assigns no UUIDs" });
  }
  let outputs = 0;
  desired.scanouts.forEach((scanout, index) => {
    if (scanout === null) return;
    const host = reconciler?.scanouts[index];
    // It may still show what was wanted before.
    if (host !== undefined && host.failed === null && sameScanout(host.shown, scanout)) outputs += 1;
    else lost.push({ object: `output ${index}`, reason: viewerLoss(host, `output ${index}`) });
  });
  desired.cursors.forEach((cursor, index) => {
    if (cursor.object === 0) return;
    const host = reconciler?.cursors[index];
    if (host === undefined || host.failed !== null || host.shown.object !== cursor.object)
      lost.push({ object: `cursor ${index}`, reason: viewerLoss(host, `output ${index}`) });
  });
  return { restored, lost, outputs };
}

function objectLoss(core: GpuCore, reconciler: Reconciler | undefined, object: DesiredObject): string | null {
  const loss = core.losses.get(object);
  if (loss !== undefined) return loss.message;
  const isContext = object.kind === "context";
  const host = isContext ? reconciler?.contexts.get(object.id) : reconciler?.resources.get(object.id);
  if (host !== undefined && host.failed !== null) return host.failed.message;
  return !isContext && !isBackingReady(object) ? "its import was not claimed" : null;
}

function viewerLoss(host: { readonly failed: Error | null } | undefined, output: string): string {
  if (host === undefined) return `this host has no ${output}`;
  return host.failed?.message ?? "its picture is lost, or not on this host";
}

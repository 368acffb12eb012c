/**
 * What a restore says it lost, held against what could not be kept: what no host of this kind can hold, and what its owner
 * did not lend. With nothing wrong in host or machine, each of these is named and nothing else is.
 */
import type { DeviceReport } from "@virtgpu/core/sleep";
import { judgeContexts } from "./contexts.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import { isBeyond, type ModelBuffer } from "./model.ts";

/** Throws SimulationFailure where the last report of a machine's driver is not the truth. */
export function judgeReports(guest: Guest, reports: readonly DeviceReport[]): void {
  const { boot, model } = guest;
  const last = reports.at(-1);
  if (boot === null || last === undefined || guest.isFaulty || guest.disk.hasLied) return;
  // Another sleep overtook it, or the user changed something meanwhile.
  if (boot.isSleeping || boot.operations.size > 0) return;
  demand(last.error === undefined, () => `a restore failed without any cause: ${last.error?.message}`);
  const told = (last.report?.lost ?? []).filter(({ object }) => !isOfThePast(guest, object));
  const lost = new Map(told.map(({ object, reason }) => [nameOf(object), reason]));
  for (const [key, buffer] of model.buffers) {
    const name = idName(guest, key);
    if (name === null) continue;
    const reason = lost.get(name);
    lost.delete(name);
    lost.delete(`the UUID of ${name}`);
    if (isBeyond(guest.host, buffer))
      demand(reason !== undefined, `"${key}" can't be on this host, and nobody is told`);
    else if (!isExcused(guest, buffer)) demand(reason === undefined, `"${key}" is said to be lost: ${reason}`);
  }
  judgeContexts(guest, boot, lost);
  judgeViewers(guest, lost);
  const [rest] = lost;
  demand(rest === undefined, () => `"${rest?.[0]}" is said to be lost, and nobody has it: ${rest?.[1]}`);
}

/** Outputs and cursors. */
function judgeViewers(guest: Guest, lost: Map<string, string>): void {
  const { host, model } = guest;
  const canShow = (output: number, key: string): boolean | null => {
    const buffer = model.buffers.get(key);
    if (output >= host.outputs.length || buffer === undefined || isBeyond(host, buffer)) return false;
    return guest.isShort || buffer.lending === "away" || buffer.isPending ? null : true;
  };
  const judge = (name: string, output: number, key: string | null): void => {
    const reason = lost.get(name);
    lost.delete(name);
    if (key === null) return demand(reason === undefined, `${name}, which is off, is said to be lost`);
    const can = canShow(output, key);
    if (can === true) demand(reason === undefined, `${name} is said to be lost: ${reason}`);
    if (can === false) demand(reason !== undefined, `${name} can't be on this host, and nobody is told`);
  };
  model.outputs.forEach((shown, output) => judge(`output ${output}`, output, shown?.key ?? null));
  model.cursors.forEach(({ key }, output) => judge(`cursor ${output}`, output, key));
}

/** Lost before the image was taken, and told of ever since. */
function isOfThePast({ model }: Guest, object: string): boolean {
  const [, key] = /"((?:buffer|context) \d+)"$/.exec(object) ?? [];
  return key !== undefined && model.lostBefore.has(key);
}

function isExcused(guest: Guest, buffer: ModelBuffer): boolean {
  return guest.isShort || buffer.lending === "away" || buffer.isPending;
}

function idName({ boot }: Guest, key: string): string | null {
  const handle = boot?.handles.get(key);
  return handle === undefined ? null : `resource ${handle.id}`;
}

/** Without the key, which names it a second time. */
function nameOf(object: string): string {
  return object.replace(/ "(buffer|context) \d+"$/, "");
}

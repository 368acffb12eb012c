/**
 * Contexts of the host's own GPU: one that nobody used comes back after a sleep, a used one never does. What may be lost,
 * when, and who is told.
 */
import { GpuError } from "@virtgpu/core/base";
import type { GpuDeviceState } from "@virtgpu/core/device";
import type { VirtioGpu } from "@virtgpu/core/driver";
import type { Boot } from "./boot.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import type { MachineModel, ModelContext } from "./model.ts";
import type { Deed } from "./schedule.ts";

/** Deeds about contexts. */
export type ContextDeed = Extract<Deed, { readonly context: number }>;

const COMMANDS = new Uint8Array(8);

/** Carries a deed out, or begins it. */
export function performContextDeed(guest: Guest, boot: Boot, gpu: VirtioGpu, deed: ContextDeed): void {
  const { model } = guest;
  const context = [...model.contexts.values()].find(({ slot }) => slot === deed.context);
  if (deed.op === "createContext") {
    if (context === undefined) create(guest, boot, gpu, deed.context);
    return;
  }
  const handle = context === undefined ? undefined : boot.contexts.get(context.key);
  if (context === undefined || handle === undefined) return;
  if (deed.op === "freeContext") {
    model.contexts.delete(context.key);
    boot.contexts.delete(context.key);
    return handle.destroy();
  }
  if (handle.lost !== null) return;
  context.isUsed = true;
  const done = handle.submit(COMMANDS).then((fence) => fence.wait());
  boot.track(`using "${context.key}"`, done, { forgives: () => model.contexts.get(context.key) !== context });
}

function create(guest: Guest, boot: Boot, gpu: VirtioGpu, slot: number): void {
  const { model } = guest;
  const key = guest.newKey("context");
  const context: ModelContext = { key, slot, isPending: true, isUsed: false, isLost: false };
  model.contexts.set(key, context);
  const made = gpu.rendering.createContext({ key }).then((handle) => {
    if (boot.isOver) return;
    boot.contexts.set(key, handle);
    context.isPending = false;
  });
  boot.track(`making "${key}"`, made, {
    failed: () => model.contexts.delete(key),
    forgives: ({ code }) => code === "ENOTSUP",
  });
}

/** Takes over what an image kept; what it could not keep is gone, and was used. */
export function adoptContexts(model: MachineModel, boot: Boot, gpu: VirtioGpu): void {
  for (const context of model.contexts.values()) {
    const { key } = context;
    try {
      boot.contexts.set(key, gpu.rendering.adoptContext(key));
      Object.assign(context, { isPending: false, isUsed: false });
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      const isLost = error.code === "ENOTRECOVERABLE";
      demand(isLost ? context.isUsed : context.isPending, `an unused "${key}" is not in the image: ${error.message}`);
      if (isLost) model.lostBefore.add(key);
      model.contexts.delete(key);
    }
  }
}

/** Throws SimulationFailure where the host has not those contexts that it should have. */
export function inspectContexts(guest: Guest, boot: Boot, { contexts }: GpuDeviceState): void {
  const held = new Set(contexts?.ids);
  for (const context of guest.model.contexts.values()) {
    const handle = boot.contexts.get(context.key);
    demand(handle !== undefined, `the user has no handle of "${context.key}"`);
    const isHeld = held.delete(handle.id);
    if (handle.lost !== null) {
      inspectLoss(guest, context);
      demand(!isHeld, `the host has "${context.key}", which is lost`);
    } else if (guest.host.renders) demand(isHeld, `the host does not have "${context.key}"`);
  }
  const [extra] = held;
  demand(extra === undefined, `the host has context ${extra}, of which the user knows nothing`);
}

/** A loss has its cause: a fault, or a sleep whose user accepts it. */
function inspectLoss({ isDisturbed, isFaulty, plan }: Guest, context: ModelContext): void {
  demand(context.isUsed, `"${context.key}" was never used, and is lost`);
  if (context.isLost) return;
  demand(isDisturbed, `"${context.key}" is lost without any cause`);
  demand(isFaulty || plan.loses, `"${context.key}" was lost by a sleep that it should have forbidden`);
  context.isLost = true;
}

/** What a restore says of contexts, held against what is so; takes that out of `lost`. */
export function judgeContexts({ model, host }: Guest, boot: Boot, lost: Map<string, string>): void {
  for (const { key } of model.contexts.values()) {
    const handle = boot.contexts.get(key);
    if (handle === undefined) continue;
    const name = `context ${handle.id}`;
    const isLost = handle.lost !== null || !host.renders;
    demand(lost.has(name) === isLost, () => `"${key}" is ${isLost ? "" : "not "}lost, and a restore says otherwise`);
    lost.delete(name);
  }
}

/** Whether some context was given up for this session: nobody can ask for it without using it. */
export function lacksContexts({ model, host }: Guest, boot: Boot): boolean {
  if (!host.renders || !boot.sim.host.isOn) return false;
  const held = new Set(boot.sim.host.device.save().contexts?.ids);
  return [...model.contexts.keys()].some((key) => {
    const handle = boot.contexts.get(key);
    return handle !== undefined && handle.lost === null && !held.has(handle.id);
  });
}

/** Whether a sleep has to be refused for what was done on the host's GPU. */
export function forbidsSleep({ model, plan }: Guest): boolean {
  return !plan.loses && [...model.contexts.values()].some(({ isUsed, isLost }) => isUsed && !isLost);
}

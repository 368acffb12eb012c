/**
 * Peace: everything that is wrong goes away, time passes, and what was promised has to come true. Nobody still waits;
 * whoever was told of a failure does again what failed; then everything is looked at.
 */
import type { VirtualClock } from "@virtgpu/core/sim";
import type { Boot } from "./boot.ts";
import { lacksContexts } from "./contexts.ts";
import { demand } from "./failure.ts";
import type { Guest } from "./guest.ts";
import { resumeHost, startHost } from "./host-deeds.ts";
import { inspect } from "./inspect.ts";
import { isBeyond } from "./model.ts";

/** Longer than any one deadline of the driver. */
const DEADLINE_MS = 12_000;
/** What a healthy host and driver need at most, where the one has to look what the other did. */
const WORK_MS = 500;
/** Longer than all deadlines that may follow each other, of driver and sleep code. */
const PATIENCE_MS = 900_000;
const STEPS_MS: readonly number[] = [1, 10, 100, 1000, 10_000];

/** Brings a machine to rest and looks at everything. Throws SimulationFailure. */
export async function quiet(guest: Guest, clock: VirtualClock, check: () => void): Promise<void> {
  const until = (condition: () => boolean, sentence: () => string): Promise<void> =>
    waitUntil(clock, check, condition, sentence);
  const wasDisturbed = guest.isDisturbed;
  await until(
    () => {
      endFaults(guest);
      return isAwake(guest);
    },
    () => `it does not wake up: ${describe(guest)}`,
  );
  const { boot } = guest;
  demand(boot !== null, "a machine that is awake is on");
  // The driver may have missed that something changed: the next interrupt tells it.
  if (guest.isFaulty) boot.sim.host.transport.spuriousConfigInterrupt();
  await clock.advance(wasDisturbed ? DEADLINE_MS : WORK_MS);
  check();
  const left = (): readonly string[] => [...boot.operations].map(({ what }) => what);
  const neverEnds = (): string => `${left().join(", ")}: never ended`;
  await until(() => [...boot.operations].every(({ waitsForHost }) => waitsForHost), neverEnds);
  await mend(guest, boot, until);
  if (wasDisturbed) await clock.advance(DEADLINE_MS);
  useAll(guest, boot);
  await until(() => boot.operations.size === 0, neverEnds);
  check();
  inspect(guest);
  guest.calm();
  guest.noteRoom();
}

type Until = (condition: () => boolean, sentence: () => string) => Promise<void>;

async function waitUntil(
  clock: VirtualClock,
  check: () => void,
  condition: () => boolean,
  sentence: () => string,
): Promise<void> {
  const end = clock.nowMs() + PATIENCE_MS;
  await clock.settle();
  for (let step = 0; !condition(); step += 1) {
    check();
    demand(clock.nowMs() < end, sentence);
    await clock.advance(STEPS_MS[Math.min(step, STEPS_MS.length - 1)] ?? 1);
  }
  check();
}

/** Host, bus, memory and disk do what they should from now on, and what hung is answered. */
function endFaults(guest: Guest): void {
  const { boot } = guest;
  guest.disk.heal();
  if (boot === null || boot.isOver) return;
  const { sim } = boot;
  const { host } = sim;
  boot.asides = [];
  boot.stepFaults.clear();
  boot.platform.wakeup = false;
  sim.allocator.clear();
  sim.dma.failAt(Infinity, 0);
  host.commands.clear();
  const { transport } = host;
  transport.onAccess = null;
  Object.assign(transport.faults, { loseInterrupts: 0, delayInterruptsMs: 0, reset: null });
  if (!host.isOn) startHost(guest, boot);
  transport.finishReset();
  resumeHost(guest, boot);
  for (const [key, lender] of boot.lenders) {
    const buffer = guest.model.buffers.get(key);
    if (buffer?.lending !== "away") continue;
    buffer.lending = "lent";
    lender.giveAgain();
  }
}

function isAwake({ boot }: Guest): boolean {
  if (boot === null || boot.gpu === null || boot.isSleeping || boot.restores > 0) return false;
  return boot.system.state === "awake" && (boot.gpu.state === "running" || boot.gpu.state === "lost");
}

function describe({ boot }: Guest): string {
  if (boot === null) return "its power is off";
  const { system, gpu, restores, isSleeping } = boot;
  const sleeping = isSleeping ? ", in an operation" : "";
  return `the system is ${system.state}${sleeping}, the driver ${gpu?.state ?? "not there"}, ${restores} restores are under way`;
}

/** A device that is lost, or that hangs with nobody left who will answer, is somebody's to mend. */
async function mend(guest: Guest, boot: Boot, until: Until): Promise<void> {
  const { gpu } = boot;
  const isIdle = ![...guest.model.buffers.values()].some(({ storage }) => storage === "image");
  const isUnnoticed = guest.hasForgotten || (guest.wasReset && isIdle);
  if (gpu === null) return;
  const isWell = gpu.state !== "lost" && !gpu.isHung && !gpu.isOverdue;
  if (isWell && !isUnnoticed && !lacksContexts(guest, boot)) return;
  // Of what it forgot nothing may be in use, so that nobody ever notices.
  if (isUnnoticed && boot.sim.host.isOn) boot.sim.host.resetDevice();
  let isDone = false;
  boot.track("mending the device", gpu.recover(), { ok: () => (isDone = true), forgives: () => false });
  await until(
    () => isDone || boot.operations.size === 0,
    () => "mending the device never ends",
  );
  demand(isDone, () => `the device can't be mended: ${gpu.state}, ${gpu.error?.message}`);
}

/** What was painted goes to the host; what may have failed is asked for once more. */
function useAll(guest: Guest, boot: Boot): void {
  const { gpu } = boot;
  const { model, host } = guest;
  const isAll = guest.isFaulty || guest.isShort;
  for (const [key, buffer] of model.buffers) {
    const handle = boot.handles.get(key);
    if (handle === undefined || isBeyond(host, buffer) || (!isAll && buffer.stale === null)) continue;
    const { paintings } = buffer;
    boot.track(`flushing "${key}"`, handle.flush(), {
      ok: () => {
        if (buffer.paintings === paintings) buffer.stale = null;
      },
      forgives: () => guest.isShort,
    });
  }
  if (!isAll) return;
  const last = host.outputs.length;
  model.outputs.slice(0, last).forEach((shown, index) => {
    const handle = shown === null ? undefined : boot.handles.get(shown.key);
    const buffer = shown === null ? undefined : model.buffers.get(shown.key);
    const output = gpu?.output(index);
    if (output === undefined || (buffer !== undefined && isBeyond(host, buffer))) return;
    const work = handle === undefined || shown === null ? output.disable() : output.show(handle, shown.rect);
    boot.track(`output ${index} once more`, work, { forgives: () => guest.isShort });
  });
  model.cursors.slice(0, last).forEach(({ x, y }, index) => {
    const work = gpu?.output(index).cursor.move(x, y);
    if (work !== undefined) boot.track(`cursor ${index} once more`, work, { forgives: () => guest.isShort });
  });
}

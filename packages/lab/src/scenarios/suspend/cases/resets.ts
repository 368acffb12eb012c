/** Resets of parts of the machine, D-states, another driver's process, another host's: the driver has to notice which. */
import { DeviceStatus, PciPowerState } from "@virtgpu/core/wire";
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import { powerStateOf } from "../power-states.ts";
import type { Stage } from "../stage.ts";
import { must } from "../subject.ts";
import { drawEverything } from "./everything.ts";

function whole(parts: Omit<CaseParts, "draw">): SuspendCase {
  return suspendCase({ ...parts, draw: drawEverything });
}

/** See the file's head. */
export const RESET_CASES: readonly SuspendCase[] = [
  whole({
    id: "flr-asleep",
    title: "suspend to idle, in which the function is reset (FLR)",
    sleep: "s2idle",
    needs: ["function-reset"],
    act: (stage) => stage.suspend("s2idle", () => stage.host.functionLevelReset()),
  }),
  whole({
    id: "flr-unasked",
    title: "a reset of the function (FLR) without a freeze, once somebody has the driver mend it",
    sleep: "reset",
    needs: ["function-reset"],
    act: (stage) => mended(stage, () => stage.host.functionLevelReset(), wasReset),
  }),
  whole({
    id: "bus-reset-asleep",
    title: "suspend to idle, in which the bus of the function is reset",
    sleep: "s2idle",
    needs: ["bus-reset"],
    act: (stage) => stage.suspend("s2idle", () => stage.host.busReset()),
  }),
  whole({
    id: "bus-reset-unasked",
    title: "a reset of the function's bus without a freeze, once somebody has the driver mend it",
    sleep: "reset",
    needs: ["bus-reset"],
    act: (stage) => mended(stage, () => stage.host.busReset(), wasReset),
  }),
  whole({
    id: "queue-reset-unasked",
    title: "a reset of the queue of commands alone, with the host's objects as they were",
    sleep: "reset",
    needs: ["queue-reset"],
    act: (stage) =>
      mended(
        stage,
        () => stage.host.resetQueue(),
        (before, after) => {
          must(before === after, `the device has status ${after} after a reset of one queue`);
          return "anew";
        },
      ),
  }),
  whole({
    id: "d3hot-unasked",
    title: "D3hot and D0 again without a sleep: what the function kept is not made again",
    sleep: "reset",
    needs: ["power-states"],
    // Some functions are reset on the way.
    act: (stage) =>
      mended(
        stage,
        () => stage.host.cyclePower(),
        (before, after) => (before === after ? "kept" : wasReset(before, after)),
      ),
  }),
  whole({
    id: "s3-d3hot",
    title: "S3 of a machine whose functions are in D3hot",
    sleep: "s3",
    needs: ["firmware", "power-states"],
    act: (stage) =>
      stage.suspend("mem", () => {
        for (const config of stage.host.functions) {
          const state = powerStateOf(config);
          must(state === PciPowerState.D3HOT, `a function sleeps in D${state}`);
        }
      }),
  }),
  whole({
    id: "snapshot-asleep",
    title: "suspend to idle, in which the host process is saved and another one goes on",
    sleep: "s2idle",
    needs: ["snapshot"],
    act: (stage) => stage.suspend("s2idle", () => stage.host.snapshot()),
  }),
  whole({
    id: "snapshot-unasked",
    title: "a snapshot of the host process from which another one goes on: nothing is made again",
    sleep: "snapshot",
    needs: ["snapshot"],
    act: async (stage) => {
      const shot = (): Promise<void> => stage.host.snapshot();
      await mended(stage, shot, (before, after) => {
        must(before === after, `the device has status ${after} after the snapshot instead of ${before}`);
        return "kept";
      });
      await stage.scene.draw(stage.scene.shown(0));
    },
  }),
  whole({
    id: "driver-restart",
    title: "the end of the driver's process: the next one takes the device that still runs, and later sleeps",
    sleep: "restart",
    needs: ["driver-restart"],
    act: async (stage) => {
      await stage.restartDriver();
      await stage.check("with the new driver");
      await stage.hibernate();
    },
  }),
];

/** What became of the sessions between driver and device. */
type Outcome = "kept" | "anew";

function wasReset(before: number, after: number): Outcome {
  must((before & DeviceStatus.DRIVER_OK) !== 0 && after === 0, `the device has status ${after} after a reset`);
  return "anew";
}

/**
 * Something happens to the device, and somebody has the driver mend it. `judge` says, by the device's status before and
 * after, whether the driver has to begin anew.
 */
async function mended(
  stage: Stage,
  cause: () => Promise<void>,
  judge: (before: number, after: number) => Outcome,
): Promise<void> {
  const { host, subject } = stage;
  const [sessions, before] = [subject.sessions(), host.deviceStatus()];
  await cause();
  const outcome = judge(before, host.deviceStatus());
  await stage.recover();
  for (const [driver, count] of subject.sessions().entries()) {
    const isKept = count === sessions[driver];
    if (outcome === "kept") must(isKept, "the driver began anew although the device had kept everything");
    else must(!isKept, "the driver went on as if nothing had happened to the device");
  }
}

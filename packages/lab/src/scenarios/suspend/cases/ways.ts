/** Every way to sleep, and every end of a host, with everything on the machine. */
import type { PmTest } from "@virtgpu/core/sleep";
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import { drawEverything } from "./everything.ts";

const TRIALS: readonly PmTest[] = ["freezer", "devices", "platform", "processors", "core"];

function way(parts: Omit<CaseParts, "draw">): SuspendCase {
  return suspendCase({ ...parts, draw: drawEverything });
}

/** See the file's head. */
export const WAY_CASES: readonly SuspendCase[] = [
  way({
    id: "s4-firmware",
    title: "a hibernation through the firmware, after which another host process starts",
    sleep: "s4",
    needs: ["firmware"],
    act: (stage) => stage.hibernateThrough("platform"),
  }),
  way({
    id: "s4-power-off",
    title: "a hibernation that ends in a plain power-off",
    sleep: "s4",
    act: (stage) => stage.hibernateThrough("shutdown"),
  }),
  way({
    id: "s4-reboot",
    title: "a hibernation that ends in a reboot of the same host process",
    sleep: "s4",
    act: (stage) => stage.hibernateThrough("reboot"),
  }),
  way({
    id: "s3",
    title: "S3, whose wake resets every device",
    sleep: "s3",
    needs: ["firmware"],
    act: (stage) => stage.suspend("mem"),
  }),
  way({
    id: "s3-no-soft-reset",
    title: "S3 on a function that keeps its state, and does",
    sleep: "s3",
    needs: ["firmware", "no-soft-reset"],
    act: (stage) => stage.suspend("mem"),
  }),
  way({
    id: "s2idle",
    title: "suspend to idle",
    sleep: "s2idle",
    act: (stage) => stage.suspend("s2idle"),
  }),
  way({
    id: "s2idle-reset",
    title: "suspend to idle, in which the device is reset behind its driver's back",
    sleep: "s2idle",
    act: (stage) => stage.suspend("s2idle", () => stage.host.resetDevice()),
  }),
  way({
    id: "s2idle-new-host",
    title: "suspend to idle, in which another host process takes the place of the one that there was",
    sleep: "s2idle",
    act: (stage) =>
      stage.suspend("s2idle", async () => {
        await stage.host.kill();
        await stage.host.powerOn();
      }),
  }),
  way({
    id: "hybrid",
    title: "hybrid sleep that wakes from S3",
    sleep: "hybrid",
    needs: ["firmware"],
    act: (stage) => stage.hibernateAndStay("suspend"),
  }),
  way({
    id: "hybrid-power-lost",
    title: "hybrid sleep whose power fails in S3, so that the image takes over",
    sleep: "hybrid",
    needs: ["firmware"],
    act: (stage) => stage.hybridWithoutPower(),
  }),
  way({
    id: "test-resume",
    title: "an image that the kernel which wrote it loads at once",
    sleep: "test-resume",
    act: (stage) => stage.hibernateAndStay("test_resume"),
  }),
  way({
    id: "trials",
    title: "a trial down to each level of pm_test and back",
    sleep: "trial",
    act: async (stage) => {
      for (const level of TRIALS) {
        await stage.trial(level);
        await stage.check(`after pm_test ${level}`);
      }
    },
  }),
  way({
    id: "reset-asleep",
    title: "a reset of the whole machine while the device sleeps",
    sleep: "reset",
    act: (stage) => stage.suspend("s2idle", () => stage.host.systemReset()),
  }),
  way({
    id: "reset-unasked",
    title: "a reset of the device without a freeze, once somebody has the driver mend it",
    sleep: "reset",
    act: async (stage) => {
      await stage.host.resetDevice();
      await stage.recover();
    },
  }),
  way({
    id: "reboot-unasked",
    title: "a reset of the whole machine without a freeze, once somebody has the driver mend it",
    sleep: "reset",
    act: async (stage) => {
      await stage.host.systemReset();
      await stage.recover();
    },
  }),
  way({
    id: "death-unasked",
    title: "the host's death without a freeze, once there is another one and somebody has the driver mend it",
    sleep: "death",
    act: async (stage) => {
      await stage.host.kill();
      await stage.host.powerOn();
      await stage.recover();
    },
  }),
];

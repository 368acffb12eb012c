/** Hosts that go wrong in a sleep, or turn out to be others afterwards. */
import { sleep } from "@virtgpu/core/base";
import { GpuCommand, GpuQueue, GpuReply } from "@virtgpu/core/wire";
import { type CaseParts, type SuspendCase, suspendCase } from "../suite.ts";
import type { Stage } from "../stage.ts";
import { must } from "../subject.ts";
import { drawEverything } from "./everything.ts";

/** Time in which a driver mends by itself what it can, in milliseconds. */
const PATIENCE_MS = 20_000;

function faulty(parts: Omit<CaseParts, "draw" | "needs">): SuspendCase {
  return suspendCase({ ...parts, needs: ["faults"], draw: drawEverything });
}

function plan(stage: Stage): NonNullable<Stage["host"]["faults"]> {
  const { faults } = stage.host;
  must(faults !== null, "nothing can be made to go wrong");
  return faults;
}

/** See the file's head. */
export const FAULT_CASES: readonly SuspendCase[] = [
  faulty({
    id: "hangs-in-freeze",
    title: "a host that hangs while the device is put down: the sleep is turned back, and all is there when it answers",
    sleep: "aborted",
    act: async (stage) => {
      plan(stage).inject({ queue: GpuQueue.CONTROL, at: 3, effect: { kind: "hang" } });
      await stage.abortedHibernation("shutdown");
      stage.host.release();
      await sleep(stage.subject.clock, PATIENCE_MS);
      await stage.check("once it answers again");
      await stage.hibernate();
    },
  }),
  faulty({
    id: "breaks-in-restore",
    title: "a device that needs a reset in the middle of its restore",
    sleep: "s4",
    act: (stage) => stage.hibernate(() => plan(stage).inject({ at: 9, effect: { kind: "break" } })),
  }),
  faulty({
    id: "short-of-memory",
    title: "a host that is out of memory for one buffer for a moment",
    sleep: "s4",
    act: async (stage) => {
      await stage.hibernate(() =>
        plan(stage).inject({
          type: GpuCommand.RESOURCE_CREATE_2D,
          resourceId: stage.scene.shown(1).buffer.id,
          effect: { kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY },
        }),
      );
      stage.host.forgive();
    },
  }),
  faulty({
    id: "late-answers",
    title: "a host that answers out of order",
    sleep: "s4",
    act: (stage) =>
      stage.hibernate(() => {
        for (let at = 1; at <= 16; at += 1) plan(stage).inject({ at, effect: { kind: "slow", ms: (at * 7) % 11 } });
      }),
  }),
  faulty({
    id: "breaks-unasked",
    title: "a device that needs a reset in the middle of the day, without anybody's help",
    sleep: "reset",
    act: async (stage) => {
      stage.host.breakDevice();
      await sleep(stage.subject.clock, PATIENCE_MS);
    },
  }),
  faulty({
    id: "forgets-at-rest",
    title: "a host that forgets everything while the device rests, with registers as they were",
    sleep: "s2idle",
    act: async (stage) => {
      await stage.suspend("s2idle", () => stage.host.forget());
      // What the host was asked to find that out was refused.
      stage.host.forgive();
    },
  }),
  suspendCase({
    id: "forgets-over-s3",
    title: "S3 on a function that keeps its registers, and nothing else",
    sleep: "s3",
    needs: ["faults", "firmware", "no-soft-reset"],
    draw: drawEverything,
    act: async (stage) => {
      await stage.suspend("mem", () => stage.host.forget());
      // What the host was asked to find that out was refused.
      stage.host.forgive();
    },
  }),
  suspendCase({
    id: "poorer-host",
    title: "a host with one output and no blobs for a while, then one as before: nothing was given up",
    sleep: "several",
    needs: ["faults", "other-hosts"],
    draw: drawEverything,
    act: async (stage) => {
      const { driver, host, scene } = stage;
      await driver.power.freeze("FREEZE");
      await host.kill();
      await host.powerOnPoorer();
      const { picture, complete } = driver.power.restore("RESTORE");
      await picture;
      const { outputs, lost } = await complete;
      must(outputs === 1, `${outputs} outputs are lit instead of 1`);
      must(
        lost.some(({ object }) => object === "output 1"),
        "nobody is told that output 1 is dark",
      );
      await scene.checkOutput("on the poorer host", 0);
      await stage.hibernate();
    },
  }),
];

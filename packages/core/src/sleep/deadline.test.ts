import { describe, expect, it } from "vitest";
import { GpuError, type RestoreProgress } from "../base/index.ts";
import { Recorder, VirtualClock } from "../sim/index.ts";
import { SystemSleep } from "./index.ts";
import { CallLog, RecordingClient, RecordingMachine } from "./test-utils.ts";

function build() {
  const log = new CallLog();
  const machine = new RecordingMachine(log);
  const client = new RecordingClient("gpu", log);
  const other = new RecordingClient("nic", log);
  const clock = new VirtualClock();
  const tracer = new Recorder({ clock });
  const deadlines = { notifyMs: 300, freezeMs: 200, pictureMs: 100, completeMs: 500, stepMs: 1000, shutdownMs: 50 };
  const sleep = new SystemSleep({ platform: machine, clock, tracer, deadlines, clients: [other] });
  const unregister = sleep.register(client);
  const expectAtRest = (): void => {
    expect(log.violations).toEqual([]);
    expect(machine.held).toEqual([]);
    expect([client.state, client.prepared, other.state, other.prepared]).toEqual(["awake", 0, "awake", 0]);
    expect(sleep.state).toBe("awake");
  };
  return { log, machine, client, clock, tracer, sleep, unregister, expectAtRest };
}

const lateSuccesses: readonly [hangs: string, deadlineMs: number, undoneBy: string][] = [
  ["gpu: notify SUSPEND_PREPARE", 300, "gpu: notify POST_SUSPEND"],
  ["gpu: freeze SUSPEND", 200, "gpu: restore RESUME"],
  ["tasks", 1000, "undo tasks"],
];

describe("a call that does not end", () => {
  it.each(lateSuccesses)(
    "%s is given up after %d ms; nothing sleeps until it ends, which is undone by %s",
    async (hangs, deadlineMs, undoneBy) => {
      const { log, clock, sleep, expectAtRest } = build();
      log.faults.set(hangs, "hang");
      const result = await clock.run(sleep.suspend("mem"));
      expect(result.outcome).toBe("aborted");
      expect(result.failures[0]?.error.code).toBe("ETIMEDOUT");
      expect(clock.nowMs()).toBe(deadlineMs);
      expect(log.calls).not.toContain(undoneBy);
      expect(sleep.state).toBe("awake");
      await expect(sleep.suspend("mem")).rejects.toThrow(/given up long ago.*EBUSY/);

      log.release(hangs);
      await clock.settle();
      expect(log.calls.at(-1)).toBe(undoneBy);
      expectAtRest();
      expect((await clock.run(sleep.suspend("mem"))).outcome).toBe("woken");
      expectAtRest();
    },
  );

  it("and fails late is done with", async () => {
    const { log, clock, sleep, expectAtRest } = build();
    log.faults.set("gpu: freeze SUSPEND", "hang");
    await clock.run(sleep.suspend("mem"));
    log.release("gpu: freeze SUSPEND", new GpuError("EIO", "at last"));
    await clock.settle();
    expect(log.toClients().filter((call) => call.includes("gpu: restore"))).toEqual([]);
    expect((await clock.run(sleep.suspend("mem"))).outcome).toBe("woken");
    expectAtRest();
  });

  it("of a driver that is removed keeps nobody from sleeping, and its late end touches nothing", async () => {
    const { log, clock, sleep, unregister } = build();
    log.faults.set("gpu: freeze SUSPEND", "hang");
    await clock.run(sleep.suspend("mem"));
    unregister();
    expect((await clock.run(sleep.suspend("mem"))).outcome).toBe("woken");
    log.take();
    log.release("gpu: freeze SUSPEND");
    await clock.settle();
    expect(log.calls).toEqual([]);
  });

  it("in writing the image makes the next boot ignore what is written late", async () => {
    const { log, clock, sleep, expectAtRest } = build();
    log.faults.set("write-image", "hang");
    const result = await clock.run(sleep.hibernate({ mode: "shutdown" }));
    expect(result.outcome).toBe("aborted");
    expectAtRest();
    log.release("write-image");
    await clock.settle();
    expect(log.calls.at(-1)).toBe("discard-image");
  });

  it("in a shutdown does not keep the power on", async () => {
    const { log, clock, sleep } = build();
    log.faults.set("gpu: shutdown", "hang");
    const result = await clock.run(sleep.hibernate({ mode: "shutdown" }));
    expect(result.outcome).toBe("off");
    expect(clock.nowMs()).toBe(50);
  });

  it("of the machine asleep is waited for as long as it sleeps", async () => {
    const { log, clock, sleep } = build();
    log.faults.set("enter mem", "hang");
    const asleep = sleep.suspend("mem");
    await clock.advance(30 * 24 * 3_600_000);
    expect(sleep.state).toBe("asleep");
    log.release("enter mem");
    expect((await asleep).outcome).toBe("woken");
  });
});

describe("a picture that does not come", () => {
  it("is waited for no longer than its deadline, beside the others, and keeps no later sleep", async () => {
    const { log, clock, sleep } = build();
    log.faults.set("gpu: restore RESUME", "hang");
    const result = await clock.run(sleep.suspend("mem"));
    expect(result).toMatchObject({ outcome: "woken", lost: [{ device: "gpu", error: { code: "ETIMEDOUT" } }] });
    expect(clock.nowMs()).toBe(100);
    const reports = await clock.run(result.complete);
    expect(reports.map(({ device, error }) => [device, error?.code])).toEqual([
      ["nic", undefined],
      ["gpu", "ETIMEDOUT"],
    ]);
    expect(clock.nowMs()).toBe(500);
    log.faults.clear();
    expect((await clock.run(sleep.suspend("mem"))).lost).toEqual([]);
  });

  it("is told with the device's name, and so is what was lost of it", async () => {
    const { log, clock, tracer, client, sleep } = build();
    log.faults.set("nic: restore RESUME", new GpuError("ENODEV", "gone"));
    const lost = [{ object: "resource 7", reason: "venus" }];
    const progress: RestoreProgress = {
      picture: Promise.resolve(),
      complete: Promise.resolve({ restored: 0, lost, outputs: 0 }),
    };
    client.restore = () => {
      client.state = "awake";
      return progress;
    };
    await clock.run((await clock.run(sleep.suspend("mem"))).complete);
    expect(tracer.messages("gpu").map(({ text }) => text)).toEqual(["resource 7 is lost: venus"]);
    expect(tracer.messages("nic").map(({ text }) => text)).toEqual(["did not come back: gone (ENODEV)"]);
  });

  it("nor a whole restore, from a driver that throws: the system goes on, and no rejection is left alone", async () => {
    const { clock, client, sleep } = build();
    const unhandled: unknown[] = [];
    const hear = (reason: unknown): void => void unhandled.push(reason);
    process.on("unhandledRejection", hear);
    client.restore = () => {
      throw new RangeError("not even a promise");
    };
    const thrown = await clock.run(sleep.suspend("mem"));
    expect(thrown.lost).toMatchObject([{ device: "gpu", error: { code: "EIO" } }]);
    client.state = "awake";
    client.restore = () => ({
      picture: Promise.reject(new GpuError("ENODEV", "gone")),
      complete: Promise.reject(new GpuError("ENODEV", "gone")),
    });
    const rejected = await clock.run(sleep.suspend("mem"));
    expect(rejected.lost).toMatchObject([{ device: "gpu", error: { code: "ENODEV" } }]);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", hear);
    expect(unhandled).toEqual([]);
  });
});

import { GpuError, type PowerClient } from "@virtgpu/core/base";
import { describe, expect, it } from "vitest";
import { GpuSleep, type SleepingGpu } from "./gpu-sleep.ts";

const REPORT = { restored: 3, lost: [], outputs: 1 };

/** A GPU that tells what is done to it. */
function fakeGpu(name: string, events: string[], changes: Partial<PowerClient> = {}): SleepingGpu {
  const power: PowerClient = {
    name,
    notify: async (event) => void events.push(`${name} ${event}`),
    freeze: async () => void events.push(`${name} freeze`),
    restore: (message) => {
      events.push(`${name} ${message}`);
      return { picture: Promise.resolve(), complete: Promise.resolve(REPORT) };
    },
    shutdown: async () => {},
    ...changes,
  };
  return { gpu: { power } };
}

describe("a sleep of several GPUs", () => {
  it("asks all first, freezes the last first, and brings all back", async () => {
    const events: string[] = [];
    const sleep = new GpuSleep([fakeGpu("a", events), fakeGpu("b", events)]);
    await sleep.freeze();
    expect(sleep.isFrozen).toBe(true);
    expect(events).toEqual(["a HIBERNATION_PREPARE", "b HIBERNATION_PREPARE", "b freeze", "a freeze"]);
    const { picture, complete } = sleep.restore();
    expect(sleep.isFrozen).toBe(false);
    await picture;
    expect(await complete).toEqual([
      { device: "a", report: REPORT, error: null },
      { device: "b", report: REPORT, error: null },
    ]);
    expect(events.slice(4).toSorted()).toEqual(["a POST_HIBERNATION", "a RESTORE", "b POST_HIBERNATION", "b RESTORE"]);
  });

  it("is not begun where one refuses, and all are brought back", async () => {
    const events: string[] = [];
    const veto = new GpuError("EPERM", "a game would be lost");
    const refusing = fakeGpu("b", events, { freeze: () => Promise.reject(veto) });
    const sleep = new GpuSleep([fakeGpu("a", events), refusing, fakeGpu("c", events)]);
    await expect(sleep.freeze()).rejects.toBe(veto);
    expect(sleep.isFrozen).toBe(false);
    expect(events.filter((event) => event.endsWith("freeze"))).toEqual(["c freeze"]);
    expect(events.filter((event) => event.endsWith("RESTORE"))).toEqual(["a RESTORE", "b RESTORE", "c RESTORE"]);
  });

  it("tells of the one that does not come back, and brings the other", async () => {
    const events: string[] = [];
    const gone = new GpuError("ENODEV", "it is gone");
    const failed = { picture: Promise.reject(gone), complete: Promise.reject(gone) };
    failed.complete.catch(() => {});
    const sleep = new GpuSleep([fakeGpu("a", events, { restore: () => failed }), fakeGpu("b", events)]);
    const { picture, complete } = sleep.restore();
    await picture;
    expect(await complete).toEqual([
      { device: "a", report: null, error: gone },
      { device: "b", report: REPORT, error: null },
    ]);
  });
});

/** What a guest life comes to, with machines that come through in every way there is. */
import { LIVE_SAYS, pattern, type SleepReply, type SleepWay } from "@virtgpu/linux/agent";
import { describe, expect, it } from "vitest";
import { createNodeClock } from "../src/hosts/node-clock.ts";
import type { LinuxSleep } from "../src/report/linux-record.ts";
import { exitCodeOf, judgeLife, judgeSleep } from "../src/scenarios/linux/judge.ts";
import { type LifeOutcome, runLife } from "../src/scenarios/linux/life.ts";
import type { LifePlan } from "../src/scenarios/linux/plan.ts";
import { type Behaviour, FakeLinux } from "./support/fake-linux.ts";

const size = { width: 160, height: 100 };
const plan: LifePlan = {
  driver: "virtgpu",
  chain: ["s4-platform"],
  gpus: 1,
  outputs: [size, { width: 120, height: 90 }],
  offscreen: { count: 5, width: 32, height: 32 },
  cursor: true,
  extras: true,
  flips: true,
  hotplug: true,
  remedy: false,
  hangMs: 0,
  loss: null,
  seed: 7,
  shownMax: 3,
  limits: { sleep: 400, wake: 400, anew: 100, call: 400, grace: 100, redrawn: 100 },
  pattern,
  liveSays: LIVE_SAYS,
};

const silent = { stage: (): void => {}, note: (): void => {} };

interface Ran {
  readonly outcome: LifeOutcome;
  readonly sleeps: readonly LinuxSleep[];
  readonly machine: FakeLinux;
}

async function live(
  behaviour: Behaviour,
  changes: Partial<LifePlan> = {},
  replies: Partial<Record<SleepWay, Partial<SleepReply>>> = {},
  prepare: (machine: FakeLinux) => unknown = () => {},
): Promise<Ran> {
  const machine = new FakeLinux(behaviour, replies);
  prepare(machine);
  const outcome = await runLife({ ...plan, ...changes }, machine, createNodeClock(), silent);
  return { outcome, sleeps: outcome.observations.map(judgeSleep), machine };
}

const failed = ({ checks }: LinuxSleep): readonly string[] =>
  checks.filter(({ result }) => result === "fail").map(({ name }) => name);

describe("a guest life", () => {
  it("comes back with nothing lost", async () => {
    const { sleeps, outcome } = await live("perfect");
    expect(sleeps.flatMap(failed)).toEqual([]);
    expect(judgeLife(sleeps)).toEqual({
      verdict: "came-back",
      sentence: "the picture came back by itself; nothing was lost",
      reason: null,
    });
    expect(exitCodeOf(sleeps)).toBe(0);
    expect(outcome.farewell).toBe("code 0");
    expect(sleeps[0]?.evidence).toEqual({
      events: ["SUSPEND_DISK", "SHUTDOWN"],
      exitCode: 0,
      isNewProcess: true,
      sleepError: null,
      restored: 6,
      lost: 0,
    });
    const off = sleeps[0]?.checks.find(({ name }) => name.includes("off-screen"));
    expect(off?.detail).toBe("3 of 5, spread evenly, shown one after the other, every pixel right");
  });

  it("never comes back where the queues are not set up again", async () => {
    const { sleeps } = await live("deaf");
    expect(judgeLife(sleeps)).toMatchObject({
      verdict: "never",
      reason: expect.stringMatching(/^its queues were never enabled again: .*DRIVER_OK/),
    });
    expect(exitCodeOf(sleeps)).toBe(1);
  });

  it("never comes back where the host has forgotten the resources", async () => {
    const { sleeps } = await live("forgets", { chain: ["s3"] });
    expect(judgeLife(sleeps)).toMatchObject({
      verdict: "never",
      reason: expect.stringMatching(/^the host does not know the resources.*invalid resource specified 3/),
    });
    const [sleep] = sleeps;
    expect(sleep === undefined ? [] : failed(sleep)).toEqual(
      expect.arrayContaining([
        "the kernel's log has no complaint",
        "the host has no complaint",
        "the cursor is what it was",
      ]),
    );
    expect(sleep?.checks.find(({ name }) => name.startsWith("output 0"))?.requirements).toContain("R-11 (a)");
  });

  it.each(["redraw", "draw"] as const)(
    "comes back after a redraw, at the latest by drawing anew: %s",
    async (behaviour) => {
      const { sleeps } = await live(behaviour);
      expect(judgeLife(sleeps).verdict).toBe("came-back-after-redraw");
      expect(exitCodeOf(sleeps)).toBe(1);
    },
  );

  it("is not well where only the picture came back", async () => {
    const { sleeps } = await live("half");
    expect(judgeLife(sleeps).verdict).toBe("came-back");
    expect(sleeps.flatMap(failed)).toEqual([
      "off-screen objects (dumb) hold what they held",
      "the cursor is what it was",
    ]);
    expect(exitCodeOf(sleeps)).toBe(1);
  });

  it("is hung where nobody answers, and says the console's last word", async () => {
    const { sleeps } = await live("hangs", { chain: ["s4-platform", "s3"] });
    expect(sleeps.length).toBe(1);
    expect(judgeLife(sleeps)).toMatchObject({
      verdict: "hung",
      reason: expect.stringMatching(/^booting to the image took more than .*Saving platform NVS memory/),
    });
  });

  it("is hung where the machine boots anew instead of waking", async () => {
    const { sleeps } = await live("boots");
    expect(judgeLife(sleeps)).toMatchObject({
      verdict: "hung",
      reason: expect.stringMatching(/^the machine booted anew/),
    });
  });

  it("is not changed by sleeps that are turned back", async () => {
    const chain: SleepWay[] = ["abort-image", "abort-image", "s4-platform"];
    const { sleeps } = await live("perfect", { chain }, { "abort-image": { error: "ENODEV" } });
    expect(sleeps.flatMap(failed)).toEqual([]);
    expect(judgeLife(sleeps).sentence).toBe("the picture came back by itself from each of 3 sleeps; nothing was lost");
    expect(sleeps[2]?.checks.find(({ name }) => name.startsWith("output 1"))?.requirements).toContain("R-37");
  });

  it("is not well where a sleep that should be turned back is not, nor where one is that should not", async () => {
    const meant = await live("perfect", { chain: ["abort-freeze"] });
    expect(meant.sleeps.flatMap(failed)).toEqual(["the sleep is turned back, as it was meant to be"]);
    const refused = await live("perfect", {}, { "s4-platform": { error: "ENODEV" } });
    expect(refused.sleeps.flatMap(failed)).toEqual(["the kernel sleeps as it was asked to"]);
  });

  it("says what a kernel does not offer", async () => {
    const { sleeps } = await live("perfect", { chain: ["test-resume"] }, { "test-resume": { error: "EBUSY" } });
    expect(sleeps[0]?.checks.find(({ name }) => name.startsWith("the kernel sleeps"))).toMatchObject({
      result: "not-offered",
      detail: "this kernel refuses this way: EBUSY",
    });
    expect(exitCodeOf(sleeps)).toBe(0);
  });

  it("has an application flip pages on the last output, and a display changed meanwhile", async () => {
    const { sleeps, machine } = await live("perfect", { chain: ["s3"] });
    const check = (start: string): string | undefined =>
      sleeps[0]?.checks.find(({ name }) => name.startsWith(start))?.detail;
    expect(check("an application")).toBe("420 flips, 0 failed");
    expect(check("a display")).toBe("now 1152x864; the guest sees 1152x864, 1280x800");
    expect(machine.calls.filter((call) => call === "flips").length).toBe(2);
  });

  it("shows off-screen objects where all outputs are off, and turns the output off again", async () => {
    const { sleeps, machine } = await live("perfect", { outputs: [null, null], cursor: false, flips: false });
    expect(sleeps.flatMap(failed)).toEqual([]);
    expect(sleeps[0]?.checks.filter(({ name }) => name.endsWith("stays off")).length).toBe(2);
    expect(machine.calls.filter((call) => call === "show").length).toBe(4);
  });

  it("looks at the machine that goes on after two images, and at the first of them", async () => {
    const { sleeps } = await live("perfect", { chain: ["uswsusp-twice"] });
    expect(sleeps.flatMap(failed)).toEqual([]);
    const checks = sleeps[0]?.checks.filter(({ requirements }) => requirements[0] === "R-15");
    const detail = "the live machine showed all; the first image shows all";
    expect(checks).toMatchObject([{ detail }, { detail }]);
    const lost = await live("forgets", { chain: ["uswsusp-twice"] });
    expect(lost.sleeps.flatMap(failed)).toContain("the machine that goes on after two images shows what it showed");
  });

  it("looks at the text console of a kernel's own driver, whose picture needs no application", async () => {
    const [driver, limits] = ["kernel" as const, { ...plan.limits, redrawn: 1000 }];
    const consoleChecks = ({ sleeps }: Ran): readonly unknown[] =>
      sleeps.flatMap(({ checks }) =>
        checks.filter(({ name }) => name.includes("text console")).map(({ result, detail }) => [result, detail]),
      );
    const well = await live("perfect", { driver, limits, chain: ["s4-platform", "s4-platform"] });
    expect(consoleChecks(well)).toEqual([
      ["pass", "all 9 lines are the same"],
      ["pass", "every pixel is the same"],
      ["pass", "all 9 lines are the same"],
      ["pass", "every pixel is the same"],
    ]);
    expect(exitCodeOf(well.sleeps)).toBe(0);
    expect(consoleChecks(await live("forgets", { driver, limits, chain: ["s3"] }))).toEqual([
      ["pass", "all 9 lines are the same"],
      ["fail", "it shows 640x480 of something else"],
    ]);
    const [text] = consoleChecks(await live("half", { driver, limits }));
    expect(text).toEqual(["fail", expect.stringMatching(/^line 3 was ".*", and is nothing$/)]);
    const none = await live("perfect", { driver, limits }, {}, (machine) => (machine.consoleLines = null));
    expect(consoleChecks(none)).toEqual([["not-offered", "ENOENT: no such file or directory, open '/dev/tty1'"]]);
    expect(consoleChecks(await live("perfect"))).toEqual([]);
  });

  it("counts what the driver says that it lost", async () => {
    const reply = { lost: 2, problems: ["the host refused RESOURCE_CREATE_2D"] };
    const { sleeps } = await live("perfect", {}, { "s4-platform": reply });
    expect(sleeps[0]?.checks.find(({ name }) => name.startsWith("the driver itself"))).toMatchObject({
      result: "fail",
      detail: "6 restored, 2 lost; it says: the host refused RESOURCE_CREATE_2D",
    });
  });
});

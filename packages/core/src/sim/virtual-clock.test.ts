import { describe, expect, it } from "vitest";
import { sleep } from "../base/clock.ts";
import { SimulationStuck, VirtualClock } from "./virtual-clock.ts";

const nodeTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a virtual clock", () => {
  it("stands still while real work goes on, and moves only as far as it is advanced", async () => {
    const clock = new VirtualClock({ startMs: 100 });
    await nodeTurn();
    expect(clock.nowMs()).toBe(100);
    await clock.advance(2500);
    expect(clock.nowMs()).toBe(2600);
  });

  it("fires timers in order of time, those of the same moment in the order they were set", async () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name}@${clock.nowMs()}`);
    clock.after(30, note("late"));
    clock.after(10, note("first"));
    clock.after(10, note("second"));
    clock.after(0, note("now"));
    expect(fired).toEqual([]);
    await clock.advance(20);
    expect(fired).toEqual(["now@0", "first@10", "second@10"]);
    await clock.advance(20);
    expect(fired.at(-1)).toBe("late@30");
  });

  it("keeps any number of timers in order, also after most were cancelled", async () => {
    const clock = new VirtualClock();
    const due: number[] = [];
    const cancels = Array.from({ length: 2000 }, (_, index) => {
      const delayMs = (index * 7919) % 1009;
      return clock.after(delayMs, () => due.push(delayMs));
    });
    for (const [index, cancel] of cancels.entries()) if (index % 5 !== 0) cancel();
    expect(clock.timers).toBe(400);
    await clock.advance(1009);
    expect(due).toHaveLength(400);
    expect(due).toEqual(due.toSorted((a, b) => a - b));
    expect(clock.timers).toBe(0);
    expect(clock.nextMs).toBeNull();
  });

  it("does not fire a cancelled timer, and lets it be cancelled twice and after it fired", async () => {
    const clock = new VirtualClock();
    let fired = 0;
    const cancel = clock.after(5, () => {
      fired += 1;
    });
    cancel();
    cancel();
    const late = clock.after(5, () => {
      fired += 10;
    });
    await clock.advance(5);
    late();
    expect(fired).toBe(10);
    expect(clock.timers).toBe(0);
  });

  it.each([
    ["the default turn", undefined],
    ["a turn of Node's event loop", nodeTurn],
  ])("runs all promise continuations between two timers of the same moment, with %s", async (_, turn) => {
    const clock = new VirtualClock({ turn });
    const steps: string[] = [];
    const worker = async (): Promise<void> => {
      await sleep(clock, 10);
      for (let link = 0; link < 40; link += 1) await Promise.resolve();
      steps.push("worker done");
    };
    void worker();
    clock.after(10, () => steps.push("second timer"));
    await clock.advance(10);
    expect(steps).toEqual(["worker done", "second timer"]);
  });

  it("makes deferred calls in order, never at once, and before any timer", async () => {
    const clock = new VirtualClock();
    const steps: string[] = [];
    clock.after(0, () => steps.push("timer"));
    clock.defer(() => {
      steps.push("one");
      clock.defer(() => steps.push("three"));
    });
    clock.defer(() => steps.push("two"));
    expect(steps).toEqual([]);
    await clock.advance(0);
    expect(steps).toEqual(["one", "two", "three", "timer"]);
  });

  it("settles without letting time pass", async () => {
    const clock = new VirtualClock();
    const steps: string[] = [];
    clock.after(0, () => steps.push("timer"));
    let depth = 0;
    const again = (): void => {
      depth += 1;
      if (depth < 1000) clock.defer(again);
    };
    clock.defer(again);
    await clock.settle();
    expect(depth).toBe(1000);
    expect(steps).toEqual([]);
  });

  it("runs work to its end through all of its timers, and gives its result", async () => {
    const clock = new VirtualClock();
    const work = async (): Promise<string> => {
      for (let minute = 0; minute < 50; minute += 1) await sleep(clock, 60_000);
      return "done";
    };
    await expect(clock.run(work())).resolves.toBe("done");
    expect(clock.nowMs()).toBe(3_000_000);
  });

  it("passes on the error of failing work", async () => {
    const clock = new VirtualClock();
    const work = sleep(clock, 5).then(() => {
      throw new Error("refused");
    });
    await expect(clock.run(work)).rejects.toThrow("refused");
  });

  it("calls work that nothing will end a deadlock", async () => {
    const clock = new VirtualClock();
    clock.after(7, () => {});
    const stuck = clock.run(new Promise<void>(() => {}));
    await expect(stuck).rejects.toThrow(SimulationStuck);
    await expect(clock.run(new Promise<void>(() => {}))).rejects.toThrow("at 7 ms the work is pending and no timer");
  });

  it("gives up on work that waits beyond the limit", async () => {
    const clock = new VirtualClock();
    const poll = async (): Promise<void> => {
      for (;;) await sleep(clock, 100);
    };
    await expect(clock.run(poll(), { limitMs: 1050 })).rejects.toThrow("with no end before 1050 ms");
    expect(clock.nowMs()).toBe(1000);
  });

  it("hands on what a timer or a deferred call threw", async () => {
    const clock = new VirtualClock();
    clock.after(1, () => {
      throw new Error("in the timer");
    });
    await expect(clock.advance(1)).rejects.toThrow("in the timer");
    clock.defer(() => {
      throw new Error("in the deferred call");
    });
    await expect(clock.settle()).rejects.toThrow("in the deferred call");
    await clock.advance(1);
  });

  it("is driven by one at a time", async () => {
    const clock = new VirtualClock();
    const first = clock.advance(1);
    await expect(clock.advance(1)).rejects.toThrow("driven already");
    await first;
  });
});

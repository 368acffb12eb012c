import { describe, expect, it } from "vitest";
import { createNodeClock } from "./node-clock.ts";

/** Timers that keep this process alive. */
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("Node's clock", () => {
  it("keeps the process alive for what somebody waits for, and for nothing in the background", () => {
    const clock = createNodeClock();
    const before = timers();
    const cancels = [
      clock.after(60_000, () => {}, { background: true }),
      clock.after(60_000, () => {}),
      clock.after(60_000, () => {}, { background: false }),
    ];
    expect(timers() - before).toBe(2);
    for (const cancel of cancels) cancel();
    expect(timers()).toBe(before);
  });

  it("fires in the background too, while the process lives", async () => {
    const clock = createNodeClock();
    const fired: string[] = [];
    clock.after(1, () => fired.push("background"), { background: true });
    await new Promise<void>((resolve) => void clock.after(20, resolve));
    expect(fired).toEqual(["background"]);
  });
});

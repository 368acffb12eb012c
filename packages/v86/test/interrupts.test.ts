/** Interrupts of the device in a running machine, tens of thousands of them. Any hang is the test's deadline. */
import { describe, expect, it } from "vitest";
import { runInterruptGuest } from "./support/interrupt-guest.ts";

describe("a guest that waits for each interrupt", () => {
  it("gets 61,000 in one run, and hangs at none", async () => {
    const problems: string[] = [];
    const said = await runInterruptGuest({ onProblem: (sentence) => problems.push(sentence) });
    expect(said).toContain("guest: done with 61000 interrupts");
    expect(problems).toEqual([]);
  });

  it("lives on when the device breaks under it, is told to reset it, and goes on with it", async () => {
    const problems: string[] = [];
    const said = await runInterruptGuest({ onProblem: (sentence) => problems.push(sentence) }, ({ device }) => {
      const process = device.process.bind(device);
      let calls = 0;
      device.process = (index, queue) => {
        calls += 1;
        if (calls === 5000) throw new TypeError("planted in the 5000th call");
        process(index, queue);
      };
    });
    expect(said).toContain("guest: resets the device");
    expect(said).toContain("guest: done with 60999 interrupts");
    expect(problems[0]).toContain("planted in the 5000th call");
  });
});

/** Mistakes that the simulator found in driver and sleep code, each as short as it could be made. */
import { describe, expect, it } from "vitest";
import { SleepingMachine } from "./support/sleeping-machine.ts";

describe("a hibernation that tests its own resume", () => {
  it("leaves no image behind when it fails: the machine runs on", async () => {
    const system = await SleepingMachine.start();
    system.platform.fail("image-load");
    const { outcome } = await system.goDown("test_resume");
    expect(outcome).toBe("aborted");
    expect(system.platform.calls).toContain("discard-image");
    await system.expectIntact();
  });
});

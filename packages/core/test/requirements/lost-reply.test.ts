/** Replies that never come, from a host that goes on answering everything else. */
import { describe, expect, it } from "vitest";
import { GpuCommand } from "../../src/wire/gpu.ts";
import { Scene } from "../support/teardown-scene.ts";

describe("a host that forgets a command", () => {
  it("R-12 is not believed to be as it was, whatever its registers say: somebody who has it mended gets a reset", async () => {
    const scene = await Scene.start();
    const { host, machine, gpu } = scene.bench;
    host.commands.inject({ type: GpuCommand.SET_SCANOUT, effect: { kind: "drop" } });
    void gpu
      .output(1)
      .show(scene.front)
      .catch(() => {});
    // Everything else is answered, also after its deadline: the queue does not hang.
    host.commands.inject({ type: GpuCommand.TRANSFER_TO_HOST_2D, effect: { kind: "slow", ms: 200 } });
    await machine.clock.advance(4900);
    const flush = scene.front.flush().catch(() => {});
    await machine.clock.advance(20_000);
    await flush;
    expect([gpu.state, gpu.isHung]).toEqual(["running", false]);
    const { lives } = host;
    await scene.bench.run(gpu.recover());
    expect(host.lives).toBe(lives);
    await scene.bench.run(gpu.output(1).show(scene.side));
    scene.expectOnHost();
    scene.bench.expectNoErrors();
    await scene.bench.hibernate();
    scene.expectOnHost();
    await scene.expectNothingLeft();
  });
});

/**
 * A fault at every command of freeze and of restore, for a scene with every recoverable kind of object: once the fault
 * has gone nothing is missing, nothing is wrong, and nobody waits for ever.
 */
import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import type { CommandEffect } from "../../src/sim/faults/command-faults.ts";
import { GpuQueue, GpuReply } from "../../src/wire/index.ts";
import { DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, type Scene, drawScene, expectScene } from "../support/scene.ts";

const effects: readonly (readonly [string, CommandEffect])[] = [
  ["refused with UNSPEC", { kind: "refuse", reply: GpuReply.ERR_UNSPEC }],
  ["refused for want of memory", { kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY }],
  ["carried out and called unknown", { kind: "mask", reply: GpuReply.ERR_INVALID_RESOURCE_ID }],
  ["answered with another type", { kind: "lie", header: { type: GpuReply.OK_EDID } }],
  ["answered with too few bytes", { kind: "lie", usedLength: 8 }],
  ["answered late", { kind: "slow", ms: 700 }],
  ["answered after its deadline", { kind: "slow", ms: 7000 }],
  ["held until its host is reset", { kind: "hang" }],
  ["struck by the host's end", { kind: "die" }],
  ["struck by a device that needs a reset", { kind: "break" }],
];

async function start(): Promise<{ bench: DriverBench; scene: Scene }> {
  const bench = await DriverBench.start({ device: SCENE_DEVICE, watchDma: false });
  return { bench, scene: await drawScene(bench) };
}

/** Sleeps and wakes as a system would: a failed freeze is not followed by a restore, everything else is. */
async function cycle(bench: DriverBench): Promise<void> {
  const { power } = bench.gpu;
  try {
    await bench.run(power.freeze("FREEZE"));
  } catch (error) {
    expect(error).toBeInstanceOf(GpuError);
    return;
  }
  bench.replaceHost();
  const { picture, complete } = power.restore("RESTORE");
  await bench.run(Promise.allSettled([picture, complete]));
}

/** Commands of a good freeze, and of a good restore. */
async function count(): Promise<{ freeze: number; restore: number }> {
  const { bench } = await start();
  const before = bench.host.commands.count;
  await bench.freeze();
  const frozen = bench.host.commands.count;
  bench.replaceHost();
  await bench.restore();
  return { freeze: frozen - before, restore: bench.host.commands.count - frozen };
}

describe("a fault at every command", () => {
  it.each(effects)("R-27 (a) (c) R-08 (a) (b) leaves nothing missing once it has gone: %s", async (_, effect) => {
    const { freeze, restore } = await count();
    expect(freeze).toBeGreaterThanOrEqual(10);
    expect(restore).toBeGreaterThan(20);
    for (let k = 1; k <= freeze + restore; k += 1) {
      const { bench, scene } = await start();
      // The cursor's queue has no replies: a refusal there is nothing that a driver could hear of.
      bench.host.commands.inject(
        effect.kind === "refuse" ? { at: k, queue: GpuQueue.CONTROL, effect } : { at: k, effect },
      );
      await cycle(bench);
      await recovered(bench, k);
      await expectScene(bench, scene);
      // A whole good cycle afterwards.
      bench.host.log.clear();
      expect(await bench.hibernate(), `command ${k}`).toMatchObject({ outputs: 2, lost: [] });
      await expectScene(bench, scene);
      bench.expectNoErrors();
    }
  });
});

/** The fault goes away: a dead host is started, one that hangs or is slow answers, and a lost device is mended. */
async function recovered(bench: DriverBench, k: number): Promise<void> {
  const { host, gpu } = bench;
  host.commands.clear();
  if (!host.isOn) host.powerOn();
  host.resume();
  await bench.machine.clock.advance(20_000);
  if (gpu.state !== "running") await bench.run(gpu.recover());
  expect(gpu.state, `command ${k}`).toBe("running");
  await bench.machine.clock.advance(5000);
}

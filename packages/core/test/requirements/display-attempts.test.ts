/** attempts to sleep that fail, each in its own way, and then a good one. */
import { describe, expect, it } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import { MemoryRenderer } from "../../src/device/index.ts";
import { SeededRandom } from "../../src/sim/seeded-random.ts";
import { GpuCommand } from "../../src/wire/index.ts";
import type { BenchOptions } from "../support/driver-bench.ts";
import { SCENE_DEVICE } from "../support/scene.ts";
import { SleepingMachine } from "../support/sleeping-machine.ts";

const MACHINE: BenchOptions = {
  device: { ...SCENE_DEVICE, renderer: new MemoryRenderer() },
  features: { suspend: false },
  gpu: { deadlines: { commandMs: 500, resetMs: 500, freezeMs: 1000 } },
};
const ROUNDS = 3;

/** One failed attempt: something goes wrong, the sleep comes to nothing, and it is mended. */
type Failure = (system: SleepingMachine) => Promise<void>;

/** The system tries to hibernate and does not. */
async function attempt(system: SleepingMachine): Promise<void> {
  const result = await system.run(system.sleep.hibernate({ mode: "platform" }));
  expect(result.outcome).toBe("aborted");
}

/** Whatever was still on its way comes to its end. */
async function wakeUp(system: SleepingMachine): Promise<void> {
  system.host.commands.clear();
  system.host.resume();
  await system.bench.machine.clock.advance(20_000);
}

const hangAt =
  (fault: { readonly type?: number; readonly at?: number }): Failure =>
  async (system) => {
    system.host.commands.inject({ ...fault, effect: { kind: "hang" } });
    await attempt(system);
    await wakeUp(system);
  };

const platformFails =
  (call: Parameters<SleepingMachine["platform"]["fail"]>[0], code: "EIO" | "EBUSY" | "ENOMEM"): Failure =>
  async (system) => {
    system.platform.fail(call, code);
    await attempt(system);
    system.platform.faults.clear();
  };

const FAILURES: readonly (readonly [string, Failure])[] = [
  ["the host hangs at the freeze's first command", hangAt({ at: 1 })],
  ["the host hangs where the outputs go off", hangAt({ type: GpuCommand.SET_SCANOUT })],
  ["the host hangs half-way through the objects", hangAt({ type: GpuCommand.RESOURCE_UNREF, at: 4 })],
  [
    "the kicks get lost",
    async (system) => {
      system.host.transport.faults.swallowKicks = true;
      await attempt(system);
      await wakeUp(system);
    },
  ],
  [
    "the reset never ends",
    async (system) => {
      system.host.transport.faults.reset = { kind: "never" };
      await attempt(system);
      system.host.transport.faults.reset = null;
      system.host.transport.finishReset();
      await system.bench.machine.clock.advance(20_000);
      if (system.gpu.state === "lost") await system.bench.run(system.gpu.recover());
    },
  ],
  [
    "the driver's own veto",
    async (system) => {
      const context = await system.bench.run(system.gpu.rendering.createContext({ holder: "a game" }));
      const fence = await system.bench.run(context.submit(Uint8Array.of(1, 2, 3, 4)));
      await system.bench.run(fence.wait());
      await attempt(system);
      context.destroy();
    },
  ],
  [
    "somebody else's veto",
    async (system) => {
      const objects = async (): Promise<void> => {
        throw new GpuError("EPERM", "not now");
      };
      const unsubscribe = system.sleep.subscribe({ name: "a bystander", notify: objects }, -1);
      await attempt(system);
      unsubscribe();
    },
  ],
  ["no memory for the image", platformFails("image-memory", "ENOMEM")],
  ["no memory at the snapshot", platformFails("snapshot", "ENOMEM")],
  ["the image can't be written", platformFails("write-image", "EIO")],
  ["another device refuses, before ours", platformFails("device-prepare", "EBUSY")],
  ["another device refuses, after ours", platformFails("late", "EBUSY")],
  [
    "no memory for anything, from PREPARE on",
    async (system) => {
      const { allocator } = system.bench.machine;
      system.platform.fail("snapshot", "ENOMEM");
      allocator.failAt(1, Infinity);
      await attempt(system);
      allocator.clear();
      system.platform.faults.clear();
    },
  ],
  [
    "no room in the DMA map when it comes back",
    async (system) => {
      const { dma } = system.bench.machine;
      const { platform } = system;
      platform.fail("snapshot", "EIO");
      platform.before.set("snapshot", () => dma.failAt(1, 4));
      await attempt(system);
      platform.faults.clear();
      platform.before.clear();
      await system.bench.machine.clock.advance(20_000);
      if (system.gpu.state === "lost") await system.bench.run(system.gpu.recover());
    },
  ],
  [
    "the device breaks in the middle",
    async (system) => {
      system.host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, at: 3, effect: { kind: "break" } });
      await attempt(system);
      await wakeUp(system);
      if (system.gpu.state === "lost") await system.bench.run(system.gpu.recover());
    },
  ],
];

describe("failed attempts, then a good one", () => {
  it.each(FAILURES)(`R-37 ${ROUNDS} times over: %s; then the display is intact`, async (_, fail) => {
    const system = await SleepingMachine.start(MACHINE);
    for (let round = 0; round < ROUNDS; round += 1) {
      await fail(system);
      await system.expectIntact();
    }
    await system.expectWhole(await system.hibernate(), "resumed");
    await system.expectNothingLeft();
  });

  it("R-37 all of them in a row, in seeded orders, with an S3 in between; then the display is intact", async () => {
    const system = await SleepingMachine.start(MACHINE);
    const random = new SeededRandom(37);
    for (let round = 0; round < 25; round += 1) {
      const [, fail] = FAILURES[random.below(FAILURES.length)] ?? [];
      await fail?.(system);
      await system.expectIntact();
      if (round % 10 === 5) await system.expectWhole(await system.suspend("mem"), "woken");
    }
    await system.expectWhole(await system.hibernate(), "resumed");
    await system.expectNothingLeft();
  });
});

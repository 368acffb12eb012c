/**
 * a thaw brings back what is seen and goes on with the rest behind it, whatever comes next; and no way back
 * depends on how it is called.
 */
import { describe, expect, it } from "vitest";
import type { FreezeMessage, RestoreMessage } from "../../src/base/power.ts";
import type { GpuBuffer } from "../../src/driver/index.ts";
import type { SleepResult } from "../../src/sleep/index.ts";
import { type BenchOptions, DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectHeld, expectScene } from "../support/scene.ts";
import { type MachineCall, SleepingMachine } from "../support/sleeping-machine.ts";

const FORGETS: BenchOptions = { transport: "pci", features: { suspend: false } };
const KEEPS: BenchOptions = { transport: "pci", pci: { noSoftReset: true }, features: { suspend: false } };
const HIDDEN = 40;
const REPLY_MS = 5;

describe("a minimal thaw", () => {
  /** A host that takes its time, and many objects that nobody sees. */
  class SlowSystem {
    readonly system: SleepingMachine;
    readonly hidden: readonly GpuBuffer[];
    /** Hidden objects that were back, pixels and all, when the sleep code went on. */
    found: number[] = [];

    constructor(system: SleepingMachine, hidden: readonly GpuBuffer[]) {
      this.system = system;
      this.hidden = hidden;
    }

    static async start(options: BenchOptions): Promise<SlowSystem> {
      const system = await SleepingMachine.start(options);
      const hidden: GpuBuffer[] = [];
      for (let index = 0; index < HIDDEN; index += 1) hidden.push(await system.bench.buffer(16, 16));
      system.host.commands.inject({ times: Infinity, effect: { kind: "slow", ms: REPLY_MS } });
      return new SlowSystem(system, hidden);
    }

    /** At `call` the picture is there, and the rest is not: the thaw did not wait for it. */
    lookAt(call: MachineCall): void {
      const { bench, scene, platform } = this.system;
      platform.before.set(call, () => {
        bench.expectShown(0, scene.left);
        bench.expectShown(1, scene.right);
        const drawn = bench.host.device.save().resources.filter(({ pixels }) => pixels?.some((byte) => byte !== 0));
        const ids = new Set(drawn.map(({ id }) => id));
        this.found.push(this.hidden.filter(({ id }) => ids.has(id)).length);
      });
    }

    /** Now everything is there, and nobody had to ask. */
    async expectFullyAlive(result: SleepResult, outcome: SleepResult["outcome"]): Promise<void> {
      const { system, hidden, found } = this;
      const { bench } = system;
      expect(result).toMatchObject({ outcome, lost: [] });
      expect(found.length).toBeGreaterThan(0);
      for (const count of found) expect(count, "hidden objects when the picture was there").toBeLessThan(HIDDEN);
      const reports = await result.complete;
      expect(reports.at(-1)?.report).toMatchObject({ restored: HIDDEN + 7, lost: [], outputs: 2 });
      for (const buffer of hidden) expectHeld(bench, buffer);
      for (const buffer of hidden) buffer.destroy();
      await bench.machine.clock.advance(1000);
      await system.expectIntact();
      await system.expectNothingLeft();
    }
  }

  it("R-41 (a) becomes fully alive when the image can't be written", async () => {
    const slow = await SlowSystem.start(FORGETS);
    slow.lookAt("write-image");
    slow.system.platform.fail("write-image");
    const result = await slow.system.goDown("platform");
    expect(result.failures.map(({ phase }) => phase)).toEqual(["write-image"]);
    await slow.expectFullyAlive(result, "aborted");
  });

  it.each(["snapshot", "syscore", "noirq"] as const)(
    "R-41 (b) becomes fully alive when %s fails and the devices recover",
    async (call) => {
      const slow = await SlowSystem.start(FORGETS);
      slow.lookAt("undo allocations");
      slow.system.platform.fail(call);
      const result = await slow.system.goDown("platform");
      await slow.expectFullyAlive(result, "aborted");
    },
  );

  it.each([
    ["is reset", FORGETS, "undo device-prepare"],
    ["keeps what it has", KEEPS, "enter mem"],
  ] as const)("R-41 (c) becomes fully alive after a hybrid sleep that cuts into it: the device %s", async (...row) => {
    const [, options, later] = row;
    const slow = await SlowSystem.start(options);
    slow.lookAt("write-image");
    slow.lookAt(later);
    const result = await slow.system.goDown("suspend");
    expect(result.failures).toEqual([]);
    const [cut] = await result.complete;
    expect(cut?.error).toMatchObject({ code: "ECANCELED" });
    await slow.expectFullyAlive(result, "woken");
  });

  it("R-41 (d) becomes fully alive through test_resume, whose freeze cuts into it", async () => {
    const slow = await SlowSystem.start(FORGETS);
    slow.lookAt("image-load");
    const result = await slow.system.goDown("test_resume");
    expect(result.failures).toEqual([]);
    const [cut] = await result.complete;
    expect(cut?.error).toMatchObject({ code: "ECANCELED" });
    await slow.expectFullyAlive(result, "resumed");
  });

  it("R-41 (a) R-41 (b) R-41 (c) R-41 (d) what is asked for meanwhile is answered", async () => {
    const slow = await SlowSystem.start(FORGETS);
    const { system, hidden } = slow;
    const [some] = hidden;
    const answers: Promise<unknown>[] = [];
    slow.lookAt("write-image");
    system.platform.after.set("write-image", () => {
      answers.push(some?.flush() ?? Promise.reject(new Error("nothing is hidden")));
      answers.push(system.gpu.output(0).cursor.move(20, 10));
    });
    const result = await system.goDown("test_resume");
    await system.bench.run(Promise.all(answers));
    await slow.expectFullyAlive(result, "resumed");
  });
});

describe("the way back", () => {
  const MESSAGES: readonly RestoreMessage[] = ["THAW", "RECOVER", "RESTORE", "RESUME"];
  const fates: readonly (readonly [string, (bench: DriverBench) => void])[] = [
    ["nothing happened", () => {}],
    ["the machine was reset", ({ host }) => host.systemReset()],
    ["another host took over", (bench) => bench.replaceHost()],
  ];

  it.each<FreezeMessage>(["FREEZE", "QUIESCE", "SUSPEND", "HIBERNATE"])(
    "R-43 is the same after %s whichever message it comes with, whatever happened in between",
    async (freeze) => {
      const bench = await DriverBench.start({ ramBytes: 4 << 20, device: SCENE_DEVICE });
      const scene = await drawScene(bench);
      for (const [fate, happens] of fates) {
        const logs: string[] = [];
        for (const message of MESSAGES) {
          await bench.freeze(freeze);
          happens(bench);
          const { count } = bench.host.commands;
          expect(await bench.restore(message)).toEqual({ restored: 7, lost: [], outputs: 2 });
          await bench.machine.clock.settle();
          logs.push(bench.host.commands.render(count));
          await expectScene(bench, scene);
        }
        expect(new Set(logs).size, `the host tells ${MESSAGES.join(", ")} apart: ${fate}`).toBe(1);
      }
      bench.expectNoErrors();
      bench.machine.assertClean();
    },
  );

  it.each(MESSAGES)("R-43 %s without any freeze, in a kernel that never left, only looks", async (message) => {
    const bench = await DriverBench.start({ ramBytes: 4 << 20, device: SCENE_DEVICE });
    const scene = await drawScene(bench);
    const { count } = bench.host.commands;
    expect(await bench.restore(message)).toEqual({ restored: 7, lost: [], outputs: 2 });
    await bench.machine.clock.settle();
    expect(bench.host.commands.render(count)).toBe(`TRANSFER_TO_HOST_2D ${scene.cursor.id}`);
    await expectScene(bench, scene);
    bench.host.resetDevice();
    expect(await bench.restore(message)).toEqual({ restored: 7, lost: [], outputs: 2 });
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });

  it("R-43 sends the same commands in a test_resume, a real resume and a wake that lost everything", async () => {
    const logs: string[] = [];
    const sleeps: readonly ((system: SleepingMachine) => Promise<SleepResult>)[] = [
      (system) => system.suspend("mem"),
      (system) => system.hibernate(),
      (system) => system.goDown("test_resume"),
      (system) => system.run(system.sleep.hibernate({ mode: "platform", pmTest: "core" })),
    ];
    for (const sleep of sleeps) {
      const system = await SleepingMachine.start(FORGETS);
      const { platform, host } = system;
      let count = 0;
      platform.before.set("undo noirq", () => void ({ count } = host.commands));
      await sleep(system);
      await system.expectIntact();
      logs.push(host.commands.render(count));
    }
    expect(new Set(logs).size).toBe(1);
  });
});

/** what the host's displays are, and what they say of themselves around a sleep. */
import { describe, expect, it } from "vitest";
import type { FreezeMessage } from "../../src/base/power.ts";
import { MemoryRenderer } from "../../src/device/index.ts";
import type { HotplugEvent } from "../../src/driver/index.ts";
import { GpuCommand, GpuConfig, GpuReply } from "../../src/wire/index.ts";
import { type BenchOptions, DriverBench } from "../support/driver-bench.ts";
import { SCENE_DEVICE, drawScene, expectScene } from "../support/scene.ts";

/** The monitor that comes. */
const OTHER = { width: 320, height: 240 } as const;
const [LEFT = null, RIGHT = null] = SCENE_DEVICE.outputs ?? [];

class Watched {
  readonly bench: DriverBench;
  readonly events: HotplugEvent[] = [];

  constructor(bench: DriverBench) {
    this.bench = bench;
    bench.gpu.onHotplug((event) => this.events.push(event));
  }

  static async start(options: BenchOptions = {}): Promise<Watched> {
    return new Watched(await DriverBench.start({ device: SCENE_DEVICE, ...options }));
  }

  /** What was told since the last call: output, then kinds. */
  told(): readonly (readonly (string | number)[])[] {
    return this.events.splice(0).flatMap(({ changes }) => changes.map(({ output, kinds }) => [output, ...kinds]));
  }

  plug(): void {
    this.bench.host.device.setOutput(0, OTHER);
  }

  settle(ms: number = 300): Promise<void> {
    return this.bench.machine.clock.advance(ms);
  }

  /** The driver knows the monitor that came, told of it (in two pieces if it came between two answers), and the device has nothing left to say. */
  expectKnown(where: string): void {
    expect(this.bench.gpu.output(0).connector, where).toMatchObject({ connected: true, ...OTHER });
    const kinds = new Set(this.told().flatMap(([output, ...rest]) => (output === 0 ? rest : [`output ${output}`])));
    expect(kinds, where).toEqual(new Set(["size", "edid"]));
    expect(this.bench.host.transport.config.read32(GpuConfig.EVENTS_READ), where).toBe(0);
  }
}

describe("display information over a sleep", () => {
  it.each([
    ["other sizes and names", [{ width: 100, height: 80, name: "another" }, RIGHT], [[0, "size", "edid"]]],
    ["another name alone", [{ width: 64, height: 48, name: "another" }, RIGHT], [[0, "edid"]]],
    ["one monitor less", [LEFT, null], [[1, "disconnected"]]],
    [
      "another monitor at another output",
      [null, { width: 100, height: 80, name: "another" }],
      [
        [0, "disconnected"],
        [1, "size", "edid"],
      ],
    ],
    ["the same ones", [LEFT, RIGHT], []],
  ] as const)("R-33 (a) is asked anew, EDID too, and told where it changed: %s", async (_, outputs, told) => {
    const watched = await Watched.start();
    const { bench } = watched;
    await bench.freeze();
    bench.host.kill();
    bench.host.powerOn({ ...SCENE_DEVICE, outputs });
    const since = bench.host.commands.count;
    await bench.restore();
    await watched.settle();
    const asked = bench.host.commands.log(since).map(({ type }) => type);
    expect(asked.filter((type) => type === GpuCommand.GET_DISPLAY_INFO)).toHaveLength(1);
    expect(asked.filter((type) => type === GpuCommand.GET_EDID)).toHaveLength(
      outputs.filter((at) => at !== null).length,
    );
    expect(watched.told()).toEqual(told);
    outputs.forEach((layout, index) => {
      const { connected, modes, monitor } = bench.gpu.output(index).connector;
      expect(connected).toBe(layout !== null);
      expect(modes[0]?.width).toBe(layout?.width);
      if (layout !== null && "name" in layout) expect(monitor?.name).toBe(layout.name);
    });
    // Once: a further sleep without a change tells nothing.
    await bench.hibernate();
    await watched.settle();
    expect(watched.told()).toEqual([]);
    bench.expectNoErrors();
  });

  it("R-33 (a) a thaw, a wake from S3 and a recovery tell of a change, too", async () => {
    const watched = await Watched.start();
    const { bench } = watched;
    const ways: readonly (readonly [FreezeMessage | null, "THAW" | "RESUME" | "RECOVER"])[] = [
      ["FREEZE", "THAW"],
      ["SUSPEND", "RESUME"],
      [null, "RECOVER"],
    ];
    for (const [index, [down, up]] of ways.entries()) {
      if (down !== null) await bench.freeze(down);
      bench.host.device.setOutput(0, { width: 320 + index, height: 240 });
      if (down === "SUSPEND") bench.host.systemReset();
      await bench.restore(up);
      await watched.settle();
      expect(watched.told(), up).toEqual([[0, "size", "edid"]]);
    }
    bench.expectNoErrors();
  });

  it("R-33 (b) a mode that is no longer offered comes with what to use instead, and the picture stays until it is used", async () => {
    const watched = await Watched.start();
    const { bench, events } = watched;
    const scene = await drawScene(bench);
    await bench.freeze();
    bench.host.kill();
    bench.host.powerOn({ ...SCENE_DEVICE, outputs: [{ width: 100, height: 80 }, null] });
    await bench.restore();
    await watched.settle();
    const [first, second] = events[0]?.changes ?? [];
    expect(first?.fallback).toMatchObject({ kind: "preferred", mode: { width: 100, height: 80 } });
    expect(second?.fallback).toEqual({ kind: "off", mode: null });
    bench.expectShown(0, scene.left);
    bench.expectShown(1, scene.right);
    // What is offered can be used.
    const { width = 0, height = 0 } = first?.fallback?.mode ?? {};
    bench.expectShown(0, await bench.show(0, width, height));
    await bench.run(bench.gpu.output(1).disable());
    bench.expectNoErrors();
  });

  it("R-33 (b) a mode that is still offered is kept, and none is named for an output that is off", async () => {
    const watched = await Watched.start();
    const { bench, events } = watched;
    const shown = await bench.show(0, 800, 600);
    await bench.freeze();
    bench.host.kill();
    // Without EDID the standard list is offered, 800x600 in it.
    bench.host.powerOn({ ...SCENE_DEVICE, edid: false });
    await bench.restore();
    await watched.settle();
    const [first, second] = events[0]?.changes ?? [];
    expect(first?.fallback).toMatchObject({ kind: "kept", mode: { width: 800, height: 600 } });
    expect(second).toMatchObject({ output: 1, fallback: null });
    bench.expectShown(0, shown);
  });
});

describe("an event while nobody listens", () => {
  it.each([
    ["the same host", () => {}],
    ["the same host, reset", ({ bench }: Watched) => bench.host.systemReset()],
    ["the same host, reset by a boot driver", async ({ bench }: Watched) => bench.run(bench.machine.startBootDriver())],
    ["another host", ({ bench }: Watched) => bench.host.powerOn({ ...SCENE_DEVICE, outputs: [OTHER, RIGHT] })],
  ] as const)("R-34 (a) while frozen: %s", async (where, happens) => {
    const watched = await Watched.start();
    const { bench } = watched;
    await bench.freeze();
    watched.plug();
    await happens(watched);
    await bench.restore();
    await watched.settle();
    watched.expectKnown(where);
    bench.host.device.setOutput(1, null);
    await watched.settle();
    expect(watched.told(), "the next one is told again").toEqual([[1, "disconnected"]]);
    bench.expectNoErrors();
  });

  it.each([
    ["loopback", {}],
    ["MMIO, polled", { transport: "mmio", pci: { interrupts: "polled" } }],
  ] as const)(
    "R-34 (a) at any access to a register of a restore, before DRIVER_OK and after it, on %s",
    async (_, options) => {
      const accesses = async (at: number): Promise<number> => {
        const watched = await Watched.start({ ...options, ramBytes: 2 << 20 });
        const { bench } = watched;
        await bench.freeze();
        bench.replaceHost();
        const { transport } = bench.host;
        const first = transport.accesses;
        transport.onAccess = (_name, access) => {
          if (access === first + at) watched.plug();
        };
        await bench.restore();
        const count = transport.accesses - first;
        await watched.settle();
        if (at > 0 && at <= count) watched.expectKnown(`access ${at}`);
        return count;
      };
      const count = await accesses(0);
      expect(count).toBeGreaterThan(15);
      for (let at = 1; at <= count; at += 1) await accesses(at);
    },
  );

  it("R-34 (a) at any command of a freeze, whether it is completed or aborted, and of the restore", async () => {
    const run = async (at: number, end: "completed" | "aborted"): Promise<number> => {
      const watched = await Watched.start({ ramBytes: 2 << 20 });
      const { bench } = watched;
      await bench.show(0, 64, 48);
      await bench.buffer(16, 16);
      const { count } = bench.host.commands;
      let isPlugged = false;
      const plug = (): void => {
        watched.plug();
        isPlugged = true;
      };
      // One fault strikes a command: the hang comes first.
      const hang = { type: GpuCommand.RESOURCE_UNREF, at: 2, effect: { kind: "hang" } } as const;
      if (end === "aborted") bench.host.commands.inject(hang);
      if (at > 0) bench.host.commands.inject({ at, effect: { kind: "call", run: plug } });
      const frozen = bench.freeze();
      if (end === "aborted") {
        await expect(frozen).rejects.toMatchObject({ code: "ETIMEDOUT" });
        bench.host.resume();
      } else {
        await frozen;
        await bench.restore();
      }
      await watched.settle(10_000);
      if (isPlugged) watched.expectKnown(`${end}, command ${at}`);
      bench.expectNoErrors();
      return bench.host.commands.count - count;
    };
    for (const end of ["completed", "aborted"] as const) {
      const commands = await run(0, end);
      expect(commands).toBeGreaterThan(10);
      for (let at = 1; at <= commands; at += 1) await run(at, end);
    }
  });

  it("R-34 (a) during a freeze that is vetoed in the end, by a host that never hung", async () => {
    const device = { ...SCENE_DEVICE, renderer: new MemoryRenderer() };
    const watched = await Watched.start({ device, gpu: { policy: "wait", deadlines: { policyMs: 1000 } } });
    const { bench } = watched;
    const context = await bench.run(bench.gpu.rendering.createContext({ holder: "a game" }));
    await bench.run(context.submit(Uint8Array.of(1, 2, 3, 4)));
    const frozen = expect(bench.run(bench.gpu.power.freeze("FREEZE"))).rejects.toMatchObject({ code: "EPERM" });
    bench.machine.clock.after(500, () => watched.plug());
    await frozen;
    await watched.settle();
    watched.expectKnown("vetoed");
    bench.expectNoErrors();
  });

  it("R-34 (a) while a device sleeps that keeps its state", async () => {
    const watched = await Watched.start();
    await watched.bench.freeze("SUSPEND");
    expect(watched.bench.gpu.state).toBe("suspended");
    watched.plug();
    await watched.settle(60_000);
    expect(watched.told()).toEqual([]);
    await watched.bench.restore("RESUME");
    await watched.settle();
    watched.expectKnown("suspended");
    watched.bench.expectNoErrors();
  });

  it("R-34 (a) while the host does not answer, refuses to, or changes on and on", async () => {
    const watched = await Watched.start();
    const { commands } = watched.bench.host;
    commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, effect: { kind: "hang" } });
    watched.plug();
    await watched.settle(20_000);
    expect(watched.told()).toEqual([]);
    watched.bench.host.resume();
    await watched.settle();
    watched.expectKnown("hung");
    watched.bench.host.device.setOutput(0, LEFT);
    await watched.settle();
    watched.events.length = 0;
    const effect = { kind: "refuse", reply: GpuReply.ERR_UNSPEC } as const;
    commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, times: 3, effect });
    watched.plug();
    await watched.settle(20_000);
    watched.expectKnown("refused");
    // Each answer is out of date when it comes.
    let width = 400;
    const change = (): void => watched.bench.host.device.setOutput(0, { width: (width += 1), height: 240 });
    commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, times: 40, effect: { kind: "call", run: change } });
    change();
    await watched.settle(20_000);
    expect(width).toBe(441);
    expect(watched.bench.gpu.output(0).connector.width).toBe(width);
    expect(watched.told().length).toBeGreaterThan(1);
  });
});

describe("an event that comes while the device sleeps", () => {
  it.each(["FREEZE", "QUIESCE", "HIBERNATE", "SUSPEND"] as const)(
    "R-34 (b) is handled by nobody until the restore: %s",
    async (message) => {
      const watched = await Watched.start();
      const { bench } = watched;
      await bench.show(0, 64, 48);
      await bench.freeze(message);
      const { count } = bench.host.commands;
      const { accesses } = bench.host.transport;
      watched.plug();
      // A worker that was under way, on top of it.
      bench.host.transport.spuriousConfigInterrupt({ stale: true });
      await watched.settle(60_000);
      expect(watched.events).toEqual([]);
      expect(bench.host.commands.count).toBe(count);
      expect(bench.host.transport.accesses).toBe(accesses);
      await bench.restore();
      await watched.settle();
      watched.expectKnown(message);
    },
  );

  it("R-34 (b) is left alone from the freeze's first moment on, answers under way too", async () => {
    const watched = await Watched.start();
    const { bench } = watched;
    await bench.show(0, 64, 48);
    // Asked before the freeze, answered during it.
    bench.host.commands.inject({ type: GpuCommand.GET_DISPLAY_INFO, effect: { kind: "slow", ms: 20 } });
    watched.plug();
    await bench.machine.clock.advance(1);
    bench.host.commands.inject({ type: GpuCommand.RESOURCE_UNREF, effect: { kind: "slow", ms: 50 } });
    const frozen = bench.gpu.power.freeze("FREEZE");
    await bench.machine.clock.advance(5);
    const asked = bench.host.commands.count;
    bench.host.device.setOutput(1, null);
    await bench.run(frozen);
    const types = bench.host.commands.log(asked).map(({ type }) => type);
    expect(types).not.toContain(GpuCommand.GET_DISPLAY_INFO);
    expect(types).not.toContain(GpuCommand.GET_EDID);
    expect(bench.host.transport.config.read32(GpuConfig.EVENTS_READ)).toBe(1);
    expect(watched.events).toEqual([]);
    await bench.restore();
    await watched.settle();
    expect(watched.told()).toEqual([
      [0, "size", "edid"],
      [1, "disconnected"],
    ]);
    bench.expectNoErrors();
  });

  it.each(["FREEZE", "SUSPEND"] as const)(
    "R-34 (c) sets no mode after the freeze, at whichever of its commands it came, and sets it after the restore: %s",
    async (message) => {
      const run = async (at: number): Promise<number> => {
        const watched = await Watched.start({ ramBytes: 2 << 20 });
        const { bench } = watched;
        const shown = await bench.show(0, 64, 48);
        const next = await bench.buffer(32, 32);
        // What a desktop does: it lights what was plugged in.
        bench.gpu.onHotplug(({ changes }) => {
          for (const { output } of changes)
            void bench.gpu
              .output(output)
              .show(next)
              .catch(() => {});
        });
        const { count } = bench.host.commands;
        const plug = (): void => bench.host.device.setOutput(1, { width: 100, height: 80 });
        if (at === 0) plug();
        else bench.host.commands.inject({ at, effect: { kind: "call", run: plug } });
        await bench.freeze(message);
        const frozen = bench.host.commands.count;
        await watched.settle(60_000);
        expect(bench.host.commands.count, `command ${at}: after the freeze`).toBe(frozen);
        if (message === "FREEZE") for (const output of [0, 1]) expect(bench.host.device.screenshot(output)).toBeNull();
        if (message === "FREEZE") bench.host.systemReset();
        await bench.restore();
        await watched.settle();
        bench.expectShown(0, shown);
        if (at <= frozen - count) bench.expectShown(1, next);
        bench.expectNoErrors();
        return frozen - count;
      };
      const commands = await run(0);
      for (let at = 1; at <= commands; at += 1) await run(at);
    },
  );

  it("R-34 (c) a mode that is asked for while the device sleeps is set when it is awake, with the scene as it was", async () => {
    const watched = await Watched.start();
    const { bench } = watched;
    const scene = await drawScene(bench);
    await bench.freeze();
    const { count } = bench.host.commands;
    const lit = bench.gpu.output(1).show(scene.left);
    const off = bench.gpu.output(0).disable();
    await watched.settle(60_000);
    expect(bench.host.commands.count).toBe(count);
    await bench.restore();
    await bench.run(Promise.all([lit, off]));
    bench.expectShown(1, scene.left);
    expect(bench.host.device.screenshot(0)).toBeNull();
    await bench.run(bench.gpu.output(0).show(scene.left));
    await bench.run(bench.gpu.output(1).show(scene.right));
    await expectScene(bench, scene);
    bench.expectNoErrors();
  });
});

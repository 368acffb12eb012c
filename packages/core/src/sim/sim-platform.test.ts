import { describe, expect, it } from "vitest";
import { VirtioGpu } from "../driver/index.ts";
import { type SleepResult, SystemSleep } from "../sleep/index.ts";
import { type SimMachine, type SimMachineOptions, createSimMachine } from "./sim-machine.ts";
import { SimPlatform, type SimPlatformOptions } from "./sim-platform.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const WIDTH = 64;
const HEIGHT = 48;

class Bench {
  readonly machine: SimMachine;
  readonly platform: SimPlatform;
  readonly gpu: VirtioGpu;
  readonly shown: Uint8Array;

  private constructor(machine: SimMachine, gpu: VirtioGpu, options: SimPlatformOptions) {
    this.machine = machine;
    this.gpu = gpu;
    this.platform = new SimPlatform(machine, options);
    this.shown = this.picture();
  }

  static async start(options: SimMachineOptions = {}, platform: SimPlatformOptions = {}): Promise<Bench> {
    const machine = createSimMachine({
      turn,
      ramBytes: 4 << 20,
      device: { outputs: [{ width: WIDTH, height: HEIGHT }] },
      ...options,
    });
    const { clock, transport, allocator, dma, recorder: tracer } = machine;
    const gpu = await clock.run(VirtioGpu.probe({ transport, clock, allocator, dma, tracer }));
    const buffer = await clock.run(gpu.createBuffer({ width: WIDTH, height: HEIGHT }));
    buffer.write(
      0,
      Uint8Array.from({ length: WIDTH * HEIGHT * 4 }, (_, index) => (index * 7) & 0xff),
    );
    await clock.run(gpu.output(0).show(buffer));
    return new Bench(machine, gpu, platform);
  }

  /** A kernel that sleeps with this driver. */
  system(): SystemSleep {
    const { platform, machine, gpu } = this;
    return new SystemSleep({ platform, clock: machine.clock, tracer: machine.recorder, clients: [gpu.power] });
  }

  async run(work: Promise<SleepResult>): Promise<SleepResult> {
    const result = await this.machine.clock.run(work);
    await this.machine.clock.run(result.complete);
    return result;
  }

  picture(): Uint8Array {
    return this.machine.host.device.screenshot(0)?.rgba ?? new Uint8Array();
  }

  expectAsBefore(): void {
    expect(Buffer.compare(this.picture(), this.shown)).toBe(0);
    expect(this.machine.host.log.errorReplies()).toEqual([]);
    this.machine.assertClean();
  }
}

describe("a simulated machine's platform", () => {
  it("hibernates through a power-off, and comes back from the image in other frames", async () => {
    const bench = await Bench.start();
    const frames = JSON.stringify(bench.machine.frames.save());
    const down = await bench.run(bench.system().hibernate({ mode: "platform" }));
    expect(down.outcome).toBe("off");
    expect(bench.machine.host.isOn).toBe(false);
    bench.platform.bootFromImage();
    expect(bench.platform.disk).toBeNull();
    const up = await bench.run(bench.system().continueFromImage());
    expect(up).toMatchObject({ outcome: "resumed", failures: [], lost: [] });
    expect(bench.machine.host.lives).toBe(2);
    expect(JSON.stringify(bench.machine.frames.save())).not.toBe(frames);
    bench.expectAsBefore();
  });

  it("tests a resume without a power-off", async () => {
    const bench = await Bench.start();
    const result = await bench.run(bench.system().hibernate({ mode: "test_resume" }));
    expect(result).toMatchObject({ outcome: "resumed", failures: [] });
    expect(bench.machine.host.lives).toBe(1);
    bench.expectAsBefore();
  });

  it.each([
    ["mem", "pci", false],
    ["mem", "pci", true],
    ["mem", "mmio", false],
    ["s2idle", "pci", false],
  ] as const)("sleeps in RAM (%s) over %s, No_Soft_Reset %s", async (target, transport, noSoftReset) => {
    const bench = await Bench.start({ transport, pci: { noSoftReset }, features: { suspend: false } });
    const result = await bench.run(bench.system().suspend(target));
    expect(result).toMatchObject({ outcome: "woken", failures: [] });
    bench.expectAsBefore();
  });

  it("lets nothing be allocated from the image's memory being taken until it is given back", async () => {
    const bench = await Bench.start({}, { tightMemory: true });
    const { platform, machine } = bench;
    const write = platform.writeImage.bind(platform);
    let refused = "";
    platform.writeImage = () => {
      try {
        machine.allocator.allocate(1);
      } catch (error) {
        refused = String(error);
      }
      return write();
    };
    await bench.run(bench.system().hibernate({ mode: "platform" }));
    expect(refused).toContain("ENOMEM");
    platform.bootFromImage();
    await bench.run(bench.system().continueFromImage());
    expect(machine.allocator.bytesMax).toBe(Infinity);
    bench.expectAsBefore();
  });

  it.each(["snapshot", "writeImage"] as const)("fails %s, where told to, and the system runs on", async (call) => {
    const bench = await Bench.start();
    bench.platform.failing.add(call);
    const result = await bench.run(bench.system().hibernate({ mode: "platform" }));
    expect(result.outcome).toBe("aborted");
    expect(String(result.failures[0]?.error)).toContain(`${call} fails, as planned`);
    bench.expectAsBefore();
    bench.platform.failing.clear();
    expect((await bench.run(bench.system().hibernate({ mode: "platform" }))).outcome).toBe("off");
  });

  it("can't cut the power, where told so", async () => {
    const bench = await Bench.start();
    bench.platform.failing.add("powerOff");
    const result = await bench.run(bench.system().hibernate({ mode: "shutdown" }));
    expect(result.outcome).toBe("halted");
    expect(bench.machine.host.isOn).toBe(true);
  });

  it("turns back on a wakeup event", async () => {
    const bench = await Bench.start();
    bench.platform.wakeup = true;
    const result = await bench.run(bench.system().hibernate({ mode: "platform" }));
    expect(result.outcome).toBe("aborted");
    bench.expectAsBefore();
  });

  it("refuses to start from an image that is not there", async () => {
    const bench = await Bench.start();
    expect(() => bench.platform.bootFromImage()).toThrow("no image");
  });
});

/**
 * A whole system that sleeps: the scene's simulated machine, the real driver, the real sleep code, and a platform on which
 * any call can fail or have something happen. One process stands for every kernel involved.
 *
 * The snapshot returns in two time lines. Usually the one that goes on to write the image is followed; within
 * {@link SleepingMachine.hibernate} it is the image's: the machine loses its power at the snapshot, another boot follows,
 * and the driver, frozen as it is in the image, comes back.
 */
import { expect } from "vitest";
import { GpuError } from "../../src/base/errors.ts";
import { VirtioGpu, type VirtioGpuOptions } from "../../src/driver/index.ts";
import type { BusAccess } from "../../src/virtio/bus-access.ts";
import { readPciCapabilities } from "../../src/virtio/pci/capabilities.ts";
import type { SimHost, SimHostOptions } from "../../src/sim/sim-host.ts";
import type { SimMachine } from "../../src/sim/sim-machine.ts";
import { SimPlatform, type SimPlatformOptions } from "../../src/sim/sim-platform.ts";
import {
  type HibernationMode,
  type PlatformStep,
  type PowerOffMode,
  type SleepPlatform,
  type SleepResult,
  type SleepTarget,
  type StepHandler,
  SystemSleep,
  type SystemState,
  type Wake,
} from "../../src/sleep/index.ts";
import { commandName } from "../../src/wire/names.ts";
import { PciPm, PciPowerState } from "../../src/wire/pci.ts";
import { type BenchOptions, DriverBench } from "./driver-bench.ts";
import { SCENE_DEVICE, type Scene, drawScene, expectScene } from "./scene.ts";

const STEPS: readonly PlatformStep[] = [
  "tasks",
  "platform-begin",
  "image-memory",
  "image-load",
  "kernel-threads",
  "device-prepare",
  "console",
  "allocations",
  "late",
  "noirq",
  "platform-prepare",
  "cpus",
  "syscore",
];

/** A call of the sleep code to the machine, as it stands in {@link WatchedPlatform.calls}. */
export type MachineCall =
  | PlatformStep
  | `undo ${PlatformStep}`
  | "filesystems"
  | "snapshot"
  | "write-image"
  | "discard-image"
  | `enter ${SleepTarget}`
  | `power-off ${PowerOffMode}`
  | "jump";

/** Writes every call down, and lets it fail or be accompanied. What a call does is the simulated machine's affair. */
export class WatchedPlatform implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** Every call, in order. */
  readonly calls: MachineCall[] = [];
  /** Calls that fail instead, each until it is taken out. */
  readonly faults: Map<MachineCall, GpuError> = new Map();
  /** What happens just before a call is carried out. */
  readonly before: Map<MachineCall, () => Promise<void> | void> = new Map();
  /** What happens right after it. */
  readonly after: Map<MachineCall, () => Promise<void> | void> = new Map();
  /** Set: the snapshot returns in the image's time line, after the power was gone, and after this happened on the new boot. */
  reboot: (() => Promise<void> | void) | null = null;
  /** From which call on a wakeup event is pending. */
  wakeupFrom: MachineCall | null = null;
  readonly #machine: SimMachine;
  readonly #inner: SimPlatform;

  constructor(machine: SimMachine, options: SimPlatformOptions = {}) {
    this.#machine = machine;
    this.#inner = new SimPlatform(machine, options);
    this.steps = Object.fromEntries(STEPS.map((step) => [step, this.#handler(step)]));
  }

  /** Lets `call` fail until {@link faults} is cleared of it. */
  fail(call: MachineCall, code: "EIO" | "EBUSY" | "ENOMEM" = "EIO"): void {
    this.faults.set(call, new GpuError(code, `${call} fails, as planned`));
  }

  wakeupPending(): boolean {
    return this.wakeupFrom !== null && this.calls.includes(this.wakeupFrom);
  }

  syncFilesystems(): Promise<void> {
    return this.#call("filesystems", () => this.#inner.syncFilesystems());
  }

  async snapshot(): Promise<"snapshotted" | "resumed"> {
    await this.#call("snapshot", () => this.#inner.snapshot());
    const { reboot } = this;
    if (reboot === null) return "snapshotted";
    await this.#inner.writeImage();
    this.#machine.powerOff();
    this.#machine.powerOn();
    await reboot();
    await this.#inner.jumpToImage();
    return "resumed";
  }

  writeImage(): Promise<void> {
    return this.#call("write-image", () => this.#inner.writeImage());
  }

  discardImage(): Promise<void> {
    return this.#call("discard-image", () => this.#inner.discardImage());
  }

  enterSleep(target: SleepTarget): Promise<Wake> {
    return this.#call(`enter ${target}`, () => this.#inner.enterSleep(target));
  }

  powerOff(mode: PowerOffMode): Promise<void> {
    return this.#call(`power-off ${mode}`, () => this.#inner.powerOff());
  }

  jumpToImage(): Promise<void> {
    return this.#call("jump", () => this.#inner.jumpToImage());
  }

  async #call<T>(call: MachineCall, work: () => Promise<T>): Promise<T> {
    this.calls.push(call);
    await this.before.get(call)?.();
    const fault = this.faults.get(call);
    if (fault !== undefined) throw fault;
    const result = await work();
    await this.after.get(call)?.();
    return result;
  }

  #handler(step: PlatformStep): StepHandler {
    const inner = this.#inner.steps[step];
    return {
      forward: (message) =>
        this.#call(step, async () => {
          await inner?.forward?.(message);
          if (step === "noirq" && message === "SUSPEND") this.#setPowerStates(PciPowerState.D3HOT);
        }),
      backward: (message) =>
        this.#call(`undo ${step}`, async () => {
          if (step === "noirq") this.#setPowerStates(PciPowerState.D0);
          await inner?.backward?.(message);
        }),
    };
  }

  /** What Linux's PCI core does behind a driver: every function sleeps in D3hot, which resets those without No_Soft_Reset. */
  #setPowerStates(state: number): void {
    for (const host of this.#machine.hosts) {
      const config = pciConfigOf(host);
      if (config === null) continue;
      const { power } = readPciCapabilities(config, host.label);
      if (power !== null) config.write16(power + PciPm.CONTROL_STATUS, state);
    }
  }
}

function pciConfigOf(host: SimHost): BusAccess | null {
  try {
    return host.isOn ? host.function.config : null;
  } catch (error) {
    if (error instanceof GpuError && error.code === "ENOTSUP") return null;
    throw error;
  }
}

/** See the file's head. */
export class SleepingMachine {
  readonly bench: DriverBench;
  readonly scene: Scene;
  readonly platform: WatchedPlatform;
  readonly sleep: SystemSleep;

  private constructor(bench: DriverBench, scene: Scene, options: SimPlatformOptions) {
    const { machine } = bench;
    this.bench = bench;
    this.scene = scene;
    this.platform = new WatchedPlatform(machine, options);
    this.sleep = new SystemSleep({ platform: this.platform, clock: machine.clock, tracer: machine.recorder });
    bench.gpu.register(this.sleep);
  }

  /** A machine with everything drawn, its driver registered. */
  static async start(options: BenchOptions = {}, platform: SimPlatformOptions = {}): Promise<SleepingMachine> {
    const bench = await DriverBench.start({ ramBytes: 4 << 20, device: SCENE_DEVICE, ...options });
    return new SleepingMachine(bench, await drawScene(bench), platform);
  }

  get gpu(): VirtioGpu {
    return this.bench.gpu;
  }

  get host(): SimHost {
    return this.bench.host;
  }

  /** Another GPU with a driver, registered behind the others. */
  async addGpu(
    options: Omit<SimHostOptions, "clock" | "memory"> = {},
    gpu: Partial<VirtioGpuOptions> = {},
  ): Promise<{ readonly gpu: VirtioGpu; readonly host: SimHost }> {
    const host = this.bench.machine.addHost(options);
    const added = await this.bench.run(VirtioGpu.probe({ ...this.bench.gpuOptions(host), ...gpu }));
    added.register(this.sleep);
    return { gpu: added, host };
  }

  /** Lets an operation run, and the drivers' restores behind it come to their end. */
  async run(work: Promise<SleepResult>): Promise<SleepResult> {
    const result = await this.bench.run(work);
    await this.bench.run(result.complete);
    return result;
  }

  /** S3 or s2idle. */
  suspend(target: SleepTarget = "mem"): Promise<SleepResult> {
    return this.run(this.sleep.suspend(target));
  }

  /** A hibernation in the image's time line; `boot` is what happens on the new boot before the image takes over. */
  async hibernate(boot: () => Promise<void> | void = () => {}): Promise<SleepResult> {
    this.platform.reboot = boot;
    try {
      return await this.run(this.sleep.hibernate({ mode: "platform" }));
    } finally {
      this.platform.reboot = null;
    }
  }

  /** A hibernation in the time line of the kernel that goes to sleep, `suspend`: hybrid. */
  goDown(mode: HibernationMode): Promise<SleepResult> {
    return this.run(this.sleep.hibernate({ mode }));
  }

  /** It came to `outcome`, no call failed, and the host has everything again, without an error on the way. */
  async expectWhole(result: SleepResult, outcome: SleepResult["outcome"]): Promise<void> {
    expect(result.failures).toEqual([]);
    expect(result).toMatchObject({ outcome, lost: [] });
    await this.expectIntact();
  }

  /** The host has everything, without an error on the way; the machine is awake, or in `state`. */
  async expectIntact(state: SystemState = "awake"): Promise<void> {
    expect([this.sleep.state, this.gpu.state]).toEqual([state, "running"]);
    await expectScene(this.bench, this.scene);
    expect(this.scene.exporter.mapped, "mappings of the import").toBe(1);
    this.bench.expectNoErrors();
    this.bench.machine.assertClean();
  }

  /** The driver is removed: memory and mappings are given back, and no timer is left. */
  async expectNothingLeft(): Promise<void> {
    const { machine } = this.bench;
    await this.bench.run(this.gpu.remove());
    await machine.clock.settle();
    machine.assertClean();
    machine.dma.assertBalanced();
    machine.allocator.assertNoLeak([this.scene.exporter.pages]);
    expect(machine.clock.timers, "timers").toBe(0);
  }

  /** Names of the commands that the host saw since a `commands.count` taken before. */
  commandsSince(count: number): readonly string[] {
    return this.host.commands.log(count).map(({ type }) => commandName(type));
  }
}

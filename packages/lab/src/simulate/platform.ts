/**
 * A simulated machine's part in a sleep: each call takes its time, can fail, and can have something happen right before it.
 */
import { GpuError, sleep } from "@virtgpu/core/base";
import type { PlatformStep, PowerOffMode, SleepPlatform, SleepTarget, StepHandler, Wake } from "@virtgpu/core/sleep";
import { PciPowerState } from "@virtgpu/core/wire";
import type { Boot } from "./boot.ts";

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

/** What of a sleep can fail, by name. */
export const PLATFORM_CALLS: readonly string[] = [
  ...STEPS,
  "filesystems",
  "snapshot",
  "write-image",
  "discard-image",
  "enter",
  "power-off",
  "jump",
];

/** Where something can happen in a sleep: the same, and the steps' ways back. */
export const PLATFORM_MOMENTS: readonly string[] = [...PLATFORM_CALLS, ...STEPS.map((step) => `undo ${step}`)];

/** How long a sleep in RAM lasts, in milliseconds. */
const NIGHT_MS = 20;

/** See the file's head. */
export class SimulatedPlatform implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** A wakeup event is pending. */
  wakeup: boolean = false;
  readonly #boot: Boot;

  constructor(boot: Boot) {
    this.#boot = boot;
    this.steps = Object.fromEntries(STEPS.map((step) => [step, this.#handler(step)]));
  }

  syncFilesystems(): Promise<void> {
    return this.#call("filesystems", async () => {});
  }

  wakeupPending(): boolean {
    return this.wakeup;
  }

  snapshot(): Promise<"snapshotted"> {
    return this.#call("snapshot", async () => {
      this.#boot.takeSnapshot();
      return "snapshotted" as const;
    });
  }

  writeImage(): Promise<void> {
    return this.#call("write-image", () => this.#boot.writeImage());
  }

  discardImage(): Promise<void> {
    return this.#call("discard-image", () => this.#boot.discardImage());
  }

  enterSleep(target: SleepTarget): Promise<Wake> {
    return this.#call("enter", async () => {
      await sleep(this.#boot.clock, NIGHT_MS);
      const { host } = this.#boot.sim;
      // In s2idle the platform keeps its power.
      if (target === "mem" && host.isOn) host.wakeFromS3();
      return { source: "rtc" };
    });
  }

  powerOff(_mode: PowerOffMode): Promise<void> {
    return this.#call("power-off", async () => this.#boot.sim.powerOff());
  }

  jumpToImage(): Promise<void> {
    return this.#call("jump", async () => {
      this.#boot.becomeSnapshot();
      await this.#boot.discardImage();
    });
  }

  async #call<T>(call: string, work: () => Promise<T>): Promise<T> {
    this.#boot.atMoment(call);
    await Promise.resolve();
    if (this.#boot.takeStepFault(call)) throw new GpuError("EIO", `${call} fails, as planned`);
    return work();
  }

  #handler(step: PlatformStep): StepHandler {
    return {
      forward: (message) =>
        this.#call(step, async () => {
          if (step === "noirq" && message === "SUSPEND") this.#boot.setPowerState(PciPowerState.D3HOT);
        }),
      backward: () =>
        this.#call(`undo ${step}`, async () => {
          if (step === "noirq") this.#boot.setPowerState(PciPowerState.D0);
        }),
    };
  }
}

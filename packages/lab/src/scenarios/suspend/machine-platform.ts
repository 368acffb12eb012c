/**
 * The machine's part in a sleep, for the system's sleep code: power, S3, images of memory and D-states, on any subject's
 * host, with what a case wants to happen on the way.
 */
import { GpuError } from "@virtgpu/core/base";
import {
  idlePlatform,
  type PlatformStep,
  type PowerOffMode,
  type SleepPlatform,
  type SleepTarget,
  type StepHandler,
  type Wake,
} from "@virtgpu/core/sleep";
import { PciPowerState } from "@virtgpu/core/wire";
import { setPowerState } from "./power-states.ts";
import type { SuspendSubject } from "./subject.ts";

/** What can be made to fail. */
export type PlatformCall = "write-image" | "power-off" | "jump";

/** See the file's head. */
export class MachinePlatform implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** Calls that fail, each until it is taken out. */
  readonly failing: Set<PlatformCall> = new Set();
  /** The step after which a wakeup event is pending; null: none comes. */
  wakeupAfter: PlatformStep | null = null;
  /** What happens while the machine is asleep: in S3 and s2idle, or before the image's kernel goes on. */
  asleep: (() => Promise<void> | void) | null = null;
  /** The power fails in S3: nobody returns from it. */
  losesPower: boolean = false;
  readonly #subject: SuspendSubject;
  #hasWakeup = false;
  #image: (() => void) | null = null;
  #onPowerLost: () => void = () => {};
  /** Resolves when the power has failed. */
  readonly powerLost: Promise<void>;

  constructor(subject: SuspendSubject) {
    this.#subject = subject;
    this.powerLost = new Promise((resolve) => {
      this.#onPowerLost = resolve;
    });
    this.steps = {
      noirq: {
        forward: async (message) => {
          if (message === "SUSPEND") this.#setPowerState(PciPowerState.D3HOT);
          this.#pass("noirq");
        },
        backward: async () => this.#setPowerState(PciPowerState.D0),
      },
      syscore: { forward: async () => this.#pass("syscore") },
    };
  }

  /** Whether the next boot would find an image. */
  get hasImage(): boolean {
    return this.#image !== null;
  }

  syncFilesystems(): Promise<void> {
    return idlePlatform.syncFilesystems();
  }

  wakeupPending(): boolean {
    return this.#hasWakeup;
  }

  /** The wakeup event was seen to. */
  clearWakeup(): void {
    this.#hasWakeup = false;
    this.wakeupAfter = null;
  }

  async snapshot(): Promise<"snapshotted"> {
    this.#image = this.#subject.takeImage();
    return "snapshotted";
  }

  async writeImage(): Promise<void> {
    this.#refuse("write-image");
  }

  async discardImage(): Promise<void> {
    this.#image = null;
  }

  async enterSleep(target: SleepTarget): Promise<Wake> {
    const { host } = this.#subject;
    const isS3 = target === "mem" && host.isOn;
    if (isS3) await host.enterS3();
    if (this.losesPower) {
      await host.kill();
      this.#onPowerLost();
      return new Promise(() => {});
    }
    await this.asleep?.();
    // The process may have died meanwhile: then there is nothing left to wake.
    if (isS3 && host.isOn) await host.wakeFromS3();
    return { source: "rtc" };
  }

  async powerOff(mode: PowerOffMode): Promise<void> {
    this.#refuse("power-off");
    if (this.#subject.host.isOn) await this.#subject.host.powerOff(mode);
  }

  async jumpToImage(): Promise<void> {
    this.#refuse("jump");
    this.#loadImage();
  }

  /** The next boot: power, then memory as the image has it. What is left is the image kernel's `continueFromImage`. */
  async boot(): Promise<void> {
    const { host } = this.#subject;
    if (!host.isOn) await host.powerOn();
    this.#loadImage();
    await this.asleep?.();
  }

  #loadImage(): void {
    const image = this.#image;
    if (image === null) throw new GpuError("EINVAL", "there is no image to start from");
    this.#image = null;
    image();
  }

  #pass(step: PlatformStep): void {
    if (this.wakeupAfter === step) this.#hasWakeup = true;
  }

  #refuse(call: PlatformCall): void {
    if (this.failing.has(call)) throw new GpuError("EIO", `${call} fails, as planned`);
  }

  /** What Linux's PCI core does behind a driver: every function sleeps in D3hot, which resets those without No_Soft_Reset. */
  #setPowerState(state: PciPowerState): void {
    const { functions, isOn } = this.#subject.host;
    if (isOn) for (const config of functions) setPowerState(config, state);
  }
}

/**
 * What a simulated machine does in a sleep, for `sleep/`: images of its memory, power that goes and comes back, and S3 as
 * its buses know it. One process stands for the kernel that went down and for the one that comes back from the image.
 */
import { GpuError } from "../base/errors.ts";
import { type PlatformStep, type SleepPlatform, type StepHandler, type Wake, idlePlatform } from "../sleep/index.ts";
import type { RamImage, SimMachine } from "./sim-machine.ts";

/** How a {@link SimPlatform} behaves. */
export interface SimPlatformOptions {
  /** From the image's memory being taken until it is given back nothing can be allocated, as in a thaw. Default false. */
  readonly tightMemory?: boolean | undefined;
  /** Contents come back in other frames. Default true. */
  readonly moveFrames?: boolean | undefined;
  /** More steps of the machine, e.g. of other devices; called after the platform's own. */
  readonly steps?: { readonly [step in PlatformStep]?: StepHandler } | undefined;
}

/** What can be made to fail, by the name of the call. */
export type PlatformCall = "snapshot" | "writeImage" | "enterSleep" | "powerOff" | "jumpToImage";

/** See the file's head. */
export class SimPlatform implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** Calls that fail, each until it is taken out. */
  readonly failing: Set<PlatformCall> = new Set();
  /** A wakeup event is pending. */
  wakeup: boolean = false;
  /** What happens to the machine while it sleeps or is off, e.g. another monitor is plugged in. */
  whileAsleep: (() => void) | null = null;
  readonly #machine: SimMachine;
  readonly #options: SimPlatformOptions;
  #memory: RamImage | null = null;
  #disk: RamImage | null = null;

  constructor(machine: SimMachine, options: SimPlatformOptions = {}) {
    this.#machine = machine;
    this.#options = options;
    const tight: { readonly [step in PlatformStep]?: StepHandler } =
      options.tightMemory === true ? { "image-memory": this.#imageMemory(options.steps?.["image-memory"]) } : {};
    this.steps = { ...options.steps, ...tight };
  }

  /** The image that the next boot would find, or null. */
  get disk(): RamImage | null {
    return this.#disk;
  }

  syncFilesystems(): Promise<void> {
    return idlePlatform.syncFilesystems();
  }

  wakeupPending(): boolean {
    return this.wakeup;
  }

  async snapshot(): Promise<"snapshotted"> {
    this.#fail("snapshot");
    this.#memory = this.#machine.snapshot();
    return "snapshotted";
  }

  async writeImage(): Promise<void> {
    this.#fail("writeImage");
    this.#disk = this.#memory;
    this.#memory = null;
  }

  async discardImage(): Promise<void> {
    this.#disk = null;
  }

  async enterSleep(target: "mem" | "s2idle"): Promise<Wake> {
    this.#fail("enterSleep");
    this.whileAsleep?.();
    // In s2idle the platform keeps its power; what becomes of a device is between its driver and its D-states.
    if (target === "mem") for (const host of this.#machine.hosts) host.wakeFromS3();
    return { source: "rtc" };
  }

  async powerOff(): Promise<void> {
    this.#fail("powerOff");
    this.#machine.powerOff();
  }

  /** The image's memory takes this machine over; hosts stay as the boot kernel left them. */
  async jumpToImage(): Promise<void> {
    this.#fail("jumpToImage");
    this.#loadImage();
  }

  /**
   * After a power-off: the hosts start anew and memory is the image's again. What is left to do is the image kernel's
   * (`continueFromImage` of a new SystemSleep). Throws GpuError EINVAL when there is no image.
   */
  bootFromImage(): void {
    this.whileAsleep?.();
    this.#machine.powerOn();
    this.#loadImage();
  }

  #loadImage(): void {
    const image = this.#disk;
    if (image === null) throw new GpuError("EINVAL", "there is no image to start from");
    this.#disk = null;
    this.#machine.restore(image, { moveFrames: this.#options.moveFrames ?? true });
  }

  #fail(call: PlatformCall): void {
    if (this.failing.has(call)) throw new GpuError("EIO", `${call} fails, as planned`);
  }

  #imageMemory(more: StepHandler | undefined): StepHandler {
    const { allocator } = this.#machine;
    return {
      forward: async (message) => {
        allocator.bytesMax = allocator.allocatedBytes;
        await more?.forward?.(message);
      },
      backward: async (message) => {
        allocator.bytesMax = Infinity;
        await more?.backward?.(message);
      },
    };
  }
}

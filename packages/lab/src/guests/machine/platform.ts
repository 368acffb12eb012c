/**
 * What the lab's machine does in a sleep: its tasks are the scene, its disk an image file, its firmware the host's.
 */
import { GpuError, type RestoreMessage } from "@virtgpu/core/base";
import type { PlatformStep, PowerOffMode, SleepPlatform, SleepTarget, StepHandler, Wake } from "@virtgpu/core/sleep";
import type { PlannedAbort } from "../../scenarios/hibernate/ways.ts";

/** What the platform needs of its machine. */
export interface PlatformMachine {
  /** Tasks stop: nothing runs any more. */
  stopTasks(): Promise<void>;
  /** Tasks may go on. Rejects where they must not. */
  thawTasks(message: RestoreMessage): Promise<void>;
  /** Nothing runs, and no device was touched yet. */
  frozen(): Promise<void>;
  takeSnapshot(): void;
  writeImage(): Promise<void>;
  discardImage(): Promise<void>;
  /** Looks at the image, before anything depends on it. */
  openImage(): Promise<void>;
  /** The image's contents take the place of memory's. */
  loadImage(): Promise<void>;
  dropSnapshot(): void;
  sleep(target: SleepTarget): Promise<Wake>;
  powerOff(mode: PowerOffMode): Promise<void>;
}

/** See the file's head. */
export class LabPlatform implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  /** What is to fail in the next sleep. */
  abort: PlannedAbort | null = null;
  readonly #machine: PlatformMachine;
  #hasSeen = false;

  constructor(machine: PlatformMachine) {
    this.#machine = machine;
    this.steps = {
      tasks: {
        forward: async () => {
          this.#hasSeen = false;
          await machine.stopTasks();
        },
        backward: (message) => machine.thawTasks(message),
      },
      console: { forward: () => this.#see() },
      "image-memory": { backward: async () => machine.dropSnapshot() },
      "image-load": { forward: () => machine.openImage() },
    };
  }

  async syncFilesystems(): Promise<void> {}

  wakeupPending(): boolean {
    return this.abort === "wakeup";
  }

  async snapshot(): Promise<"snapshotted"> {
    this.#machine.takeSnapshot();
    return "snapshotted";
  }

  async writeImage(): Promise<void> {
    if (this.abort === "image") throw new GpuError("EIO", "the disk gave up, as planned");
    await this.#machine.writeImage();
  }

  async discardImage(): Promise<void> {
    await this.#machine.discardImage();
  }

  async enterSleep(target: SleepTarget): Promise<Wake> {
    return this.#machine.sleep(target);
  }

  async powerOff(mode: PowerOffMode): Promise<void> {
    if (this.abort === "power-off") throw new GpuError("EBUSY", "somebody pressed a key, as planned");
    await this.#machine.powerOff(mode);
  }

  async jumpToImage(): Promise<void> {
    await this.#machine.loadImage();
  }

  /** Once a sleep: what is there when the first device is about to be put down. */
  async #see(): Promise<void> {
    if (this.#hasSeen) return;
    this.#hasSeen = true;
    await this.#machine.frozen();
  }
}

/** The system's side of sleep: who is told, and the operations. Their ways are in hibernate.ts and suspend.ts. */
import { type Clock, GpuError, type PowerClient, type Tracer, unfailing } from "../base/index.ts";
import { defaultDeadlines, OverdueCalls, type SleepDeadlines } from "./deadline.ts";
import { DeviceList, type SuspendPolicy } from "./device-list.ts";
import { continueFromImage, hibernate, type HibernateOptions, resumeAsImage, resumeFromImage } from "./hibernate.ts";
import { SYSTEM } from "./log.ts";
import { NotifierChain, type PowerSubscriber } from "./notifier-chain.ts";
import { operate, type SleepResult } from "./operation.ts";
import type { PmTest, SleepPlatform, SleepStep, SleepTarget } from "./platform.ts";
import type { SleepParts } from "./run.ts";
import { openSnapshotDevice, SnapshotDevice, type SnapshotMode } from "./snapshot-device.ts";
import type { SystemState } from "./states.ts";
import { suspend } from "./suspend.ts";

/** What a system needs to sleep. */
export interface SystemSleepOptions {
  readonly platform: SleepPlatform;
  readonly clock: Clock;
  readonly tracer: Tracer;
  /** Registered at once, in this order. */
  readonly clients?: readonly PowerClient[];
  /** Where they differ from {@link defaultDeadlines}. */
  readonly deadlines?: Partial<SleepDeadlines>;
}

/** How a driver takes part. */
export interface ClientOptions {
  /** Default `call`. */
  readonly suspendPolicy?: SuspendPolicy;
  /** Its place on the notifier chain; higher is told first. Default 0. */
  readonly priority?: number;
}

/** Whether the image was taken for the firmware's S4 (mode `platform`). */
export interface ImageOptions {
  /** Default true. */
  readonly throughFirmware?: boolean;
}

/** A system that sleeps. One operation at a time: another one is refused with EBUSY. */
export class SystemSleep {
  readonly #parts: SleepParts;

  constructor({ platform, clock, tracer, clients = [], deadlines = {} }: SystemSleepOptions) {
    const bounds = { ...defaultDeadlines, ...deadlines };
    this.#parts = {
      platform,
      clock,
      tracer: unfailing(tracer),
      deadlines: bounds,
      devices: new DeviceList(bounds),
      chain: new NotifierChain(),
      overdue: new OverdueCalls(),
      system: { state: "awake", operation: undefined },
    };
    for (const client of clients) this.register(client);
  }

  /** Where the system is. */
  get state(): SystemState {
    return this.#parts.system.state;
  }

  /**
   * Adds a driver: frozen before and restored after those that are there. The returned function removes it, at any
   * time, also in the middle of a sleep; it hears nothing from then on, of the notifier chain first of all.
   */
  register(client: PowerClient, { suspendPolicy = "call", priority = 0 }: ClientOptions = {}): () => void {
    const { chain, devices, overdue } = this.#parts;
    const remove = devices.add(client, suspendPolicy);
    const unsubscribe = chain.subscribe(client, priority);
    return () => {
      unsubscribe();
      remove();
      overdue.forget(client.name);
    };
  }

  /** Adds someone who is told of sleeps but drives no device. The returned function removes it. */
  subscribe(subscriber: PowerSubscriber, priority: number = 0): () => void {
    const { chain, overdue } = this.#parts;
    const unsubscribe = chain.subscribe(subscriber, priority);
    return () => {
      unsubscribe();
      overdue.forget(subscriber.name);
    };
  }

  /** Hibernates. */
  async hibernate(options: HibernateOptions): Promise<SleepResult> {
    return this.#operate("hibernate", (run) => hibernate(run, options));
  }

  /** Sleeps in RAM. s2idle leaves the processors up, so it has no `pmTest` level below `platform`: EINVAL. */
  async suspend(target: SleepTarget, { pmTest }: { readonly pmTest?: PmTest } = {}): Promise<SleepResult> {
    if (target === "s2idle" && (pmTest === "processors" || pmTest === "core")) {
      throw new GpuError("EINVAL", `s2idle has no pm_test level ${pmTest}`, { device: SYSTEM });
    }
    return this.#operate(`suspend ${target}`, (run) => suspend(run, target, pmTest));
  }

  /** The boot kernel's side of a resume: loads the image and hands the machine over, or recovers and runs on. */
  async resumeFromImage({ throughFirmware = true }: ImageOptions = {}): Promise<SleepResult> {
    return this.#operate("resume-from-image", (run) => resumeFromImage(run, throughFirmware));
  }

  /**
   * The image kernel's side of a resume in a process that was started from the image: goes on behind the snapshot of
   * {@link hibernate}. Every registered driver counts as frozen.
   */
  async continueFromImage({ throughFirmware = true }: ImageOptions = {}): Promise<SleepResult> {
    return this.#operate("continue-from-image", (run) => continueFromImage(run, throughFirmware));
  }

  /** Opens `/dev/snapshot`: to make images (`read`), or to load one (`write`). Rejects with a driver's veto. */
  async openSnapshotDevice(mode: SnapshotMode): Promise<SnapshotDevice> {
    return openSnapshotDevice(this.#parts, mode);
  }

  /** {@link continueFromImage} for an image taken with {@link SnapshotDevice.createImage}: tasks are still frozen. */
  async continueSnapshotDevice({ throughFirmware = true }: ImageOptions = {}): Promise<SnapshotDevice> {
    const down: SleepStep[] = [];
    const frame = { operation: "continue-from-image", from: "awake", to: "open", down } as const;
    const opened = await operate(this.#parts, frame, async (run) => {
      await resumeAsImage(run, throughFirmware);
      return "resumed";
    });
    return new SnapshotDevice(this.#parts, { mode: "read", opened, down });
  }

  #operate(operation: string, way: Parameters<typeof operate>[2]): Promise<SleepResult> {
    return operate(this.#parts, { operation, from: "awake", to: "awake" }, way);
  }
}

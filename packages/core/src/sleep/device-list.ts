/**
 * The drivers in the order they were registered: Linux's dpm_list (drivers/base/power/main.c). Frozen from the last to
 * the first, restored from the first to the last.
 */
import {
  type FreezeMessage,
  GpuError,
  type PowerClient,
  type RestoreMessage,
  type RestoreProgress,
} from "../base/index.ts";
import type { SleepDeadlines } from "./deadline.ts";
import { asGpuError, type DeviceReport, type SleepLog } from "./log.ts";
import { undoMessage } from "./platform.ts";

/**
 * What S3 and s2idle do with a driver. `skip`: it is not called, as Linux's PCI layer does when the device has
 * No_Soft_Reset and keeps its state in D3hot. `call`: it is; a driver that verifies its device wants to.
 */
export type SuspendPolicy = "call" | "skip";

interface Entry {
  readonly client: PowerClient;
  readonly suspendPolicy: SuspendPolicy;
  /** Whether it gets a restore: its freeze has succeeded. */
  frozen: boolean;
  gone: boolean;
}

/** The list. It may change at any time, also during a sleep: a device that is gone is passed over. */
export class DeviceList {
  #entries: readonly Entry[] = [];
  readonly #deadlines: SleepDeadlines;

  constructor(deadlines: SleepDeadlines) {
    this.#deadlines = deadlines;
  }

  /** Adds a driver behind the others; the returned function removes it. */
  add(client: PowerClient, suspendPolicy: SuspendPolicy): () => void {
    if (this.#entries.some((other) => other.client.name === client.name)) {
      throw new GpuError("EINVAL", "a device of this name is registered; remove it first", { device: client.name });
    }
    const entry: Entry = { client, suspendPolicy, frozen: false, gone: false };
    this.#entries = [...this.#entries, entry];
    return () => {
      entry.gone = true;
      this.#entries = this.#entries.filter((other) => other !== entry);
    };
  }

  /** dpm_suspend(): freezes all, last to first, and stops at the first failure or at a wakeup event. */
  async freezeAll(log: SleepLog, message: FreezeMessage, wakeupPending: () => boolean): Promise<void> {
    for (const entry of this.#entries.toReversed()) {
      if (entry.gone || (message === "SUSPEND" && entry.suspendPolicy === "skip")) continue;
      try {
        await this.#freeze(entry, log, message, wakeupPending);
      } catch (error) {
        if (!entry.gone) throw error;
      }
    }
  }

  /** dpm_resume(): restores those that are frozen. All start in order, then their pictures are waited for together. */
  async restoreAll(log: SleepLog, message: RestoreMessage): Promise<void> {
    const frozen = this.#entries.filter((entry) => entry.frozen);
    await Promise.all(frozen.map((entry) => this.#restore(entry, log, message)));
  }

  /** device_shutdown(): last to first. */
  async shutdownAll(log: SleepLog): Promise<void> {
    for (const { client, gone } of this.#entries.toReversed()) {
      if (gone) continue;
      const { shutdownMs } = this.#deadlines;
      const work = (): Promise<void> => client.shutdown();
      await log.callAnyway({
        device: client.name,
        phase: "shutdown",
        deadlineMs: shutdownMs,
        work,
        lateIsHarmless: true,
      });
    }
  }

  /** The drivers of an image just restored were all frozen when it was taken. */
  adoptFrozen(): void {
    for (const entry of this.#entries) entry.frozen = true;
  }

  async #freeze(entry: Entry, log: SleepLog, message: FreezeMessage, wakeupPending: () => boolean): Promise<void> {
    const { client } = entry;
    const device = client.name;
    await log.call({
      device,
      phase: `freeze ${message}`,
      deadlineMs: this.#deadlines.freezeMs,
      work: async () => {
        if (wakeupPending()) throw new GpuError("EBUSY", "a wakeup event is pending", { device });
        await client.freeze(message);
        entry.frozen = true;
      },
      // It was given up, and the sleep with it; so nobody else will bring it back.
      undoLate: async () => {
        if (!entry.gone && entry.frozen) await this.#restore(entry, log, undoMessage[message]);
      },
    });
  }

  async #restore(entry: Entry, log: SleepLog, message: RestoreMessage): Promise<void> {
    if (entry.gone) return;
    const device = entry.client.name;
    entry.frozen = false;
    let progress: RestoreProgress | undefined;
    const picture = log.call({
      device,
      phase: `restore ${message}`,
      deadlineMs: this.#deadlines.pictureMs,
      lateIsHarmless: true,
      work: () => {
        progress = entry.client.restore(message);
        return progress.picture;
      },
    });
    if (progress !== undefined) log.completions.push(this.#follow(device, progress.complete, log));
    await picture.catch((error: unknown) => {
      const failure = asGpuError(error, device);
      log.lost.push({ device, error: failure });
      log.message(device, "error", `did not come back: ${failure.message}`);
    });
  }

  /** Listens to the rest of a restore; nothing of the sleep waits for it. */
  async #follow(device: string, complete: RestoreProgress["complete"], log: SleepLog): Promise<DeviceReport> {
    try {
      const report = await log.wait("the rest of the restore", device, this.#deadlines.completeMs, complete);
      for (const { object, reason } of report.lost) log.message(device, "warn", `${object} is lost: ${reason}`);
      return { device, report };
    } catch (error) {
      return { device, error: asGpuError(error, device) };
    }
  }
}

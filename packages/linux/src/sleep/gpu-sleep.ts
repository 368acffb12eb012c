/**
 * The machine's sleep, as this process's GPUs go through it: put down before, brought back after, whether the sleep came
 * about or failed. A sleep that fails leaves the device without bus mastering just the same.
 */
import { GpuError, type PowerClient, type RestoreReport } from "@virtgpu/core/base";

/** A GPU that sleeps. */
export interface SleepingGpu {
  readonly gpu: { readonly power: PowerClient };
}

/** What became of a GPU. */
export interface WokenGpu {
  readonly device: string;
  /** Null where the device did not come back. */
  readonly report: RestoreReport | null;
  readonly error: GpuError | null;
}

/** A way back that is under way. Neither promise rejects. */
export interface Waking {
  /** All lit outputs of all GPUs show what they showed, or never will. */
  readonly picture: Promise<void>;
  /** Everything is settled. */
  readonly complete: Promise<readonly WokenGpu[]>;
}

/** See the file's head. */
export class GpuSleep {
  readonly #gpus: readonly SleepingGpu[];
  #isFrozen = false;

  constructor(gpus: readonly SleepingGpu[]) {
    this.#gpus = gpus;
  }

  /** Whether the GPUs are put down. */
  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /**
   * Puts all GPUs down: nothing is with a device, and no device touches memory. Throws GpuError where one refuses (EPERM:
   * something could not be brought back) or hangs; then all of them are brought back.
   */
  async freeze(): Promise<void> {
    const powers = this.#gpus.map(({ gpu }) => gpu.power);
    this.#isFrozen = true;
    try {
      for (const power of powers) await power.notify("HIBERNATION_PREPARE");
      // The last one first, as a kernel does it.
      for (const power of powers.toReversed()) await power.freeze("FREEZE");
    } catch (error) {
      await this.restore().complete;
      throw error;
    }
  }

  /** Brings all GPUs back, whatever happened since {@link freeze}, or without one. */
  restore(): Waking {
    this.#isFrozen = false;
    const ways = this.#gpus.map(({ gpu }) => ({ power: gpu.power, progress: gpu.power.restore("RESTORE") }));
    const picture = Promise.allSettled(ways.map(({ progress }) => progress.picture)).then(() => {});
    const complete = Promise.all(
      ways.map(async ({ power, progress }): Promise<WokenGpu> => {
        const device = power.name;
        try {
          return { device, report: await progress.complete, error: null };
        } catch (error) {
          return { device, report: null, error: asGpuError(error, device) };
        } finally {
          await power.notify("POST_HIBERNATION");
        }
      }),
    );
    return { picture, complete };
  }
}

function asGpuError(error: unknown, device: string): GpuError {
  return error instanceof GpuError ? error : new GpuError("EIO", String(error), { device, cause: error });
}

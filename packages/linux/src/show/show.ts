/**
 * Shows pictures on the outputs of this machine's virtio GPUs until somebody ends it, and comes through every sleep:
 * its own, logind's, and those that nobody told of.
 */
import { GpuError } from "@virtgpu/core/base";
import { createNodeClock } from "../node-clock.ts";
import { type MemoryKind, type OpenGpu, listGpus, openGpu } from "../open-gpu.ts";
import {
  GpuSleep,
  type HibernationMode,
  LogindSleep,
  SleepWatch,
  type Waking,
  hibernate,
  readBootMs,
  rehearse,
} from "../sleep/index.ts";
import type { Way } from "../transport/index.ts";
import type { Picture } from "./fit.ts";
import { PictureWall, type Say } from "./picture-wall.ts";

/** What is shown, where, and how it sleeps. */
export interface ShowOptions {
  readonly pictures: readonly Picture[];
  /** PCI addresses; all GPUs that there are when empty. */
  readonly gpus: readonly string[];
  readonly way: Way;
  readonly memory?: MemoryKind | undefined;
  /** Light also outputs that nobody looks at. */
  readonly all: boolean;
  /** Hibernate once everything is shown; null not to. "as-is": as /sys/power/disk says. */
  readonly hibernate: HibernationMode | "as-is" | null;
  /** Go to sleep with systemd-logind: on the system's bus, or on the one at an address. */
  readonly logind: boolean | string;
  /** Ends by itself after so many milliseconds; null: never. */
  readonly durationMs: number | null;
}

/** Resolves to whether everything that was shown is still there. Throws GpuError; then everything was given back. */
export async function showPictures(
  options: ShowOptions,
  { say, signal }: { readonly say: Say; readonly signal: AbortSignal },
): Promise<boolean> {
  const opened = await openAll(options, say);
  try {
    const show = new Show(options, opened, say);
    return await show.run(signal);
  } finally {
    await closeAll(opened);
  }
}

async function openAll({ gpus, way, memory }: ShowOptions, say: Say): Promise<OpenGpu[]> {
  const addresses = gpus.length > 0 ? [...new Set(gpus)] : listGpus();
  if (addresses.length === 0) throw new GpuError("ENODEV", "there is no virtio GPU (PCI 1af4:1050) in this machine");
  const opened: OpenGpu[] = [];
  try {
    for (const address of addresses) {
      opened.push(await openGpu({ address, way, memory, onError: (error) => say(sentence(error)) }));
    }
    await rehearse(opened);
    return opened;
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
}

/** All of them, also when one can't be given back; then rejects. */
async function closeAll(opened: readonly OpenGpu[]): Promise<void> {
  const results = await Promise.allSettled(opened.map((each) => each.close()));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** One show. */
class Show {
  readonly #options: ShowOptions;
  readonly #opened: readonly OpenGpu[];
  readonly #say: Say;
  readonly #sleep: GpuSleep;
  readonly #wall: PictureWall;
  #isWhole = true;

  constructor(options: ShowOptions, opened: readonly OpenGpu[], say: Say) {
    const { pictures, all } = options;
    this.#options = options;
    this.#opened = opened;
    this.#say = say;
    this.#sleep = new GpuSleep(opened);
    this.#wall = new PictureWall({ gpus: opened.map(({ gpu }) => gpu), pictures, all, say });
  }

  async run(signal: AbortSignal): Promise<boolean> {
    const watch = this.#watch();
    const logind = this.#listenToLogind(watch);
    try {
      await this.#wall.arrange();
      const { pictures } = this.#options;
      const left = pictures.length - this.#wall.shown;
      if (left > 0) this.#say(`${left} of ${pictures.length} pictures wait for an output`);
      if (this.#options.hibernate !== null) await this.#hibernate(this.#options.hibernate, watch);
      await untilOver(signal, this.#options.durationMs);
      return this.#isWhole;
    } finally {
      logind?.close();
      watch.close();
      await this.#wall.close();
    }
  }

  async #hibernate(mode: HibernationMode | "as-is", watch: SleepWatch): Promise<void> {
    this.#say("hibernating");
    const { error, waking } = await hibernate(this.#sleep, mode === "as-is" ? null : mode);
    watch.forget();
    if (error !== null) {
      this.#isWhole = false;
      this.#say(`the kernel did not hibernate: ${error}${error === "ENODEV" ? " (is there swap for the image?)" : ""}`);
    }
    await this.#follow(waking);
  }

  #watch(): SleepWatch {
    let isBusy = false;
    const watch = new SleepWatch({
      clock: createNodeClock(),
      bootMs: readBootMs,
      isAsLeft: () => this.#sleep.isFrozen || isBusy || this.#opened.every((each) => each.isAsLeft()),
      onSleep: (sign) => {
        if (this.#sleep.isFrozen || isBusy) return;
        isBusy = true;
        this.#say(sign === "clock" ? "the machine slept, and nobody told" : "a device was reset behind its driver");
        void this.#follow(this.#sleep.restore()).finally(() => {
          isBusy = false;
          watch.forget();
        });
      },
    });
    return watch;
  }

  #listenToLogind(watch: SleepWatch): LogindSleep | null {
    const { logind } = this.#options;
    if (logind === false) return null;
    const client = {
      beforeSleep: async (): Promise<void> => {
        await this.#sleep.freeze();
        this.#say("put down for a sleep");
      },
      afterSleep: async (): Promise<void> => {
        watch.forget();
        await this.#follow(this.#sleep.restore());
      },
      onError: (error: unknown): void => this.#say(sentence(error)),
    };
    return new LogindSleep(client, logind === true ? null : logind);
  }

  /** Says what came back. */
  async #follow({ picture, complete }: Waking): Promise<void> {
    await picture;
    for (const { device, report, error } of await complete) {
      const lost = report?.lost ?? [];
      if (error !== null || lost.length > 0) this.#isWhole = false;
      if (error !== null) this.#say(error.message);
      else this.#say(`${device}: ${report?.outputs ?? 0} outputs and ${report?.restored ?? 0} objects are back`);
      for (const { object, reason } of lost) this.#say(`${device}: ${object} is lost: ${reason}`);
    }
  }
}

function untilOver(signal: AbortSignal, durationMs: number | null): Promise<void> {
  return new Promise((resolve) => {
    // The timer is what keeps the process alive: watched descriptors do not.
    const timer = setTimeout(resolve, Math.min(durationMs ?? DURATION_MAX_MS, DURATION_MAX_MS));
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

/** Node's timers go no further: 24 days. */
const DURATION_MAX_MS = 2 ** 31 - 1;

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

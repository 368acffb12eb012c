/** Puts the machine to sleep in any of the ways, and says what the kernel said. Kernel interface: /sys/power, /dev/snapshot. */
import { errnoName, type Sys } from "../../native/index.ts";
import { messageOf } from "../message-of.ts";
import type { SleepWay } from "../protocol.ts";
import { abortAfter } from "./abort-freeze.ts";
import { enterState } from "./power-state.ts";
import { forgetImages, runSnapshot } from "./snapshot-run.ts";
import { markAsSwap, swapsInUse, withoutSwap } from "./swaps.ts";
import { type PowerFileWay, sleepPlans } from "./ways.ts";
import { whileWakingBySerialPort } from "./wake-source.ts";

/** What a sleeper needs. */
export interface SleeperOptions {
  readonly sys: Sys;
  /** PCI addresses of the GPUs: an aborted freeze is aborted after the last of them. */
  readonly gpus: readonly string[];
  readonly say: (line: string) => void;
  /** The agent's serial port. */
  readonly port: string;
  /** Where /sys/power is. */
  readonly power?: string;
  /** Swap space in use: what /proc/swaps says, unless given. */
  readonly swaps?: () => Promise<readonly string[]>;
}

/** The sleep as it ended. */
export interface SleepEnd {
  /** Null: what was asked for happened. Else the name of the kernel's errno, or a sentence that begins with it. */
  readonly error: string | null;
  /** This is an image that another one has outlived, whose answer to the call has been given: nobody waits for this one's. */
  readonly isSecondLife: boolean;
}

/** The machine's sleeps, one after another. */
export class Sleeper {
  readonly #options: SleeperOptions;
  /** There may be images of /dev/snapshot on the swap disk. */
  #hasImages = false;
  /** Swap space may be taken by an image's pages that nobody gives back: a swapoff(2) would look for their owner for ever. */
  #hasStrandedPages = false;
  #wasInS3 = false;

  constructor(options: SleeperOptions) {
    this.#options = options;
  }

  /** Whether the machine has been in ACPI S3, or has tried. */
  get wasInS3(): boolean {
    return this.#wasInS3;
  }

  /**
   * Sleeps. Resolves in the machine that woke, or that never slept. `whileLive` is what a machine does that goes on for a
   * while after its images have been made; all that it did is lost when they wake.
   */
  async sleep(way: SleepWay, whileLive: () => Promise<void>): Promise<SleepEnd> {
    try {
      return await this.#sleep(way, whileLive);
    } catch (error) {
      return { error: errnoName(error) ?? messageOf(error), isSecondLife: false };
    }
  }

  async #sleep(way: SleepWay, whileLive: () => Promise<void>): Promise<SleepEnd> {
    if (this.#hasStrandedPages && WITHOUT_SWAP.includes(way)) {
      throw new Error(
        "EBUSY: the kernel has not given the swap space of an earlier image back, in this life nobody can",
      );
    }
    if (this.#hasImages) await forgetImages(this.#options.sys);
    this.#hasImages = way === "uswsusp-twice";
    this.#wasInS3 ||= way === "s3" || way === "hybrid";
    if (way === "uswsusp" || way === "uswsusp-twice") return runSnapshot(way, this.#options, whileLive);
    try {
      await sleepBy(way, this.#options);
      this.#hasStrandedPages ||= way === "hybrid";
    } catch (error) {
      this.#hasStrandedPages ||= way === "test-resume";
      throw error;
    } finally {
      if (way === "test-resume") for (const path of await swapsOf(this.#options)) markAsSwap(path);
    }
    return { error: null, isSecondLife: false };
  }
}

const swapsOf = ({ swaps = swapsInUse }: SleeperOptions): Promise<readonly string[]> => swaps();

/** Ways that begin with a swapoff(2). */
const WITHOUT_SWAP: readonly SleepWay[] = ["uswsusp", "uswsusp-twice", "abort-image"];

async function sleepBy(way: PowerFileWay, options: SleeperOptions): Promise<void> {
  const enter = (): Promise<void> => enterState(sleepPlans[way], options.power ?? "/sys/power");
  if (way === "abort-image") return withoutSwap(options.sys, await swapsOf(options), enter);
  if (way === "abort-freeze") return abortAfter(options.gpus, options, enter);
  // QEMU's clock rings no bell that an idle machine hears: it is woken by its power button, or by a byte on the port.
  if (way === "s2idle") return whileWakingBySerialPort(options.port, enter);
  return enter();
}

/** Page flips that go on all the time, also while the machine goes to sleep and wakes. */
import { setTimeout as delay } from "node:timers/promises";
import type { AgentGpu, GpuObject } from "./agent-gpu.ts";
import { messageOf } from "./message-of.ts";
import type { AgentCalls } from "./protocol.ts";

/** After a failed flip: no busy loop on a driver that refuses all. */
const PAUSE_AFTER_FAILURE_MS = 50;
/** For an end: a flip that has not come by then is left to itself. */
const END_MS = 3_000;

/** Flips between two objects that look the same. */
export class Flips {
  readonly #gpu: AgentGpu;
  readonly #output: number;
  readonly #makeTwins: () => Promise<readonly [GpuObject, GpuObject]>;
  #twins: readonly [GpuObject, GpuObject] | null = null;
  #loop: Promise<void> | null = null;
  #isOn = false;
  #flips = 0;
  #failed = 0;
  #reason: string | null = null;

  constructor(gpu: AgentGpu, output: number, makeTwins: () => Promise<readonly [GpuObject, GpuObject]>) {
    this.#gpu = gpu;
    this.#output = output;
    this.#makeTwins = makeTwins;
  }

  /** Begins, for the first time or with objects made anew. */
  async restart(): Promise<void> {
    this.#twins = await this.#makeTwins();
    this.#isOn = true;
    this.#loop = this.#run(this.#twins);
  }

  /** Stops; the objects are somebody else's care. */
  async pause(): Promise<void> {
    this.#isOn = false;
    await Promise.race([this.#loop, delay(END_MS, undefined, { ref: false })]);
    this.#twins = null;
  }

  /** Stops with the first object on the screen, and says what was done. */
  async end(): Promise<AgentCalls["flips"]["result"]> {
    const twins = this.#twins;
    await this.pause();
    if (twins !== null) {
      await this.#gpu.flip(this.#output, twins[0]).catch(() => this.#gpu.show(this.#output, twins[0]));
      await twins[1].free();
    }
    return { flips: this.#flips, failed: this.#failed, reason: this.#reason };
  }

  async #run(twins: readonly [GpuObject, GpuObject]): Promise<void> {
    let [next, other] = [twins[1], twins[0]];
    while (this.#isOn) {
      try {
        await this.#gpu.flip(this.#output, next);
        this.#flips += 1;
        [next, other] = [other, next];
      } catch (error) {
        this.#failed += 1;
        this.#reason ??= messageOf(error);
        await delay(PAUSE_AFTER_FAILURE_MS);
      }
    }
  }
}

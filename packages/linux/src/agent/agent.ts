/** What the agent does for each call: scenes on the GPUs of a driver, and sleeps of the machine. */
import { release } from "node:os";
import type { AgentGpuDriver } from "./agent-gpu.ts";
import { messageOf } from "./message-of.ts";
import type { AgentCall, AgentCalls, AgentDriver, SleepReply, SleepWay } from "./protocol.ts";
import type { AgentRequest } from "./requests.ts";
import { Scene } from "./scene.ts";
import type { SleepEnd } from "./sleep/sleeper.ts";
import type { TextConsole } from "./text-console.ts";

/** The agent's surroundings. */
export interface AgentParts {
  readonly driver: AgentDriver;
  readonly gpus: AgentGpuDriver;
  readonly log: { next(): readonly string[] };
  readonly textConsole: Pick<TextConsole, "write" | "read" | "isShown" | "enter" | "leave">;
  readonly fallAsleep: (way: SleepWay, whileLive: () => Promise<void>) => Promise<SleepEnd>;
  /** Lets the lab look at a machine that goes on after its images have been made. */
  readonly beLooked: () => Promise<void>;
  /** CLOCK_MONOTONIC in milliseconds. */
  readonly now: () => number;
}

/** What a call ended with; "nobody": this life has no one who waits for the answer. */
export type AgentAnswer = { readonly result: unknown } | "nobody";

type Handlers = {
  readonly [Call in AgentCall]: (given: AgentCalls[Call]["with"]) => Promise<AgentCalls[Call]["result"]>;
};

/** Answers calls. One at a time. */
export class Agent {
  readonly #parts: AgentParts;
  readonly #scenes: readonly Scene[];
  #remedy = false;
  #isSecondLife = false;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    this.#scenes = parts.gpus.gpus.map((gpu) => new Scene(gpu));
  }

  /** Does what is asked. Rejects with an error whose message is for the lab. */
  async answer(request: AgentRequest): Promise<AgentAnswer> {
    const handle: (given: never) => Promise<unknown> = this.#handlers[request.call];
    const result = await handle(request.with as never);
    if (!this.#isSecondLife) return { result };
    this.#isSecondLife = false;
    return "nobody";
  }

  readonly #handlers: Handlers = {
    hello: () => this.#hello(),
    scene: ({ gpu, ...request }) => this.#scene(gpu).draw(request),
    flips: ({ gpu, output, on }) => this.#scene(gpu).setFlips(output, on),
    show: ({ gpu, output, object }) => nothing(this.#scene(gpu).show(output, object)),
    redraw: ({ gpu }) => nothing(this.#scene(gpu).redraw()),
    draw: async ({ gpu, object, seed }) => ({ sha256: await this.#scene(gpu).paint(object, seed) }),
    hashes: async ({ gpu }) => ({ objects: this.#scene(gpu).hashes() }),
    clear: ({ gpu }) => nothing(this.#scene(gpu).clear()),
    outputs: async ({ gpu }) => ({ outputs: await this.#scene(gpu).gpu.outputs() }),
    sleep: ({ way }) => this.#sleep(way),
    console: (given) => this.#giveToConsole(given),
    remedy: ({ on }) => nothing(this.#setRemedy(on)),
    log: async () => ({ lines: this.#parts.log.next() }),
    hang: ({ milliseconds }) => nothing(this.#hang(milliseconds)),
    finish: () => nothing(this.#finish()),
  };

  #scene(gpu = 0): Scene {
    const scene = this.#scenes[gpu];
    if (scene === undefined) throw new Error(`EINVAL: there is no GPU ${gpu}, only ${this.#scenes.length}`);
    return scene;
  }

  async #hello(): Promise<AgentCalls["hello"]["result"]> {
    const { driver, gpus } = this.#parts;
    const outputs = await this.#scene().gpu.outputs();
    return {
      kernel: release(),
      driver,
      way: gpus.way,
      gpus: gpus.gpus.map(({ address }) => address),
      outputs: outputs.map(({ name, connected }) => ({ name, connected })),
    };
  }

  async #setRemedy(on: boolean): Promise<void> {
    const set = this.#parts.gpus.setRemedy;
    if (set === undefined) throw new Error("ENOTSUP: unbinding is a remedy for the kernel's driver, ours needs none");
    await set(on);
    this.#remedy = on;
  }

  async #giveToConsole({ isGiven, write }: AgentCalls["console"]["with"]): Promise<AgentCalls["console"]["result"]> {
    const { gpu } = this.#scene();
    const { textConsole } = this.#parts;
    if (gpu.setMaster === undefined) throw new Error("ENOTSUP: our driver leaves no output to the text console");
    if (write !== undefined) textConsole.write(write);
    if (isGiven) {
      const isShown = await textConsole.isShown();
      textConsole.leave();
      await gpu.setMaster(false);
      await textConsole.enter();
      return { lines: textConsole.read(), isShown };
    }
    textConsole.leave();
    await gpu.setMaster(true);
    await gpu.redraw();
    return { lines: textConsole.read(), isShown: false };
  }

  async #hang(milliseconds: number): Promise<void> {
    const hang = this.#parts.gpus.hang;
    if (hang === undefined) throw new Error("ENOTSUP: the kernel's driver can't be kept from its device");
    await hang(milliseconds);
  }

  async #finish(): Promise<void> {
    for (const scene of this.#scenes) await scene.clear().catch(() => undefined);
    await this.#parts.gpus.close();
  }

  async #sleep(way: SleepWay): Promise<SleepReply> {
    const { gpus, fallAsleep, now } = this.#parts;
    const refusal = await this.#beforeSleep().then(
      () => null,
      (error: unknown) => messageOf(error),
    );
    const end =
      refusal === null ? await fallAsleep(way, () => this.#liveOn()) : { error: refusal, isSecondLife: false };
    this.#isSecondLife = end.isSecondLife;
    const returned = now();
    const report = await gpus.afterSleep(now);
    const times = report.anew ? await this.#drawAnew() : report;
    const since = (time: number | null): number | null => (time === null ? null : Math.max(0, time - returned));
    const { restored, lost, problems } = report;
    return {
      error: end.error,
      picture: since(times.picture),
      complete: since(times.complete),
      restored,
      lost,
      problems,
    };
  }

  async #beforeSleep(): Promise<void> {
    if (this.#remedy) for (const scene of this.#scenes) await scene.pauseFlips();
    await this.#parts.gpus.beforeSleep();
  }

  /** The machine goes on as after any sleep, is looked at, and sleeps for good. */
  async #liveOn(): Promise<void> {
    const { gpus, now, beLooked } = this.#parts;
    const report = await gpus.afterSleep(now);
    if (report.anew) await this.#drawAnew();
    await beLooked();
    await this.#beforeSleep();
  }

  async #drawAnew(): Promise<{ readonly picture: number; readonly complete: number }> {
    const { now } = this.#parts;
    const rests: (() => Promise<void>)[] = [];
    for (const scene of this.#scenes) rests.push(await scene.showAnew());
    const picture = now();
    for (const rest of rests) await rest();
    return { picture, complete: now() };
  }
}

async function nothing(done: Promise<unknown>): Promise<Record<string, never>> {
  await done;
  return {};
}

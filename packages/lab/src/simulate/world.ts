/**
 * Two machines on one clock, and a schedule that happens to them. After each event what can be known at once is checked;
 * where nothing is open, everything is.
 */
import { SeededRandom, SimulationStuck, VirtualClock } from "@virtgpu/core/sim";
import type { Coverage } from "./coverage.ts";
import { demand, SimulationFailure } from "./failure.ts";
import { Guest } from "./guest.ts";
import { inspect } from "./inspect.ts";
import { quiet } from "./quiet.ts";
import type { Pause, Schedule, SimEvent } from "./schedule.ts";

/** Timers that a world of two machines never needs more of. */
const TIMERS_MAX = 1000;

/** What a run of a schedule came to. */
export interface Outcome {
  /** What must not be, or null. */
  readonly failure: SimulationFailure | null;
  /** The event after which it showed, from 0 on; the number of events when it was at the end. */
  readonly at: number;
  /** Virtual milliseconds that passed. */
  readonly ms: number;
}

/** For continuations of promises: resolves when none is left to run, for Node serves this queue then, at once. */
const turn = (): Promise<void> =>
  new Promise((resolve) => {
    process.nextTick(resolve);
  });

/** Gives the event loop a turn: rejections that nobody took are told of then. */
const breathe = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** Runs a schedule from its start. Never rejects. */
export async function runSchedule(schedule: Schedule, coverage: Coverage): Promise<Outcome> {
  const world = new World(schedule, coverage);
  const stray = (error: unknown): void => world.fail(error);
  process.on("unhandledRejection", stray);
  try {
    // From here on all is a continuation: what `turn` leans on.
    await Promise.resolve();
    await world.run();
    return { failure: null, at: schedule.events.length, ms: world.clock.nowMs() };
  } catch (error) {
    return { failure: asFailure(error), at: world.at, ms: world.clock.nowMs() };
  } finally {
    process.off("unhandledRejection", stray);
  }
}

function asFailure(error: unknown): SimulationFailure {
  if (error instanceof SimulationFailure) return error;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const failure = new SimulationFailure(text);
  failure.cause = error;
  return failure;
}

class World {
  readonly clock: VirtualClock = new VirtualClock({ turn });
  at = 0;
  readonly #schedule: Schedule;
  readonly #guests: readonly Guest[];
  #failure: { readonly error: unknown } | null = null;

  constructor(schedule: Schedule, coverage: Coverage) {
    const random = new SeededRandom(schedule.seed);
    this.#schedule = schedule;
    this.#guests = schedule.machines.map((plan, index) => {
      const { clock } = this;
      const fail = (error: unknown): void => this.fail(error);
      return new Guest({ index, plan, clock, random: random.fork(`machine ${index}`), coverage, fail });
    });
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
  }

  async run(): Promise<void> {
    for (const guest of this.#guests) await this.clock.run(guest.start());
    for (const guest of this.#guests) await this.#quiet(guest);
    for (const event of this.#schedule.events) {
      await this.#happen(event);
      this.at += 1;
    }
    for (const guest of this.#guests) await this.#quiet(guest);
    for (const guest of this.#guests) await this.#end(guest);
  }

  async #happen({ machine, deed, pause }: SimEvent): Promise<void> {
    const guest = this.#guests[machine];
    demand(guest !== undefined, `there is no machine ${machine}`);
    if (deed.op === "check") await this.#quiet(guest);
    else guest.perform(deed);
    await this.#pause(pause);
    await breathe();
    this.#check();
    if (pause.kind !== "links") for (const each of this.#guests) glance(each);
    demand(this.clock.timers < TIMERS_MAX, `${this.clock.timers} timers are set: a leak`);
  }

  async #pause(pause: Pause): Promise<void> {
    if (pause.kind === "settle") return this.clock.settle();
    if (pause.kind === "ms") return this.clock.advance(pause.ms);
    for (let link = 0; link < pause.links; link += 1) await Promise.resolve();
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  async #quiet(guest: Guest): Promise<void> {
    try {
      await quiet(guest, this.clock, () => this.#check());
    } catch (error) {
      if (!(error instanceof SimulationFailure) || error.message.startsWith("machine ")) throw error;
      if (error instanceof SimulationStuck) throw error;
      throw new SimulationFailure(`machine ${guest.index}: ${error.message}`);
    }
  }

  /** The driver lets go: nothing is left of it. */
  async #end(guest: Guest): Promise<void> {
    const { boot } = guest;
    demand(boot !== null && boot.gpu !== null, "the machine is up at its end");
    await this.clock.run(boot.gpu.remove());
    await this.clock.settle();
    const { sim } = boot;
    sim.assertClean();
    sim.dma.assertBalanced();
    sim.allocator.assertNoLeak([...boot.lenders.values()].map(({ pages }) => pages));
    demand(boot.operations.size === 0, "somebody still waits for a driver that was removed");
    boot.end();
    this.#check();
  }
}

/** What is always so; and, where nothing is open and anything was done since the last look, everything. */
function glance(guest: Guest): void {
  const { boot } = guest;
  if (boot === null || boot.isOver) return;
  boot.sim.assertClean();
  // Without interrupts it takes a while until the driver knows what is done.
  if (guest.isDisturbed || guest.plan.polled || boot.operations.size > 0 || boot.gpu === null) return;
  if (!guest.hasChanged()) return;
  try {
    inspect(guest);
  } catch (error) {
    if (error instanceof SimulationFailure) throw new SimulationFailure(`machine ${guest.index}: ${error.message}`);
    throw error;
  }
}

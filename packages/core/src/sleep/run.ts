/**
 * One operation of the sleep code: the steps it has taken down, the way back up, and the log of both. The ways
 * themselves are in hibernate.ts and suspend.ts.
 */
import {
  type Clock,
  type FreezeMessage,
  GpuError,
  type PowerEvent,
  type RestoreMessage,
  type Tracer,
} from "../base/index.ts";
import type { OverdueCalls, SleepDeadlines } from "./deadline.ts";
import type { DeviceList } from "./device-list.ts";
import { SleepLog, SYSTEM } from "./log.ts";
import type { Deliver, NotifierChain } from "./notifier-chain.ts";
import {
  PARTIAL_STEPS,
  type PmTest,
  type SleepPlatform,
  type SleepStep,
  type StepHandler,
  undoMessage,
  type Wake,
  type WayDown,
} from "./platform.ts";
import { move, type SystemState } from "./states.ts";

/** The parts of a system that every operation works on. */
export interface SleepParts {
  readonly platform: SleepPlatform;
  readonly devices: DeviceList;
  readonly chain: NotifierChain;
  readonly overdue: OverdueCalls;
  readonly deadlines: SleepDeadlines;
  readonly clock: Clock;
  readonly tracer: Tracer;
  /** Shared by all operations: where the system is, and which operation runs. */
  readonly system: { state: SystemState; operation: string | undefined };
}

/** What a call of the machine that is no step with a way back needs. */
export interface VerbOptions {
  readonly deadlineMs?: number;
  readonly undoLate?: () => Promise<void>;
}

/** An operation under way. */
export class SleepRun {
  readonly parts: SleepParts;
  readonly log: SleepLog;
  /** What ended the last sleep in RAM. */
  wake: Wake | undefined;
  readonly #operation: string;
  readonly #down: SleepStep[];

  /** `down`: steps that stay down between operations (`/dev/snapshot`); the array is kept up to date. */
  constructor(operation: string, parts: SleepParts, down: SleepStep[] = []) {
    this.#operation = operation;
    this.parts = parts;
    this.log = new SleepLog(parts);
    this.#down = down;
  }

  /** The machine. */
  get platform(): SleepPlatform {
    return this.parts.platform;
  }

  /** Moves the system to another state. */
  enter(to: SystemState): void {
    const { system, tracer } = this.parts;
    const from = system.state;
    system.state = move(from, to);
    if (from === to || !tracer.enabled) return;
    tracer.trace({ kind: "state", device: SYSTEM, from, to, event: this.#operation });
  }

  /** Tells the chain that a sleep begins; throws the veto, after those told before it were told `post`. */
  async prepare(event: PowerEvent, post: PowerEvent): Promise<void> {
    await this.parts.chain.callRobust(event, post, this.#deliver(post));
  }

  /** Tells the chain that the sleep is over. */
  async post(event: PowerEvent): Promise<void> {
    await this.parts.chain.call(event, this.#deliver(undefined));
  }

  /** Takes one step down; nothing if it is down already. A failed step is down only if it may have done a part. */
  async down(step: SleepStep, message: FreezeMessage): Promise<void> {
    if (this.isDown(step)) return;
    const handler = this.#handler(step);
    const undoLate = async (): Promise<void> => handler.backward?.(undoMessage[message]);
    try {
      await this.log.call({
        device: SYSTEM,
        phase: step,
        ...this.#bound(step),
        work: async () => {
          if (step === "late" || step === "noirq") this.#refuseIfWoken();
          await handler.forward?.(message);
        },
        undoLate,
      });
      this.#down.push(step);
    } catch (error) {
      if (PARTIAL_STEPS.has(step)) this.#down.push(step);
      throw error;
    }
  }

  /** Takes one step back; nothing if it is not down. Its failure is recorded and stops nothing. */
  async up(step: SleepStep, message: RestoreMessage): Promise<void> {
    const at = this.#down.lastIndexOf(step);
    if (at < 0) return;
    this.#down.splice(at, 1);
    const handler = this.#handler(step);
    const work = async (): Promise<void> => handler.backward?.(message);
    await this.log.callAnyway({ device: SYSTEM, phase: `undo ${step}`, ...this.#bound(step), work });
  }

  /** Whether the step is down. */
  isDown(step: SleepStep): boolean {
    return this.#down.includes(step);
  }

  /** Goes a way down. True if it turned back at the level of `pmTest`; throws at the first step that fails. */
  async descend(way: WayDown, message: FreezeMessage, pmTest?: PmTest): Promise<boolean> {
    this.enter("freezing");
    for (const [step, turnsBackAt] of way) {
      try {
        await this.down(step, message);
      } catch (error) {
        // dpm_suspend_end() undoes itself, with a message of its own; the phases above follow with the caller's.
        if (step === "noirq") await this.up("late", undoMessage[message]);
        throw error;
      }
      if (pmTest !== undefined && turnsBackAt === pmTest) return true;
    }
    return false;
  }

  /** Goes back up: each of `order` that is down, except those in `kept`. */
  async ascend(order: readonly SleepStep[], message: RestoreMessage, kept: readonly SleepStep[] = []): Promise<void> {
    for (const step of order) if (!kept.includes(step)) await this.up(step, message);
  }

  /** The end of every sleep: what is left comes back, tasks last, and everyone is told. */
  async wakeUp(post: PowerEvent, message: RestoreMessage): Promise<void> {
    this.enter("waking");
    await this.ascend(["image-memory", "image-load", "allocations", "kernel-threads", "tasks"], message);
    await this.post(post);
  }

  /** From here on this is the kernel of an image: down is what was down when it was taken. */
  becomeImage(down: readonly SleepStep[]): void {
    this.#down.splice(0, this.#down.length, ...down);
    this.parts.devices.adoptFrozen();
  }

  /** The look at wakeup events with everything down: throws EBUSY if one is pending. */
  async lastCheck(): Promise<void> {
    await this.verb("wakeup-check", async () => this.#refuseIfWoken());
  }

  /** The one step without a way back. */
  async syncFilesystems(): Promise<void> {
    const { imageMs: deadlineMs } = this.parts.deadlines;
    await this.verb("filesystems", () => this.platform.syncFilesystems(), { deadlineMs });
  }

  /** Has the machine do something. Without a deadline: the machine itself stands still meanwhile. */
  async verb<T>(phase: string, work: () => Promise<T>, options: VerbOptions = {}): Promise<T> {
    return this.log.call({ device: SYSTEM, phase, work: async () => work(), ...options });
  }

  /** The image on disk is stale; a failure leaves a warning, as in Linux. */
  async discardImage(): Promise<void> {
    const work = (): Promise<void> => this.platform.discardImage();
    const { stepMs: deadlineMs } = this.parts.deadlines;
    await this.log.callAnyway({ device: SYSTEM, phase: "discard-image", deadlineMs, work });
  }

  #refuseIfWoken(): void {
    if (this.platform.wakeupPending()) throw new GpuError("EBUSY", "a wakeup event is pending", { device: SYSTEM });
  }

  #handler(step: SleepStep): StepHandler {
    const { devices, platform } = this.parts;
    if (step !== "devices") return platform.steps[step] ?? {};
    return {
      forward: (message) => devices.freezeAll(this.log, message, () => platform.wakeupPending()),
      backward: (message) => devices.restoreAll(this.log, message),
    };
  }

  /** The phase of the devices has a deadline for each device instead. */
  #bound(step: SleepStep): { readonly deadlineMs?: number } {
    const { stepMs, imageMs } = this.parts.deadlines;
    if (step === "devices") return {};
    return { deadlineMs: step === "image-load" || step === "image-memory" ? imageMs : stepMs };
  }

  /** Brings an event to a subscriber; a `*_PREPARE` that gets through after it was given up is followed by its `post`. */
  #deliver(post: PowerEvent | undefined): Deliver {
    return async (subscriber, event, isGone) => {
      const { notifyMs: deadlineMs } = this.parts.deadlines;
      const undoLate = async (): Promise<void> => {
        if (post !== undefined && event !== post && !isGone()) await subscriber.notify(post);
      };
      const work = (): Promise<void> => subscriber.notify(event);
      await this.log.call({ device: subscriber.name, phase: `notify ${event}`, deadlineMs, work, undoLate });
    };
  }
}

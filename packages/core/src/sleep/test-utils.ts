/**
 * Stand-ins for tests of whatever sleeps: a machine and drivers that write down every call, fail where they are told to,
 * and hold the sleep code to its contract. Stricter than the real ones: what is undone twice, or never done, is a
 * violation.
 */
import type {
  FreezeMessage,
  PowerClient,
  PowerEvent,
  RestoreMessage,
  RestoreProgress,
  RestoreReport,
} from "../base/index.ts";
import { PARTIAL_STEPS, type PlatformStep, type SleepPlatform, type StepHandler, type Wake } from "./platform.ts";

/** Every step of the machine. */
export const platformSteps: readonly PlatformStep[] = [
  "tasks",
  "platform-begin",
  "image-memory",
  "image-load",
  "kernel-threads",
  "device-prepare",
  "console",
  "allocations",
  "late",
  "noirq",
  "platform-prepare",
  "cpus",
  "syscore",
];

/** Steps that Linux undoes earlier or later than in the reverse order. */
const outOfOrder: ReadonlySet<PlatformStep> = new Set<PlatformStep>([
  "image-memory",
  "image-load",
  "kernel-threads",
  "allocations",
]);

/** Calls by name, each with what it shall do instead of succeeding: an error to reject with, or `hang`. */
export type FaultPlan = Map<string, Error | "hang">;

/** What all stand-ins of one test share. */
export class CallLog {
  /** Every call in order: `tasks`, `undo tasks`, `gpu: freeze FREEZE`, ... */
  readonly calls: string[] = [];
  /** Breaches of the contract. */
  readonly violations: string[] = [];
  /** By call name. A fault stays until it is taken out. */
  readonly faults: FaultPlan = new Map();
  /** Fails the call of this number, counted from 0, once. */
  failCall: { readonly at: number; readonly error: Error } | undefined;
  /** Called before each call is answered, with its name. */
  onCall: (name: string) => void = () => {};
  readonly #releases = new Map<string, (end: "success" | Error) => void>();

  /** Writes the call down and does what the plan says. */
  async call(name: string): Promise<void> {
    this.calls.push(name);
    this.onCall(name);
    const { failCall } = this;
    const fault = failCall?.at === this.calls.length - 1 ? failCall.error : this.faults.get(name);
    if (fault === undefined) return;
    if (fault !== "hang") throw fault;
    await new Promise<void>((resolve, reject) => {
      this.#releases.set(name, (end) => (end === "success" ? resolve() : reject(end)));
    });
  }

  /** Ends a call that hangs. */
  release(name: string, end: "success" | Error = "success"): void {
    const release = this.#releases.get(name);
    if (release === undefined) throw new RangeError(`${name} does not hang`);
    this.#releases.delete(name);
    this.faults.delete(name);
    release(end);
  }

  /** The calls to drivers and subscribers only. */
  toClients(): readonly string[] {
    return this.calls.filter((call) => call.includes(": "));
  }

  /** The calls since the last `take`, which start anew. */
  take(): readonly string[] {
    return this.calls.splice(0);
  }
}

/** A machine that knows what is down. */
export class RecordingMachine implements SleepPlatform {
  readonly steps: { readonly [step in PlatformStep]?: StepHandler };
  readonly log: CallLog;
  /** What is down right now, in the order it went down. */
  readonly held: PlatformStep[] = [];
  /** Each way back with its message: `late RECOVER`, ... */
  readonly messages: string[] = [];
  /** Answers of {@link snapshot}. */
  world: "snapshotted" | "resumed" = "snapshotted";
  #wakeupAt: string | undefined;
  #image: readonly PlatformStep[] = [];

  constructor(log: CallLog) {
    this.log = log;
    this.steps = Object.fromEntries(platformSteps.map((step) => [step, this.#handler(step)]));
  }

  /** A wakeup event is pending once `call` stands in the log; undefined: none comes. */
  setWakeup(call: string | undefined): void {
    this.#wakeupAt = call;
  }

  wakeupPending(): boolean {
    return this.#wakeupAt !== undefined && this.log.calls.includes(this.#wakeupAt);
  }

  syncFilesystems(): Promise<void> {
    return this.log.call("filesystems");
  }

  async snapshot(): Promise<"snapshotted" | "resumed"> {
    this.#image = [...this.held];
    await this.log.call("snapshot");
    return this.world;
  }

  writeImage(): Promise<void> {
    return this.log.call("write-image");
  }

  discardImage(): Promise<void> {
    return this.log.call("discard-image");
  }

  async enterSleep(target: "mem" | "s2idle"): Promise<Wake> {
    await this.log.call(`enter ${target}`);
    return { source: "rtc" };
  }

  powerOff(mode: "platform" | "shutdown" | "reboot"): Promise<void> {
    return this.log.call(`power-off ${mode}`);
  }

  /** The image's memory replaces this machine's, and with it what it knows to be down. */
  async jumpToImage(): Promise<void> {
    await this.log.call("jump");
    this.held.splice(0, this.held.length, ...this.#image);
  }

  /** Makes a machine that was just restored from an image. */
  becomeImage(held: readonly PlatformStep[]): void {
    this.held.splice(0, this.held.length, ...held);
  }

  #handler(step: PlatformStep): StepHandler {
    const { held, log, messages } = this;
    return {
      forward: async () => {
        if (held.includes(step)) log.violations.push(`${step} went down twice`);
        // A step of which a part may be done counts as down even if it fails; the others undo themselves.
        if (PARTIAL_STEPS.has(step)) held.push(step);
        await log.call(step);
        if (!PARTIAL_STEPS.has(step)) held.push(step);
      },
      backward: async (message) => {
        messages.push(`${step} ${message}`);
        const at = held.lastIndexOf(step);
        if (at < 0) log.violations.push(`${step} came back without being down`);
        const above = held.slice(at + 1).filter((other) => !outOfOrder.has(other));
        if (above.length > 0 && !outOfOrder.has(step))
          log.violations.push(`${step} came back below ${above.join(", ")}`);
        if (at >= 0) held.splice(at, 1);
        await log.call(`undo ${step}`);
      },
    };
  }
}

const restoredReport: RestoreReport = { restored: 1, lost: [], outputs: 1 };

/** A driver that holds the sleep code to `PowerClient`'s contract. */
export class RecordingClient implements PowerClient {
  readonly name: string;
  /** The calls that reached it, without its name. */
  state: "awake" | "freezing" | "frozen" = "awake";
  /** PREPAREs without their POST. */
  prepared: number = 0;
  readonly #log: CallLog;

  constructor(name: string, log: CallLog) {
    this.name = name;
    this.#log = log;
  }

  async notify(event: PowerEvent): Promise<void> {
    // A POST counts even if it fails: there is no other.
    if (event.startsWith("POST_")) this.prepared -= 1;
    await this.#log.call(`${this.name}: notify ${event}`);
    if (event.endsWith("_PREPARE")) this.prepared += 1;
    if (this.prepared < 0 || this.prepared > 1) this.#violation(`${event} leaves ${this.prepared} preparations`);
  }

  async freeze(message: FreezeMessage): Promise<void> {
    if (this.state !== "awake") this.#violation(`freeze ${message} while ${this.state}`);
    this.state = "freezing";
    try {
      await this.#log.call(`${this.name}: freeze ${message}`);
      this.state = "frozen";
    } catch (error) {
      this.state = "awake";
      throw error;
    }
  }

  restore(message: RestoreMessage): RestoreProgress {
    if (this.state !== "frozen") this.#violation(`restore ${message} while ${this.state}`);
    this.state = "awake";
    const picture = this.#log.call(`${this.name}: restore ${message}`);
    return { picture, complete: picture.then(() => restoredReport) };
  }

  shutdown(): Promise<void> {
    return this.#log.call(`${this.name}: shutdown`);
  }

  #violation(sentence: string): void {
    this.#log.violations.push(`${this.name}: ${sentence}`);
  }
}

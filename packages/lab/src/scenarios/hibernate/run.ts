/**
 * The main job: a machine process draws, sleeps and is gone; another one gets nothing but the image; and what the host
 * shows and holds then is compared with what there was. Whoever runs this keeps hashes and pictures, nothing else.
 */
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import type { UnrecoverablePolicy } from "@virtgpu/core/driver";
import type { Fault } from "../../guests/machine/faults.ts";
import { type MachineExit, MachineHandle } from "../../guests/machine/machine-handle.ts";
import {
  type Inventory,
  MachineError,
  type Message,
  type OrderedPicture,
  type PhaseMark,
  type Slept,
} from "../../guests/machine/protocol.ts";
import type { Hardware } from "../../hosts/machine.ts";
import { type Comparison, compareInventories, type Remembered, remember } from "./compare.ts";
import type { SleepWay } from "./ways.ts";

/** What is to be done. */
export interface RunPlan {
  readonly hardware: Hardware;
  /** One an output; null: a desktop is drawn. */
  readonly pictures: readonly (OrderedPicture | null)[];
  /** Off-screen buffers besides the few that there always are. */
  readonly objects: number;
  readonly way: SleepWay;
  /** Its name in SLEEP_WAYS. */
  readonly wayName: string;
  /** SIGKILL instead of a power-off, or in the middle of a sleep in RAM. */
  readonly hard: boolean;
  readonly faults: readonly Fault[];
  readonly policy: UnrecoverablePolicy;
  /** Something runs that can't be brought back, for the policy to act on. */
  readonly game: boolean;
  /** How many sleeps, one after the other. */
  readonly cycles: number;
  /** Where the image goes. */
  readonly image: string;
  /** Begins with this image instead of a machine that draws; null: it does not. */
  readonly resume: { readonly image: string; readonly before: Remembered } | null;
  /** Where the trace goes, and what errors call it; null: there is none. */
  readonly trace: { readonly path: string; readonly name: string } | null;
}

/** What is told while it goes on. */
export interface RunWatcher {
  /** A stage begins: for people. */
  stage(title: string): void;
  /** The stage comes along. */
  progress(what: string, done: number, total: number): void;
  /** Something worth a line. */
  note(text: string): void;
}

/** One sleep and what came of it. */
export interface Cycle {
  /** Null: nobody saw it, this run began with an image. */
  readonly before: Inventory | null;
  readonly after: Inventory | null;
  readonly comparison: Comparison | null;
  /** What the operation that went to sleep came to; null where its process was killed. */
  readonly slept: Slept | null;
  /** What the new process's restore came to; null where there is none. */
  readonly restored: Slept | null;
  readonly exit: MachineExit | null;
  /** Frames shown before the sleep, in all. */
  readonly frames: number;
  /** Whether frames flow again. */
  readonly flows: boolean;
}

/** A mark with its time since the epoch, and which process it is of (from 1). */
export interface RunMark extends PhaseMark {
  readonly process: number;
  readonly epochMs: number;
}

/** A machine process. Times are milliseconds since the epoch. */
export interface RunProcess {
  readonly pid: number;
  readonly role: string;
  /** Where its clock began. */
  readonly epochMs: number;
  readonly endedAtMs: number | null;
  readonly exit: string | null;
}

/** See the file's head. */
export interface RunOutcome {
  readonly host: { readonly name: string; readonly version: string | null };
  readonly cycles: readonly Cycle[];
  readonly marks: readonly RunMark[];
  /** The commands of each sleep and restore, with the process (from 1) whose they are. */
  readonly commands: readonly { readonly process: number; readonly slept: Slept["commands"] }[];
  readonly processes: readonly RunProcess[];
  /** Why it came to nothing; null: it did not. */
  readonly error: Error | null;
  /** Why the trace is not whole; null: it is, or there is none. */
  readonly traceError: Error | null;
  readonly startedAt: number;
  readonly endedAt: number;
}

const MIB = 1 << 20;
/** For how long frames flow before the first sleep. */
const FLOW_MS = 400;
const EXIT_MS = 20_000;

/** Runs it, unless `signal` ends it. What goes wrong with the machine is in the outcome; mistakes in the plan are thrown as UsageError. */
export async function runHibernation(
  plan: RunPlan,
  watcher: RunWatcher,
  signal: AbortSignal = new AbortController().signal,
): Promise<RunOutcome> {
  const run = new Run(plan, watcher);
  const interrupt = (): void => run.interrupt();
  signal.addEventListener("abort", interrupt);
  let error: Error | null = null;
  try {
    await run.go();
  } catch (failure) {
    if (!(failure instanceof Error)) throw failure;
    error = failure;
  } finally {
    signal.removeEventListener("abort", interrupt);
    await run.end();
  }
  if (signal.aborted) error = new MachineError("ECANCELED", "interrupted");
  const { host, cycles, marks, commands, processes, traceError, startedAt } = run;
  return { host, cycles, marks, commands, processes, error, traceError, startedAt, endedAt: Date.now() };
}

class Run {
  host: RunOutcome["host"] = { name: "unknown", version: null };
  readonly cycles: Cycle[] = [];
  readonly marks: RunMark[] = [];
  readonly commands: { process: number; slept: Slept["commands"] }[] = [];
  readonly processes: RunProcess[] = [];
  readonly startedAt: number = Date.now();
  traceError: MachineError | null = null;
  readonly #plan: RunPlan;
  readonly #watcher: RunWatcher;
  #machine: MachineHandle | null = null;
  #isInterrupted = false;
  #frozen: Extract<Message, { message: "frozen" }> | null = null;

  constructor(plan: RunPlan, watcher: RunWatcher) {
    this.#plan = plan;
    this.#watcher = watcher;
  }

  async go(): Promise<void> {
    const { hardware, pictures, objects, game, cycles, resume } = this.#plan;
    if (resume !== null) {
      this.cycles.push(await this.#resume(resume));
      return;
    }
    this.#watcher.stage("switch a machine on");
    await this.#powerOn(null);
    this.#watcher.stage("draw a scene, and let frames flow");
    const outputs = hardware.outputs.map(({ width, height }, index) => ({
      width,
      height,
      picture: pictures[index] ?? null,
    }));
    await this.#running.order({ order: "draw", outputs, objects, game });
    await new Promise((resolve) => setTimeout(resolve, FLOW_MS));
    for (let cycle = 1; cycle <= cycles; cycle += 1) {
      this.cycles.push(await this.#cycle(cycles === 1 ? "" : ` (${cycle} of ${cycles})`));
    }
  }

  /** Ends the machine at once; whoever waits for it hears so. */
  interrupt(): void {
    this.#isInterrupted = true;
    void this.#machine?.kill();
  }

  /** Whatever is still there is ended. */
  async end(): Promise<void> {
    const machine = this.#machine;
    this.#machine = null;
    if (machine === null) return;
    try {
      await machine.order({ order: "off" });
      await withinMs(machine.exited, EXIT_MS);
    } catch {
      await machine.kill();
    }
  }

  async #resume({ image, before }: NonNullable<RunPlan["resume"]>): Promise<Cycle> {
    this.#watcher.stage("a new process, with nothing but the image");
    const restored = await this.#powerOn(image);
    this.#watcher.stage("compare what the host shows and holds");
    const { inventory: after } = await this.#running.order({ order: "look", shows: true });
    const comparison = after === null ? null : compareInventories(before, remember(after));
    const flows = after !== null && (await this.#flows(after));
    return { before: null, after, comparison, slept: null, restored, exit: null, frames: 0, flows };
  }

  async #cycle(which: string): Promise<Cycle> {
    const { way, wayName, hard, image } = this.#plan;
    this.#frozen = null;
    this.#watcher.stage(`${wayName}: ${way.about}${which}`);
    const { slept, powerOff } = await this.#running.order({ order: "sleep", way: wayName, hard, image });
    this.#keepCommands(slept);
    const [failure] = slept?.outcome === "aborted" ? slept.failures : [];
    if (failure !== undefined)
      this.#watcher.note(`turned back by ${failure.device}, ${failure.phase}: ${failure.message}`);
    const isOver = powerOff || slept?.outcome === "off";
    let exit: MachineExit | null = null;
    let restored: Slept | null = null;
    if (isOver) {
      exit = await this.#gone(powerOff);
      this.#harmImage();
      this.#watcher.stage(`a new process, with nothing but the image${which}`);
      restored = await this.#powerOn(image);
    }
    const frozen = this.#lastFrozen();
    if (frozen === null) return this.#untouched(slept);
    this.#watcher.stage(`compare what the host shows and holds${which}`);
    const { inventory: after } = await this.#running.order({ order: "look", shows: true });
    const comparison = after === null ? null : compareInventories(remember(frozen.inventory), remember(after));
    const flows = after !== null && (await this.#flows(after));
    return { before: frozen.inventory, after, comparison, slept, restored, exit, frames: frozen.frames, flows };
  }

  #lastFrozen(): Extract<Message, { message: "frozen" }> | null {
    return this.#frozen;
  }

  /** The sleep was refused before anything stopped: what there is is compared with itself as it is now. */
  async #untouched(slept: Slept | null): Promise<Cycle> {
    const { inventory: before } = await this.#running.order({ order: "look", shows: false });
    const { inventory: after } = await this.#running.order({ order: "look", shows: true });
    if (before === null || after === null) throw new MachineError("EIO", "the machine does not say what there is");
    const flows = await this.#flows(after);
    const comparison = compareInventories(remember(before), remember(after));
    return { before, after, comparison, slept, restored: null, exit: null, frames: 0, flows };
  }

  /** Whether new frames reach the host: something moves on an output, or the cursor does. */
  async #flows(earlier: Inventory): Promise<boolean> {
    await this.#running.order({ order: "flow", frames: 3 });
    const { inventory } = await this.#running.order({ order: "look", shows: false });
    if (inventory === null) return false;
    const { outputs, cursors } = compareInventories(remember(earlier), remember(inventory));
    const couldMove = earlier.cursors.some((cursor) => cursor?.place !== null) || this.#plan.pictures.includes(null);
    return !couldMove || [...outputs, ...cursors].some(({ isSame }) => !isSame);
  }

  get #running(): MachineHandle {
    if (this.#machine === null) throw new MachineError("ENODEV", "no machine is on");
    return this.#machine;
  }

  async #powerOn(image: string | null): Promise<Slept | null> {
    const { hardware, faults, policy, trace: file } = this.#plan;
    const index = this.processes.length + 1;
    const machine = await MachineHandle.start((message) => this.#hear(index, message));
    const role = image === null ? "draws and sleeps" : "comes back from the image";
    this.processes.push({ pid: machine.pid, role, epochMs: machine.epochMs, endedAtMs: null, exit: null });
    void machine.exited.then((exit) => this.#noteExit(index, exit));
    this.#machine = machine;
    if (this.#isInterrupted) throw new MachineError("ECANCELED", "interrupted");
    const trace = file === null ? null : { ...file, process: index, startEpochMs: this.startedAt };
    const { slept } = await machine.order({ order: "power-on", hardware, image, faults, policy, trace });
    this.#keepCommands(slept);
    return slept;
  }

  #keepCommands(slept: Slept | null): void {
    if (slept !== null) this.commands.push({ process: this.processes.length, slept: slept.commands });
  }

  #noteExit(number: number, exit: MachineExit): void {
    const known = this.processes[number - 1];
    if (known !== undefined) this.processes[number - 1] = { ...known, endedAtMs: Date.now(), exit: exitText(exit) };
  }

  /** Waits until the process is gone; with a hard end, makes it so. */
  async #gone(isHard: boolean): Promise<MachineExit> {
    const machine = this.#running;
    this.#machine = null;
    const exit = isHard ? await machine.kill() : await withinMs(machine.exited, EXIT_MS);
    if (exit === null) {
      await machine.kill();
      throw new MachineError("ETIMEDOUT", "the machine was switched off, but its process did not end");
    }
    const how = exitText(exit);
    this.#watcher.note(`process ${machine.pid} is gone (${how}); the image has ${sizeOf(this.#plan.image)}`);
    if (!isHard && exit.code !== 0) throw new MachineError("EIO", `the machine process ended with ${how}`);
    return exit;
  }

  #harmImage(): void {
    const { faults, image } = this.#plan;
    const kinds = new Set(faults.map(({ kind }) => kind));
    if (kinds.has("cut-image")) truncateSync(image, Math.floor(statSync(image).size * 0.7));
    if (!kinds.has("damage-image")) return;
    const bytes = readFileSync(image);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 4;
    writeFileSync(image, bytes);
  }

  #hear(process: number, message: Message): void {
    switch (message.message) {
      case "frozen":
        this.#frozen = message;
        this.#watcher.note(`frozen after ${message.frames} frames`);
        return;
      case "phase": {
        const epochMs = (this.processes[process - 1]?.epochMs ?? 0) + message.phase.atMs;
        this.marks.push({ ...message.phase, process, epochMs });
        return;
      }
      case "progress":
        this.#watcher.progress(message.what, message.done, message.total);
        return;
      case "note":
        this.#watcher.note(message.text);
        return;
      case "trace-failed":
        this.traceError ??= new MachineError(message.code, message.sentence);
        return;
      case "host":
        this.host = { name: message.name, version: message.version };
        this.#watcher.note(`${message.label}: ${message.kinds.join(", ")}`);
        return;
      default:
    }
  }
}

function exitText({ code, signal }: MachineExit): string {
  return signal ?? `exit code ${code ?? "unknown"}`;
}

function sizeOf(file: string): string {
  try {
    return `${(statSync(file).size / MIB).toFixed(1)} MiB`;
  } catch {
    return "no file";
  }
}

/** What `work` comes to, or null when it takes too long. */
async function withinMs<T>(work: Promise<T>, ms: number): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

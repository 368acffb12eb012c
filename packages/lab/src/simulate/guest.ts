/**
 * A simulated machine over all its boots: what its user believes, its disk, the host that it runs on, and whether anything
 * happened that could excuse a failure.
 */
import { GpuError } from "@virtgpu/core/base";
import type { SeededRandom, VirtualClock } from "@virtgpu/core/sim";
import type { DeviceReport, SleepResult } from "@virtgpu/core/sleep";
import { commandName, GpuCommand } from "@virtgpu/core/wire";
import { Boot } from "./boot.ts";
import type { Coverage } from "./coverage.ts";
import { forbidsSleep } from "./contexts.ts";
import { perform } from "./deeds.ts";
import { SimDisk } from "./disk.ts";
import { demand, SimulationFailure } from "./failure.ts";
import { type FoundImage, takeImage } from "./image.ts";
import { judgeReports } from "./judge.ts";
import { isShort, MachineModel } from "./model.ts";
import { type Deed, type HostPlan, type MachinePlan, OUTPUTS, type SleepWay } from "./schedule.ts";

/** How long a machine stays off after a hibernation, in milliseconds. */
const OFF_MS = 30;

/** Refused, these may leave something on the host of which nobody can know; a cursor's commands have no replies at all. */
const KEEPS_WHAT_IT_DENIES: ReadonlySet<number> = new Set([
  GpuCommand.RESOURCE_CREATE_2D,
  GpuCommand.RESOURCE_CREATE_BLOB,
  GpuCommand.RESOURCE_UNREF,
  GpuCommand.UPDATE_CURSOR,
  GpuCommand.MOVE_CURSOR,
  GpuCommand.CTX_CREATE,
  GpuCommand.CTX_DESTROY,
]);

/** What a guest is made of. */
export interface GuestOptions {
  readonly index: number;
  readonly plan: MachinePlan;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  /** Hears of what must not be. */
  readonly fail: (error: unknown) => void;
}

/** See the file's head. */
export class Guest {
  readonly index: number;
  readonly plan: MachinePlan;
  readonly clock: VirtualClock;
  readonly random: SeededRandom;
  readonly coverage: Coverage;
  readonly disk: SimDisk;
  /** What the user believed when an image was taken, by the image's number. */
  readonly images: Map<number, MachineModel> = new Map();
  /** Memory that somebody lent for a buffer, by the buffer's key. */
  readonly lent: Map<string, { readonly pagesKey: number; readonly byteLength: number }> = new Map();
  model: MachineModel;
  /** What the present host can do, and the next one. */
  host: HostPlan;
  nextHost: HostPlan;
  /** The present boot; null while the power is off. */
  boot: Boot | null = null;
  /** Something happened since the last look at everything: failures may have their cause in it. */
  isDisturbed: boolean = true;
  /** Something went wrong since then, in the host or the machine. */
  isFaulty: boolean = false;
  /** The device was reset behind the driver's back: that is noticed by what is asked of it next. */
  wasReset: boolean = false;
  /** An image could not be taken away when the machine ran on: the next boot may find it. */
  mayFindPast: boolean = false;
  /** The host may still have what was freed, for it keeps things over a reset. */
  hasStrangers: boolean = false;
  /** The host had no room for all images: any may be missing until it is used again. */
  isShort: boolean = false;
  /** The host forgot what it had, and nothing says so. */
  hasForgotten: boolean = false;
  readonly #fail: (error: unknown) => void;
  #imageNumber = 0;
  #made = 0;
  #deeds = 0;
  /** What {@link hasChanged} saw. */
  #marks = "";
  /** Of the image that the next boot has to find; null: it may find one, or none. */
  #isImageDue = false;

  constructor(options: GuestOptions) {
    const { index, plan, clock, random, coverage, fail } = options;
    this.index = index;
    this.plan = plan;
    this.clock = clock;
    this.random = random;
    this.coverage = coverage;
    this.#fail = fail;
    this.disk = new SimDisk(random.fork("disk"));
    this.model = new MachineModel(OUTPUTS);
    this.host = plan.host;
    this.nextHost = plan.host;
  }

  fail(error: unknown): void {
    const sentence = error instanceof Error ? error.message : String(error);
    const failure = new SimulationFailure(`machine ${this.index}: ${sentence}`);
    if (error instanceof Error && !(error instanceof SimulationFailure)) failure.cause = error;
    this.#fail(failure);
  }

  newImageNumber(): number {
    this.#imageNumber += 1;
    return this.#imageNumber;
  }

  newKey(kind: "buffer" | "context"): string {
    this.#made += 1;
    return `${kind} ${this.#made}`;
  }

  /** Whether anybody did anything since this was last asked: the user, the driver, or the host. */
  hasChanged(): boolean {
    const { sim } = this.boot ?? {};
    const { accesses = 0 } = sim?.host.transport ?? {};
    const marks = `${this.#deeds} ${accesses} ${sim?.host.commands.count} ${sim?.allocator.attempts} ${sim?.allocator.frees}`;
    const isNew = marks !== this.#marks;
    this.#marks = marks;
    return isNew;
  }

  // --- What happens ---

  /** Has something happen. What it begins may end later. */
  perform(deed: Deed): void {
    this.#deeds += 1;
    try {
      this.coverage.note("event", deed.op, this.phase);
      perform(this, deed);
      this.noteRoom();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Failures from now on may have a cause. */
  disturb(how: "sleep" | "fault"): void {
    this.isDisturbed = true;
    if (how === "fault") this.isFaulty = true;
  }

  /** All is known to be well. */
  calm(): void {
    this.isDisturbed = false;
    this.isFaulty = false;
    this.wasReset = false;
    this.hasForgotten = false;
    this.isShort = false;
  }

  /** Looks whether the host has room for all that there is. */
  noteRoom(): void {
    this.isShort ||= isShort(this.host, this.model);
  }

  /** Whether the host refuses things for what it is, not for what happened. */
  isPoor({ code }: GpuError): boolean {
    return (code === "ENOTSUP" && !this.host.blob) || (code === "ENOMEM" && this.host.memoryBytes !== null);
  }

  /** Where the machine is in its life, for the table of what was covered. */
  get phase(): string {
    const { boot } = this;
    if (boot === null) return "off";
    if (boot.gpu === null) return "probe";
    const { state } = boot.system;
    if (state === "preparing" || state === "freezing" || state === "powering-off") return "freeze";
    if (state !== "awake" || boot.restores > 0) return state === "asleep" ? "asleep" : "restore";
    if (boot.gpu.state === "lost") return "lost";
    return "awake";
  }

  noteStrike(type: number, effect: string): void {
    this.disturb("fault");
    const isRefusal = effect === "refuse" || effect === "mask" || effect === "lie";
    // What it does not let go of stays with it until it is reset.
    if (isRefusal && KEEPS_WHAT_IT_DENIES.has(type)) this.hasForgotten = true;
    this.coverage.note("command", `${commandName(type)} × ${effect}`, this.phase);
  }

  noteStepFault(call: string): void {
    this.disturb("fault");
    this.coverage.note("step", `${call} × fails`, this.phase);
  }

  noteMoment(_call: string): void {}

  judge(reports: readonly DeviceReport[]): void {
    try {
      judgeReports(this, reports);
    } catch (error) {
      this.fail(error);
    }
  }

  // --- Power ---

  /** The power comes: an image that is there is taken up, or a fresh kernel starts. Rejects with what must not be. */
  async start(): Promise<void> {
    const mount = this.disk.mount();
    this.host = this.nextHost;
    const found = await this.#findImage(mount);
    const model = found === null ? undefined : this.images.get(found.number);
    const isPast = found !== null && model === undefined;
    demand(
      !isPast || this.mayFindPast || this.disk.hasLied,
      () => `image ${found?.number} is of the past: the machine has run on since`,
    );
    this.images.clear();
    this.model = model?.clone() ?? new MachineModel(OUTPUTS);
    const boot = new Boot(this, mount, model === undefined ? null : found);
    this.boot = boot;
    this.hasStrangers = false;
    this.isShort = false;
    this.noteRoom();
    this.disturb("sleep");
    if (found === null || isPast) await this.#probe(boot);
    else await this.#resume(boot, found);
  }

  async #findImage(mount: Parameters<typeof takeImage>[0]): Promise<FoundImage | null> {
    const isDue = this.#isImageDue;
    this.#isImageDue = false;
    const { failures } = this.disk;
    try {
      const found = await takeImage(mount);
      demand(found !== null || !isDue || this.disk.hasLied, "the machine hibernated, and its image is gone");
      return found;
    } catch (error) {
      // A disk that lied may have anything on it, as long as it is refused; one that fails gives nothing.
      if (!(error instanceof GpuError) || !(this.disk.hasLied || this.disk.failures > failures)) throw error;
      this.mayFindPast = true;
      return null;
    }
  }

  /** A driver is loaded into a machine that runs. */
  async probeAgain(boot: Boot): Promise<void> {
    await this.#probe(boot);
  }

  async #probe(boot: Boot): Promise<void> {
    try {
      await boot.probe();
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      if (boot.isOver) return;
      demand(this.isFaulty, `the driver does not start: ${error.message}`);
      // Whoever loads a driver tries again.
      await new Promise<void>((resolve) => boot.clock.after(1000, resolve));
      await this.#probe(boot);
    }
  }

  async #resume(boot: Boot, image: FoundImage): Promise<void> {
    if (this.plan.bootDriver) await boot.bootUp();
    if (boot.isOver) return;
    boot.load(image);
    await boot.operate((system) => system.continueFromImage({ throughFirmware: true }));
  }

  /** The power goes, and comes back after `ms` milliseconds. */
  cutPower(ms: number): void {
    const { boot } = this;
    if (boot === null) return;
    this.coverage.note("power cut", boot.system.state, this.phase);
    this.#turnOff(boot);
    this.disk.cutPower();
    this.#startIn(ms);
  }

  #turnOff(boot: Boot): void {
    boot.end();
    this.boot = null;
    this.disk.heal();
  }

  #startIn(ms: number): void {
    this.clock.after(ms, () => {
      this.start().catch((error: unknown) => this.fail(error));
    });
  }

  // --- Sleep ---

  /** Goes to sleep, and does what follows from what came of it. */
  async sleep(boot: Boot, way: SleepWay, pmTest: Parameters<Boot["system"]["hibernate"]>[0]["pmTest"]): Promise<void> {
    this.disturb("sleep");
    const isForbidden = forbidsSleep(this);
    const result = await boot.operate((system) =>
      way === "mem" || way === "s2idle"
        ? system.suspend(way, pmTest === undefined ? {} : { pmTest })
        : system.hibernate({ mode: way, pmTest }),
    );
    if (result === null || boot.isOver) return;
    this.coverage.note("sleep", `${way} × ${result.outcome}`, "");
    this.#follow(boot, result, isForbidden || forbidsSleep(this));
  }

  #follow(boot: Boot, { outcome, failures, operation }: SleepResult, isForbidden: boolean): void {
    if (outcome === "off" || outcome === "halted") {
      this.#isImageDue = outcome === "off" || !this.disk.hasLied;
      this.#turnOff(boot);
      this.disk.cutPower();
      this.#startIn(OFF_MS);
      return;
    }
    this.images.clear();
    const why = failures.map(({ error }) => error.message).join("; ");
    if (isForbidden && failures.some(({ error }) => error instanceof GpuError && error.code === "EPERM")) return;
    demand(outcome !== "aborted" || this.isFaulty, `${operation} was turned back without any cause: ${why}`);
    demand(failures.length === 0 || this.isFaulty, `${operation} had failures without any cause: ${why}`);
  }
}

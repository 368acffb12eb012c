/**
 * A case under way: the subject's driver, the system's sleep code around it, and the scene. The ways to sleep are here,
 * each with what it must come to.
 */
import { GpuError, type PowerClient, sleep } from "@virtgpu/core/base";
import {
  type HibernationMode,
  type PmTest,
  type SleepOutcome,
  type SleepResult,
  SystemSleep,
} from "@virtgpu/core/sleep";
import { DeviceStatus } from "@virtgpu/core/wire";
import type { TestedDriver } from "./driver.ts";
import { MachinePlatform } from "./machine-platform.ts";
import { otherDevice } from "./other-device.ts";
import { Scene } from "./scene.ts";
import { CaseFailed, type SuspendSubject, must } from "./subject.ts";

/** What happens while the machine is asleep, at a moment when its host has power. */
export type Meanwhile = () => Promise<void> | void;

const silent = { enabled: false, trace: (): void => {} };
/** Time for what a driver does by itself after a fault has gone, in milliseconds: longer than its deadlines. */
const AFTERMATH_MS = 20_000;
const PATIENCE_MS = 5000;
const POLL_MS = 5;

/** See the file's head. */
export class Stage {
  readonly subject: SuspendSubject;
  readonly scene: Scene;
  #driver: TestedDriver;
  #platform: MachinePlatform;
  #sleep: SystemSleep;
  #others: readonly PowerClient[] = [];
  readonly #later: Promise<GpuError | CaseFailed | null>[] = [];

  private constructor(subject: SuspendSubject, driver: TestedDriver) {
    this.subject = subject;
    this.#driver = driver;
    this.scene = new Scene(subject, driver);
    this.#platform = new MachinePlatform(subject);
    this.#sleep = this.#newSystem();
  }

  /** A driver on the subject's machine. */
  static async open(subject: SuspendSubject): Promise<Stage> {
    return new Stage(subject, await subject.probe());
  }

  /** The driver under test: the present one. */
  get driver(): TestedDriver {
    return this.#driver;
  }

  get host(): SuspendSubject["host"] {
    return this.subject.host;
  }

  /** The machine's part in a sleep, and what of it is to fail. */
  get platform(): MachinePlatform {
    return this.#platform;
  }

  /** Something that ends later than it begins, e.g. a call made while the device sleeps. */
  later(work: Promise<unknown>): void {
    const outcome = work.then(
      () => null,
      (error: unknown) => {
        if (error instanceof GpuError || error instanceof CaseFailed) return error;
        throw error;
      },
    );
    outcome.catch(() => {});
    this.#later.push(outcome);
  }

  /** Waits for what was to come later. Rejects with the first failure, unless failures are `forgiven`. */
  async settled({ forgiven = false }: { readonly forgiven?: boolean } = {}): Promise<void> {
    for (const outcome of this.#later.splice(0)) {
      const error = await outcome;
      if (error !== null && !forgiven) throw error;
    }
  }

  // --- Ways to sleep ---

  /** Hibernation, the host gone in between: S4, or a plain power-off where the machine has no firmware. */
  async hibernate(meanwhile?: Meanwhile): Promise<void> {
    const mode = this.subject.lacks("firmware") === null ? "platform" : "shutdown";
    await this.hibernateThrough(mode, meanwhile);
  }

  /** Hibernation in a mode that ends the power, and the image's kernel back after the next boot. */
  async hibernateThrough(mode: "platform" | "shutdown" | "reboot", meanwhile?: Meanwhile): Promise<void> {
    const off = this.#operate("off", (system) => system.hibernate({ mode }));
    const [end] = await Promise.allSettled([off]);
    // Whatever went wrong on the way: a machine that is off comes back from its image.
    if (this.#sleep.state === "off") await this.boot(mode === "platform", meanwhile);
    if (end.status === "rejected") throw end.reason;
  }

  /** Another boot finds the image, and its kernel goes on. */
  async boot(throughFirmware: boolean, meanwhile?: Meanwhile): Promise<void> {
    this.#sleep = this.#newSystem();
    await this.#during(meanwhile, async () => {
      await this.#platform.boot();
      await this.#operate("resumed", (system) => system.continueFromImage({ throughFirmware }));
    });
  }

  /** S3, or s2idle. */
  async suspend(target: "mem" | "s2idle", meanwhile?: Meanwhile): Promise<void> {
    await this.#during(meanwhile, () => this.#operate("woken", (system) => system.suspend(target)));
  }

  /** Hibernation in a mode that this kernel comes back from: hybrid sleep, or an image that it loads itself. */
  async hibernateAndStay(mode: "suspend" | "test_resume", meanwhile?: Meanwhile): Promise<void> {
    const outcome = mode === "suspend" ? "woken" : "resumed";
    await this.#during(meanwhile, () => this.#operate(outcome, (system) => system.hibernate({ mode })));
  }

  /** Hybrid sleep whose power fails in S3: the image is the safety net. */
  async hybridWithoutPower(meanwhile?: Meanwhile): Promise<void> {
    this.#platform.losesPower = true;
    const { powerLost } = this.#platform;
    // Nobody returns from a sleep that ended in darkness; one that fails before ends as an exception.
    const abandoned = this.#operate("off", (system) => system.hibernate({ mode: "suspend" }));
    await Promise.race([powerLost, abandoned]);
    this.#platform.losesPower = false;
    await this.boot(false, meanwhile);
  }

  /** Down to a level of `pm_test` and back. */
  async trial(pmTest: PmTest): Promise<void> {
    await this.#operate("tested", (system) => system.hibernate({ mode: "platform", pmTest }));
  }

  /** A hibernation that something turns back. */
  async abortedHibernation(mode: HibernationMode = "platform"): Promise<void> {
    await this.#operate("aborted", (system) => system.hibernate({ mode }));
    this.#platform.clearWakeup();
  }

  /** A suspend that something turns back. */
  async abortedSuspend(target: "mem" | "s2idle"): Promise<void> {
    await this.#operate("aborted", (system) => system.suspend(target));
    this.#platform.clearWakeup();
  }

  /** The same with another device that fails at its freeze, behind the GPU's. */
  async behindAFailure(work: () => Promise<void>): Promise<void> {
    const name = "another device";
    const freeze = (): Promise<void> => Promise.reject(new GpuError("EIO", "it fails, as planned", { device: name }));
    await this.beside(otherDevice({ name, freeze }), work);
  }

  /** Sleeps with another device in the machine. */
  async beside(other: PowerClient, work: () => Promise<void>): Promise<void> {
    this.#others = [other];
    this.#sleep = this.#newSystem();
    try {
      await work();
    } finally {
      this.#others = [];
      this.#sleep = this.#newSystem();
    }
  }

  // --- Without the system's sleep code ---

  /** The driver mends its device, as whoever noticed that it is lost would have it do. */
  async recover(): Promise<void> {
    await this.#bringBack("RECOVER");
  }

  /** The driver's process ends from one instruction to the next, and another one takes its objects and the device over. */
  async restartDriver(): Promise<void> {
    const successor = await this.subject.restartDriver();
    this.#driver = successor.driver;
    this.#sleep = this.#newSystem();
    this.scene.takeOver(successor);
    const status = this.host.deviceStatus();
    must((status & DeviceStatus.DRIVER_OK) !== 0, `the device has status ${status} when the next driver comes`);
    await this.#bringBack("RESTORE");
  }

  async #bringBack(message: "RECOVER" | "RESTORE"): Promise<void> {
    const { picture, complete } = this.driver.power.restore(message);
    await picture;
    const { lost } = await complete;
    const names = lost.map(({ object, reason }) => `${object} (${reason})`).join(", ");
    must(lost.length === 0, `the ${message === "RECOVER" ? "recovery" : "new driver"} lost ${names}`);
  }

  /**
   * Lets time pass for the driver to do by itself what it can, and mends what it could not. With `mends` somebody has it
   * mend in any case: what is wrong does not go away by itself.
   */
  async aftermath(mends: boolean): Promise<void> {
    const { host } = this;
    if (!host.isOn) await host.powerOn();
    host.release();
    await sleep(this.subject.clock, AFTERMATH_MS);
    if (mends || this.driver.state !== "running") await this.recover();
    // What the host did may show at the next use only.
    await this.scene.flushShown().catch(() => {});
    await sleep(this.subject.clock, AFTERMATH_MS);
    if (this.driver.state !== "running") await this.recover();
    this.#platform = new MachinePlatform(this.subject);
    this.#sleep = this.#newSystem();
  }

  /** Waits, with patience, until `condition` holds. */
  async until(condition: () => boolean, sentence: () => string): Promise<void> {
    const { clock } = this.subject;
    const end = clock.nowMs() + PATIENCE_MS;
    while (!condition()) {
      must(clock.nowMs() < end, sentence());
      await sleep(clock, POLL_MS);
    }
  }

  /** Everything is as it must be. */
  check(moment: string): Promise<void> {
    return this.scene.check(moment);
  }

  /** The driver lets go, and nothing is left behind. */
  async close(): Promise<void> {
    if (!this.host.isOn) await this.host.powerOn();
    this.host.release();
    await this.driver.remove();
  }

  async #during(meanwhile: Meanwhile | undefined, work: () => Promise<void>): Promise<void> {
    this.#platform.asleep = meanwhile ?? null;
    try {
      await work();
    } finally {
      this.#platform.asleep = null;
    }
  }

  /** One operation, and all of its restores. Throws CaseFailed if it came to something else, or lost something. */
  async #operate(wanted: SleepOutcome, work: (system: SystemSleep) => Promise<SleepResult>): Promise<void> {
    const { operation, outcome, failures, complete } = await work(this.#sleep);
    const reports = await complete;
    const why = failures.map(({ error }) => error.message).join("; ");
    must(outcome === wanted, `${operation} came to "${outcome}" instead of "${wanted}": ${why}`);
    if (wanted !== "aborted") must(failures.length === 0, `${operation} had failures: ${why}`);
    // What a power-off overtook is the next kernel's to bring back.
    if (outcome === "off") return;
    // Nor is a restore that the next freeze overtook the last word on its device.
    const last = new Map(reports.map((report) => [report.device, report]));
    for (const { error, report } of last.values()) {
      if (error !== undefined) throw error;
      const lost = (report?.lost ?? []).map(({ object, reason }) => `${object} (${reason})`);
      must(lost.length === 0, `${operation} lost ${lost.join(", ")}`);
    }
  }

  /** A system that is awake, with the same driver: after a power-off the sleep code is another kernel's. */
  #newSystem(): SystemSleep {
    const { clock } = this.subject;
    return new SystemSleep({
      platform: this.#platform,
      clock,
      tracer: silent,
      // The GPU is put down first, for it came last.
      clients: [...this.#others, ...(this.driver.clients ?? [this.driver.power])],
    });
  }
}

/**
 * The driver's face to the system's sleep code. Short, for it only chooses targets and order: what the host should have
 * in each phase, and what is waited for. The commands are the reconciler's, the same as in daily use.
 *
 * | what | target | then |
 * | --- | --- | --- |
 * | freeze before a reset or the host's end | nothing | flush what is lit, take down, drain, reset, release rings |
 * | SUSPEND with VIRTIO_F_SUSPEND or No_Soft_Reset | unchanged | flush what is lit, drain, suspend |
 * | HIBERNATE (power-off after the image) | nothing | drain if that is quick, reset; never fails |
 * | restore, whatever the message (R-43) | what is desired | verify the session that there is, or begin a new one |
 */
import type { FreezeMessage, PowerClient, PowerEvent, RestoreMessage, RestoreProgress } from "../../base/power.ts";
import { GpuError } from "../../base/errors.ts";
import { VirtioFeature } from "../../wire/index.ts";
import type { GpuCore } from "../core.ts";
import { withDeadline } from "../deadline.ts";
import type { Session } from "../session/session.ts";
import type { PowerPolicy } from "./policy.ts";
import { restoreReport } from "./report.ts";

/** What a power-off may spend on a tidy end, in milliseconds. */
const POWER_OFF_MS = 1000;

/** See the file's head. */
export class GpuPower implements PowerClient {
  readonly #core: GpuCore;
  readonly #policy: PowerPolicy;
  /** The last way back that was begun. */
  #wayBack: Promise<Session> | null = null;

  constructor(core: GpuCore, policy: PowerPolicy) {
    this.#core = core;
    this.#policy = policy;
    core.recover = () => {
      // What the host did is told by the state; a mistake of our own must not go unheard.
      this.restore("RECOVER").complete.catch((error: unknown) => {
        if (!(error instanceof GpuError)) throw error;
      });
    };
  }

  get name(): string {
    return this.#core.label;
  }

  /**
   * Whether the host's objects outlive S3 for certain: then nothing has to be vetoed. Only No_Soft_Reset says so; with
   * VIRTIO_F_SUSPEND alone the device keeps its word, and the platform may reset it all the same.
   */
  get keepsStateInSuspend(): boolean {
    const { session, parts } = this.#core;
    return session !== null && parts.transport.power?.noSoftReset === true;
  }

  /** Whether it can go to sleep with everything it has, which the wake then finds, or not. */
  get #canRest(): boolean {
    return this.keepsStateInSuspend || this.#core.session?.hasFeature(VirtioFeature.SUSPEND) === true;
  }

  // --- Notifier ---

  /** A PM notifier call. Throws GpuError EPERM to veto. */
  async notify(event: PowerEvent): Promise<void> {
    switch (event) {
      case "HIBERNATION_PREPARE":
        return this.#prepare();
      case "SUSPEND_PREPARE":
        return this.keepsStateInSuspend ? undefined : this.#prepare();
      case "RESTORE_PREPARE":
        return;
      case "POST_HIBERNATION":
      case "POST_SUSPEND":
      case "POST_RESTORE":
        this.#policy.open();
        return;
    }
  }

  /** Closes the gate, asks the policy, and reserves what a thaw will need. A veto leaves nothing behind. */
  async #prepare(): Promise<void> {
    this.#policy.close();
    try {
      this.#core.memory.reserve();
      await this.#policy.check();
    } catch (error) {
      this.#policy.open();
      throw error;
    }
  }

  // --- Freeze ---

  /**
   * No DMA, no interrupt, no access to ring memory once it resolves. Rejects to abort the sleep: EPERM (veto),
   * ETIMEDOUT (the host did not answer in time), ENODEV, EBUSY; then everything is brought back as far as the host lets.
   */
  async freeze(message: FreezeMessage): Promise<void> {
    const core = this.#core;
    core.move("freeze");
    this.#phase("freeze", "begin", message);
    const { session } = core;
    try {
      if (session !== null) await this.#putDown(session, message);
      // A lost device may still be on its way to a confirmed reset.
      else await core.closing;
      core.move(core.session === null ? "froze" : "kept");
      this.#phase("freeze", "end", message);
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#phase("freeze", "fail", error.message);
      await this.#rollBack(error);
      throw error;
    }
  }

  async #putDown(session: Session, message: FreezeMessage): Promise<void> {
    session.reconciler.failWaiters(new GpuError("ECANCELED", "overtaken by a freeze", { device: this.name }));
    if (message === "HIBERNATE") return this.#powerOff(session);
    const rests = message === "SUSPEND" && this.#canRest;
    if (!(rests && this.keepsStateInSuspend) && message !== "QUIESCE") await this.#policy.check();
    const budget = this.#budget();
    await budget(session.reconciler.urgentDone(), "flush what is shown");
    if (rests) return this.#suspend(session, budget);
    session.reconciler.takeDown();
    await budget(session.reconciler.allDone(), "take its objects back");
    await this.#drain(session, budget);
    await this.#reset();
  }

  async #suspend(session: Session, budget: Budget): Promise<void> {
    await this.#drain(session, budget);
    await session.suspend();
  }

  /** Nothing outstanding on either queue, and no work in progress (contract 11). */
  async #drain(session: Session, budget: Budget): Promise<void> {
    await budget(session.drain(this.#core.parts.deadlines.freezeMs), "return all buffers");
  }

  /** Reset first, then the rings. */
  async #reset(): Promise<void> {
    const gone = new GpuError("ESTALE", "the device was put down", { device: this.name });
    if (await this.#core.closeSession(gone)) return;
    throw new GpuError("ETIMEDOUT", "the device never confirmed its reset", { device: this.name });
  }

  /** The image is written and the machine ends: a tidy end is nice to have, a failed power-off is not. */
  async #powerOff(session: Session): Promise<void> {
    try {
      await session.drain(POWER_OFF_MS);
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
    }
    await this.#core.closeSession(new GpuError("ESTALE", "the machine is switched off", { device: this.name }));
  }

  /** One time limit for all that a freeze waits for. */
  #budget(): Budget {
    const { clock, deadlines } = this.#core.parts;
    const end = clock.nowMs() + deadlines.freezeMs;
    return (work, what) =>
      withDeadline(clock, end - clock.nowMs(), work, () => {
        return new GpuError("ETIMEDOUT", `the host did not ${what} within ${deadlines.freezeMs} ms`, {
          device: this.name,
        });
      });
  }

  /**
   * The target is again what is desired. Nothing is waited for, and a queue that hangs takes no command: what is
   * missing follows when the host answers. A device whose reset was never confirmed is tried once more from the start.
   */
  async #rollBack(error: GpuError): Promise<void> {
    const core = this.#core;
    if (core.is("lost") && error.code !== "ENODEV") core.recover();
    if (!core.is("freezing")) return;
    if (core.session !== null) {
      core.move("aborted");
      core.onConfig.emit(core.session);
      core.bringUp(core.session);
      return;
    }
    await core.fail(error);
    core.recover();
  }

  // --- Restore ---

  /** Brings the device back after any freeze, whatever happened in between. Also mends a device that is lost. */
  restore(message: RestoreMessage): RestoreProgress {
    const way = this.#bringBack(message);
    this.#wayBack = way;
    const picture = this.#follow(way, async ({ reconciler }) => {
      await reconciler.urgentDone();
      this.#phase("picture", "end", message);
    });
    const complete = this.#follow(way, async ({ reconciler }) => {
      const report = await reconciler.whenAllDone(() => restoreReport(this.#core));
      this.#phase("restore", "end", message);
      return report;
    });
    // Whoever asks for one of them hears of the failure; the other must not be an unhandled rejection.
    picture.catch(() => {});
    complete.catch(() => {});
    return { picture, complete };
  }

  /** Waits in the session that `way` leads to; if that breaks and is being mended already, in the one that follows. */
  async #follow<T>(way: Promise<Session>, wait: (session: Session) => Promise<T>): Promise<T> {
    const session = await way;
    try {
      return await wait(session);
    } catch (error) {
      const next = this.#wayBack;
      if (session.ended === null || next === null || next === way) throw error;
      return this.#follow(next, wait);
    }
  }

  async #bringBack(message: RestoreMessage): Promise<Session> {
    const core = this.#core;
    core.move("restore");
    this.#phase("restore", "begin", message);
    try {
      let session = (await this.#keptSession()) ?? (await this.#newSession());
      this.#assertRestoring();
      // It may have broken before anybody used it; the core says how often.
      while (session.ended !== null) {
        session = await this.#newSession();
        this.#assertRestoring();
      }
      core.lastError = null;
      core.move("restored");
      return session;
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
      this.#phase("restore", "fail", error.message);
      if (core.is("restoring")) await core.fail(error);
      throw error;
    }
  }

  /** The session that outlived the sleep, if the host proves to be the same (contract 3). */
  async #keptSession(): Promise<Session | null> {
    const core = this.#core;
    const { session } = core;
    if (session === null) return null;
    const isOurs = session.isSuspended ? await session.resume() : await session.verify();
    this.#assertRestoring();
    if (isOurs) {
      core.bringUp(session);
      core.onConfig.emit(session);
      return session;
    }
    await core.closeSession(new GpuError("ESTALE", "the host was reset meanwhile", { device: this.name }));
    this.#assertRestoring();
    return null;
  }

  async #newSession(): Promise<Session> {
    const core = this.#core;
    const session = await core.openSession();
    if (!core.is("restoring")) {
      await core.closeSession(new GpuError("ENODEV", "the device was removed", { device: this.name }));
      if (core.is("removed")) core.memory.dispose();
    }
    return session;
  }

  #assertRestoring(): void {
    const { lastError } = this.#core;
    if (this.#core.is("lost") && lastError !== null) throw lastError;
    if (!this.#core.is("restoring")) throw new GpuError("ENODEV", "the device was removed", { device: this.name });
  }

  /** The system goes down without a further freeze: stop the device, never fail, never wait long. */
  async shutdown(): Promise<void> {
    try {
      await this.freeze("HIBERNATE");
    } catch (error) {
      if (!(error instanceof GpuError)) throw error;
    }
  }

  #phase(phase: string, state: "begin" | "end" | "fail", detail: string): void {
    const { tracer } = this.#core.parts;
    if (tracer.enabled) tracer.trace({ kind: "phase", device: this.name, phase, state, detail });
  }
}

/** Waits for a part of a freeze within what is left of its time. */
type Budget = (work: Promise<void>, what: string) => Promise<void>;

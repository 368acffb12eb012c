/**
 * What to do about objects that no restore can bring back (3D resources, used contexts, host blobs) when the system
 * wants to sleep. Judged by use, not by features: a device that could do 3D and does not may sleep.
 */
import { GpuError } from "../../base/errors.ts";
import type { GpuCore } from "../core.ts";
import { withDeadline } from "../deadline.ts";
import { type DesiredObject, isRecoverable, objectName } from "../desired/objects.ts";

/**
 * `veto`: such objects forbid the sleep (EPERM, with their holders). `lose`: they are lost, their users get
 * ENOTRECOVERABLE. `wait`: the sleep waits until they are gone, up to a deadline, then it is vetoed.
 */
export type UnrecoverablePolicy = "veto" | "lose" | "wait";

/** See the file's head. */
export class PowerPolicy {
  mode: UnrecoverablePolicy;
  readonly #core: GpuCore;
  /** From PREPARE to POST: who waits to create what could not be brought back. */
  #gate: (() => void)[] | null = null;

  constructor(core: GpuCore, mode: UnrecoverablePolicy) {
    this.#core = core;
    this.mode = mode;
  }

  /** Objects that a sleep would lose. */
  unrecoverable(): readonly DesiredObject[] {
    return this.#core.desired.objects().filter((object) => this.#isLostBySleep(object));
  }

  #losesAny(): boolean {
    return this.#core.desired.objects().some((object) => this.#isLostBySleep(object));
  }

  #isLostBySleep(object: DesiredObject): boolean {
    return !isRecoverable(object) && !this.#core.losses.has(object);
  }

  /** May the device go to sleep now? Throws GpuError EPERM that names objects and holders. */
  async check(): Promise<void> {
    if (this.mode === "lose" || !this.#losesAny()) return;
    if (this.mode === "veto") throw this.#veto();
    await this.#untilNone();
  }

  async #untilNone(): Promise<void> {
    const { onDestroyed, parts } = this.#core;
    let stop = (): void => {};
    const none = new Promise<void>((resolve) => {
      stop = onDestroyed.on(() => {
        if (!this.#losesAny()) resolve();
      });
    });
    try {
      await withDeadline(parts.clock, parts.deadlines.policyMs, none, () => this.#veto());
    } finally {
      stop();
    }
  }

  #veto(): GpuError {
    const objects = this.unrecoverable();
    const holders = [...new Set(objects.map((object) => object.holder))];
    const names = objects.slice(0, NAMED_MAX).map(objectName).join(", ");
    const more = objects.length > NAMED_MAX ? ` and ${objects.length - NAMED_MAX} more` : "";
    const sentence = `sleep would lose ${names}${more}, held by ${holders.join(", ")}: destroy them, or choose the policy "lose"`;
    return new GpuError("EPERM", sentence, { device: this.#core.label, holders });
  }

  /** PREPARE: nothing unrecoverable comes in any more. */
  close(): void {
    this.#gate ??= [];
  }

  /** POST: it does again. */
  open(): void {
    const waiting = this.#gate ?? [];
    this.#gate = null;
    for (const admit of waiting) admit();
  }

  get isClosed(): boolean {
    return this.#gate !== null;
  }

  /** Before an unrecoverable object is made: EBUSY while the system goes to sleep; with `wait`, after it. */
  async admit(): Promise<void> {
    const gate = this.#gate;
    if (gate === null) return;
    if (this.mode !== "wait") {
      throw new GpuError("EBUSY", "the system is going to sleep: what it could not bring back is not made now", {
        device: this.#core.label,
      });
    }
    await new Promise<void>((resolve) => gate.push(resolve));
    this.#core.assertUsable();
  }
}

const NAMED_MAX = 8;

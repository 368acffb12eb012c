/**
 * Hibernation driven from user space: Linux's `/dev/snapshot` (kernel/power/user.c). One PREPARE..POST spans its whole
 * life, in which user space runs, makes several images or none, and may sleep in RAM.
 */
import { type ErrorCode, GpuError } from "../base/index.ts";
import { jump, platformPowerOff, shutDown, type SleepOutcome, takeSnapshot } from "./hibernate.ts";
import { SYSTEM } from "./log.ts";
import { operate, type SleepResult } from "./operation.ts";
import type { PmTest, SleepStep } from "./platform.ts";
import type { SleepParts, SleepRun } from "./run.ts";
import { suspendDevicesAndEnter } from "./suspend.ts";

/** `read`: images are made and read out. `write`: one is written in and restored. */
export type SnapshotMode = "read" | "write";

/** Opens the device (snapshot_open). Rejects with EBUSY, or with the veto of whoever objected. */
export async function openSnapshotDevice(parts: SleepParts, mode: SnapshotMode): Promise<SnapshotDevice> {
  const down: SleepStep[] = [];
  const frame = { operation: "open-snapshot-device", from: "awake", to: "open", onAbort: "awake", down } as const;
  const opened = await operate(parts, frame, async (run) => {
    run.enter("preparing");
    if (mode === "read") await run.prepare("HIBERNATION_PREPARE", "POST_HIBERNATION");
    else await run.prepare("RESTORE_PREPARE", "POST_RESTORE");
    return "done";
  });
  const [veto] = opened.failures;
  if (opened.outcome === "aborted" && veto !== undefined) throw veto.error;
  return new SnapshotDevice(parts, { mode, opened, down });
}

/** The open device. Each call rejects with EPERM where it has no place, and with EBUSY while another one runs. */
export class SnapshotDevice {
  readonly mode: SnapshotMode;
  /** What opening it (or resuming into it) did. */
  readonly opened: SleepResult;
  /** SNAPSHOT_PLATFORM_SUPPORT: snapshots and power-off go through the firmware. */
  platformSupport: boolean = false;

  readonly #parts: SleepParts;
  readonly #down: SleepStep[];
  #closed = false;

  constructor(
    parts: SleepParts,
    facts: { readonly mode: SnapshotMode; readonly opened: SleepResult; readonly down: SleepStep[] },
  ) {
    this.#parts = parts;
    this.mode = facts.mode;
    this.opened = facts.opened;
    this.#down = facts.down;
  }

  /** Whether tasks are frozen. */
  get frozen(): boolean {
    return this.#down.includes("tasks");
  }

  /** Whether an image is held in memory, to be read out. */
  get ready(): boolean {
    return this.mode === "read" && this.#down.includes("image-memory");
  }

  /** Whether an image was loaded, to be restored. */
  get loaded(): boolean {
    return this.#down.includes("image-load");
  }

  /** SNAPSHOT_FREEZE: syncs filesystems and freezes tasks. Nothing if they are frozen. */
  async freeze(): Promise<SleepResult> {
    return this.#call("freeze", async (run) => {
      if (this.frozen) return "done";
      run.enter("freezing");
      await run.syncFilesystems();
      await run.down("tasks", this.mode === "read" ? "FREEZE" : "QUIESCE");
      return "done";
    });
  }

  /** SNAPSHOT_UNFREEZE. An image in memory must be freed first. */
  async unfreeze(): Promise<SleepResult> {
    this.#demand(!this.ready, "EBUSY", "an image is held in memory: free it first");
    return this.#call("unfreeze", async (run) => {
      run.enter("waking");
      await run.ascend(["allocations", "kernel-threads", "tasks"], "THAW");
      return "done";
    });
  }

  /** SNAPSHOT_CREATE_IMAGE: `snapshotted` here, `resumed` in the kernel that was restored from it. */
  async createImage({ pmTest }: { readonly pmTest?: PmTest } = {}): Promise<SleepResult> {
    this.#demand(this.mode === "read" && this.frozen && !this.ready, "EPERM", "it takes frozen tasks and no image yet");
    return this.#call("create-image", async (run) => {
      await run.up("allocations", "THAW");
      return takeSnapshot(run, this.platformSupport, pmTest);
    });
  }

  /** SNAPSHOT_FREE: lets go of the image in memory, and thaws kernel threads. */
  async free(): Promise<SleepResult> {
    return this.#call("free", async (run) => {
      await run.ascend(["image-memory", "image-load", "kernel-threads"], "THAW");
      return "done";
    });
  }

  /** SNAPSHOT_S2RAM: sleeps in RAM with the image on disk as a safety net. No notifier is told. */
  async suspendToRam(): Promise<SleepResult> {
    this.#demand(this.frozen, "EPERM", "it takes frozen tasks");
    return this.#call("suspend-to-ram", (run) => suspendDevicesAndEnter(run, "mem"));
  }

  /** SNAPSHOT_POWER_OFF through the firmware; without {@link platformSupport} what user space does instead, reboot(2). */
  async powerOff(): Promise<SleepResult> {
    return this.#call("power-off", async (run) => {
      if (!this.platformSupport) return shutDown(run, "shutdown");
      await platformPowerOff(run);
      return "off";
    });
  }

  /** Writes an image in. */
  async load(): Promise<SleepResult> {
    this.#demand(this.mode === "write", "EPERM", "the device is open for reading");
    return this.#call("load", async (run) => {
      await run.down("image-load", "QUIESCE");
      return "done";
    });
  }

  /** SNAPSHOT_ATOMIC_RESTORE: the image that was loaded takes over. */
  async atomicRestore(): Promise<SleepResult> {
    this.#demand(this.mode === "write" && this.frozen && this.loaded, "EPERM", "it takes frozen tasks and an image");
    return this.#call("atomic-restore", async (run) => {
      await jump(run, this.platformSupport);
      run.enter("replaced");
      return "replaced";
    });
  }

  /** Closes the device: all that is still down comes back, and the notifiers are told. */
  async close(): Promise<SleepResult> {
    const result = await this.#call(
      "close",
      async (run) => {
        this.#closed = true;
        await run.wakeUp(this.mode === "read" ? "POST_HIBERNATION" : "POST_RESTORE", "THAW");
        return "done";
      },
      "awake",
    );
    return result;
  }

  #call(
    operation: string,
    way: (run: SleepRun) => Promise<SleepOutcome>,
    to: "open" | "awake" = "open",
  ): Promise<SleepResult> {
    this.#demand(!this.#closed, "EINVAL", "the snapshot device is closed");
    return operate(this.#parts, { operation, from: "open", to, down: this.#down }, way);
  }

  #demand(holds: boolean, code: ErrorCode, sentence: string): void {
    if (!holds) throw new GpuError(code, sentence, { device: SYSTEM });
  }
}

/**
 * The seam between a system's sleep code and a driver, in the words of Linux's `struct dev_pm_ops` and PM notifiers.
 */

/** What a PM notifier is told (Linux `PM_*` events). */
export type PowerEvent =
  | "HIBERNATION_PREPARE"
  | "POST_HIBERNATION"
  | "RESTORE_PREPARE"
  | "POST_RESTORE"
  | "SUSPEND_PREPARE"
  | "POST_SUSPEND";

/**
 * Why a device is put down (Linux `PMSG_*`). FREEZE: before the snapshot. QUIESCE: before another kernel's image takes
 * over. HIBERNATE: power-off after the image was written. SUSPEND: S3 or s2idle.
 */
export type FreezeMessage = "FREEZE" | "QUIESCE" | "HIBERNATE" | "SUSPEND";

/** Why a device is brought back. A driver's work must not depend on which one it is; it is for the log. */
export type RestoreMessage = "THAW" | "RECOVER" | "RESTORE" | "RESUME";

/** What one object's restore came to. */
export interface RestoreReport {
  /** Objects brought back or found intact. */
  readonly restored: number;
  /** Objects that could not be brought back, each with why. */
  readonly lost: readonly { readonly object: string; readonly reason: string }[];
  /** Outputs whose picture is the one before the sleep. */
  readonly outputs: number;
}

/** The two moments of a restore. Neither promise rejects unhandled: a device that can't come back rejects both. */
export interface RestoreProgress {
  /** All lit outputs and the cursor show what they showed. */
  readonly picture: Promise<void>;
  /** Every object is settled: restored, or reported lost. A new freeze ends it with ECANCELED. */
  readonly complete: Promise<RestoreReport>;
}

/** A device driver, as the system's sleep code sees it. */
export interface PowerClient {
  /** Names the device in every message. */
  readonly name: string;
  /** A PM notifier call. Throws GpuError EPERM to veto a `*_PREPARE`. Must be fast for `POST_*`, which can't fail. */
  notify(event: PowerEvent): Promise<void>;
  /** Quiesce: no DMA, no interrupt, no access to ring memory once it resolves. Rejects to abort the sleep. */
  freeze(message: FreezeMessage): Promise<void>;
  /** Bring the device back after any freeze, whatever happened in between. */
  restore(message: RestoreMessage): RestoreProgress;
  /** The system powers off or reboots without a further freeze: stop the device, never fail, never wait long. */
  shutdown(): Promise<void>;
}

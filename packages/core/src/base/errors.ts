/**
 * Expected failures. Codes are the kernel's errno names, because that is what drivers' users know.
 *
 * | code | meaning here | what to do |
 * | --- | --- | --- |
 * | ETIMEDOUT | the host did not answer within the deadline | try again later, or reset the device |
 * | EPERM | a power-management veto: unrecoverable objects are in use | release the named holders, or choose another policy |
 * | ENODEV | the device is gone or was removed | let go of it |
 * | ENOMEM | memory of the guest or the host ran out | free objects, then retry |
 * | EBUSY | not in this state (frozen, or another transition under way) | wait for the transition |
 * | ESTALE | the life of the device that this belonged to has ended | the call's effect is unknown to the host; issue it anew |
 * | EINVAL | an argument or a stored state is wrong | mend the caller |
 * | EIO | the host refused a command | see `reply` |
 * | EPROTO | the peer broke the protocol | report the host |
 * | ENOTSUP | the device or its negotiated features do not offer this | ask `gpu.features` first |
 * | ENOTRECOVERABLE | the object's contents are lost for good | destroy it and create it anew |
 * | ECANCELED | overtaken by a later request | nothing |
 * | ENOSPC | the disk is full (files of states and images) | make room, then retry |
 * | EACCES | a file or folder may not be read or written | mend its permissions, or choose another |
 * | ENOENT | there is no such file or folder | mend the path |
 */
export type ErrorCode =
  | "ETIMEDOUT"
  | "EPERM"
  | "ENODEV"
  | "ENOMEM"
  | "EBUSY"
  | "ESTALE"
  | "EINVAL"
  | "EIO"
  | "EPROTO"
  | "ENOTSUP"
  | "ENOTRECOVERABLE"
  | "ECANCELED"
  | "ENOSPC"
  | "EACCES"
  | "ENOENT";

/** Facts that an error carries besides its sentence. */
export interface ErrorFacts {
  /** The transport's label, e.g. `0000:00:02.0`. */
  readonly device?: string | undefined;
  /** The object concerned, e.g. `resource 7`. */
  readonly object?: string | undefined;
  /** The host's reply type (0x12xx), where it refused a command. */
  readonly reply?: number | undefined;
  /** Who stands in the way (EPERM: holders of unrecoverable objects). */
  readonly holders?: readonly string[] | undefined;
  readonly cause?: unknown;
}

/** The one class of expected failures: branch on `code`, show `message`. */
export class GpuError extends Error {
  override readonly name: string = "GpuError";
  readonly code: ErrorCode;
  readonly device: string | undefined;
  readonly object: string | undefined;
  readonly reply: number | undefined;
  readonly holders: readonly string[];

  constructor(code: ErrorCode, sentence: string, facts: ErrorFacts = {}) {
    const subject = [facts.device, facts.object].filter((part) => part !== undefined).join(" ");
    super(
      `${subject === "" ? "" : `${subject}: `}${sentence} (${code})`,
      facts.cause === undefined ? undefined : { cause: facts.cause },
    );
    this.code = code;
    this.device = facts.device;
    this.object = facts.object;
    this.reply = facts.reply;
    this.holders = facts.holders ?? [];
  }
}

/** All values that the driver's bits, without FAILED, can have. */
export declare const LEGAL_STATUSES: readonly number[];
/** Where a device stands. */
export interface StatusState {
  /** The 8-bit status as the driver reads it. */
  readonly status: number;
  /** The device does nothing any more until it is reset. */
  readonly stopped: boolean;
}
/** After a reset. */
export declare const RESET_STATE: StatusState;
/** What a device may do. "idle": not yet DRIVER_OK. "running" and "suspending": works on its queues. */
export type DevicePhase = "idle" | "running" | "suspending" | "suspended" | "stopped";
/** The phase that goes with a state. */
export declare function phaseOf({ status, stopped }: StatusState): DevicePhase;
/** What a status write depends on besides the status. */
export interface StatusFacts {
  /** The features that the driver accepted can be agreed to. */
  readonly featuresAcceptable: boolean;
  /** VIRTIO_F_SUSPEND is among them. */
  readonly suspendAccepted: boolean;
}
/** What the device has to do for a status write. "refused": the write, or FEATURES_OK in it, did not take effect. */
export type StatusEffect = "none" | "refused" | "reset" | "activate" | "suspend" | "resume" | "stop";
/** The outcome of a status write. */
export interface StatusStep {
  readonly next: StatusState;
  readonly effect: StatusEffect;
}
/** The driver writes `written`; only its low 8 bits count. */
export declare function stepStatus(state: StatusState, written: number, facts: StatusFacts): StatusStep;
/** The device can't go on. */
export declare function breakStatus(state: StatusState): StatusState;
/** A suspending device has come to rest. */
export declare function settleStatus(state: StatusState): StatusState;
/** Whether a saved state is one that a device can be in. */
export declare function isLegalState({ status, stopped }: StatusState): boolean;

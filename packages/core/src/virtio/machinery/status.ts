/**
 * The device status as the device keeps it (VIRTIO 1.2 section 2.1; SUSPEND: v1.4), as a pure transition function.
 *
 * ```
 *   0 -> ACKNOWLEDGE -> DRIVER -> FEATURES_OK -> DRIVER_OK -> SUSPEND+DRIVER_OK -> SUSPEND
 *                                                  ^   ^____________/              |
 *                                                  |_______________________________|
 * ```
 *
 * Any number of steps up may be taken in one write; nothing goes down but by writing 0, which resets at any moment.
 * FAILED may join at any moment: a device that was working stops then, one that was not goes on being set up (Linux
 * restores a device it had given up on with the bit set from the start). NEEDS_RESET is the device's own.
 */
import { DeviceStatus } from "../../wire/virtio.ts";

const { ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, SUSPEND, NEEDS_RESET, FAILED } = DeviceStatus;

const SET_UP = ACKNOWLEDGE | DRIVER;
const NEGOTIATED = SET_UP | FEATURES_OK;
const RUNNING = NEGOTIATED | DRIVER_OK;
const SUSPENDING = RUNNING | SUSPEND;
const SUSPENDED = NEGOTIATED | SUSPEND;
/** The bits that the table of moves is about. */
const MOVE_MASK = SUSPENDING;

/** All values that the driver's bits, without FAILED, can have. */
export const LEGAL_STATUSES: readonly number[] = [0, ACKNOWLEDGE, SET_UP, NEGOTIATED, RUNNING, SUSPENDING, SUSPENDED];

/** What may be asked for, by where the device stands. From SUSPENDED, anything with DRIVER_OK means RUNNING. */
const MOVES: ReadonlyMap<number, readonly number[]> = new Map([
  [0, [ACKNOWLEDGE, SET_UP, NEGOTIATED, RUNNING]],
  [ACKNOWLEDGE, [SET_UP, NEGOTIATED, RUNNING]],
  [SET_UP, [NEGOTIATED, RUNNING]],
  [NEGOTIATED, [RUNNING]],
  [RUNNING, [SUSPENDING]],
  [SUSPENDING, [RUNNING]],
  [SUSPENDED, [RUNNING, SUSPENDING]],
]);

/** Where a device stands. */
export interface StatusState {
  /** The 8-bit status as the driver reads it. */
  readonly status: number;
  /** The device does nothing any more until it is reset. */
  readonly stopped: boolean;
}

/** After a reset. */
export const RESET_STATE: StatusState = { status: 0, stopped: false };

/** What a device may do. "idle": not yet DRIVER_OK. "running" and "suspending": works on its queues. */
export type DevicePhase = "idle" | "running" | "suspending" | "suspended" | "stopped";

/** The phase that goes with a state. */
export function phaseOf({ status, stopped }: StatusState): DevicePhase {
  if (stopped) return "stopped";
  if ((status & SUSPEND) !== 0) return (status & DRIVER_OK) === 0 ? "suspended" : "suspending";
  return (status & DRIVER_OK) === 0 ? "idle" : "running";
}

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
export function stepStatus(state: StatusState, written: number, facts: StatusFacts): StatusStep {
  const value = written & 0xff;
  if (value === 0) return { next: RESET_STATE, effect: "reset" };
  const moved = move(state, value, facts);
  if ((value & FAILED) === 0 || (state.status & FAILED) !== 0) return moved;
  const { status, stopped } = moved.next;
  const working = phaseOf(moved.next) !== "idle";
  return {
    next: { status: status | FAILED, stopped: stopped || working },
    effect: working && !stopped ? "stop" : moved.effect,
  };
}

/** The device can't go on. */
export function breakStatus(state: StatusState): StatusState {
  return { status: state.status | NEEDS_RESET, stopped: true };
}

/** A suspending device has come to rest. */
export function settleStatus(state: StatusState): StatusState {
  return { status: state.status & ~DRIVER_OK, stopped: state.stopped };
}

/** Whether a saved state is one that a device can be in. */
export function isLegalState({ status, stopped }: StatusState): boolean {
  if ((status & ~(MOVE_MASK | NEEDS_RESET | FAILED)) !== 0) return false;
  if (!LEGAL_STATUSES.includes(status & MOVE_MASK)) return false;
  if ((status & NEEDS_RESET) !== 0) return stopped;
  return !stopped || ((status & FAILED) !== 0 && (status & (DRIVER_OK | SUSPEND)) !== 0);
}

function move(state: StatusState, value: number, facts: StatusFacts): StatusStep {
  const from = state.status & MOVE_MASK;
  const request = value & (facts.suspendAccepted ? MOVE_MASK : RUNNING);
  if (request === from) return { next: state, effect: "none" };
  if (state.stopped || !(MOVES.get(from) ?? []).includes(request)) return { next: state, effect: "refused" };
  const refused = (request & ~from & FEATURES_OK) !== 0 && !facts.featuresAcceptable;
  const to = refused ? SET_UP : from === SUSPENDED ? RUNNING : request;
  const next = { status: (state.status & ~MOVE_MASK) | to, stopped: false };
  return { next, effect: refused ? "refused" : effectOf(from, to) };
}

function effectOf(from: number, to: number): StatusEffect {
  if (to === SUSPENDING) return "suspend";
  if (to !== RUNNING) return "none";
  return (from & SUSPEND) === 0 ? "activate" : "resume";
}

/**
 * The driver's states and their legal moves: a pure transition function over a table.
 *
 *     closed -> opening -> running <-> freezing -> frozen | suspended -> restoring -> running
 *                  any of them -> lost (a later restore or recover tries again), -> removed (for good)
 *
 * `running` has a session; `suspended` has one that rests; the others have none, or one that is on its way.
 */
import { GpuError } from "../../base/errors.ts";

/** Where the driver stands. */
export type DriverState =
  | "closed"
  | "opening"
  | "running"
  | "freezing"
  | "frozen"
  | "suspended"
  | "restoring"
  | "lost"
  | "removed";

/** What happens to it. */
export type DriverEvent =
  | "open"
  | "opened"
  | "freeze"
  | "froze"
  | "kept"
  | "aborted"
  | "restore"
  | "restored"
  | "failed"
  | "remove";

/** Legal moves: state, event, next state. All others are refused. */
export const DRIVER_MOVES: readonly (readonly [DriverState, DriverEvent, DriverState])[] = [
  ["closed", "open", "opening"],
  ["opening", "opened", "running"],
  ["opening", "failed", "lost"],
  // A saved state that was loaded into a new process has never been opened.
  ["closed", "restore", "restoring"],
  ["running", "freeze", "freezing"],
  ["freezing", "froze", "frozen"],
  ["freezing", "kept", "suspended"],
  ["freezing", "aborted", "running"],
  ["freezing", "failed", "lost"],
  ["frozen", "restore", "restoring"],
  ["suspended", "restore", "restoring"],
  // Whoever restores need not know whether there was a freeze, and a broken device is mended in the same way.
  ["running", "restore", "restoring"],
  ["restoring", "restored", "running"],
  ["restoring", "failed", "lost"],
  ["running", "failed", "lost"],
  ["suspended", "failed", "lost"],
  // There is nothing to put down.
  ["lost", "freeze", "freezing"],
  ["closed", "freeze", "freezing"],
  ["lost", "restore", "restoring"],
  ["closed", "remove", "removed"],
  ["opening", "remove", "removed"],
  ["running", "remove", "removed"],
  ["freezing", "remove", "removed"],
  ["frozen", "remove", "removed"],
  ["suspended", "remove", "removed"],
  ["restoring", "remove", "removed"],
  ["lost", "remove", "removed"],
];

const moves: ReadonlyMap<string, DriverState> = new Map(
  DRIVER_MOVES.map(([state, event, next]) => [`${state} ${event}`, next]),
);

/** The next state, or null where the move is not legal. */
export function nextDriverState(state: DriverState, event: DriverEvent): DriverState | null {
  return moves.get(`${state} ${event}`) ?? null;
}

/** Why an event is refused in a state. */
export function refusal(state: DriverState, event: DriverEvent, device: string): GpuError {
  if (state === "removed") return new GpuError("ENODEV", "the device was removed", { device });
  return new GpuError("EBUSY", `no ${event} while the driver is ${state}`, { device });
}

/**
 * The states of a whole system around sleep, as one table. Nothing else decides what may follow what: an operation that
 * finds the system neither `awake` nor, for `/dev/snapshot`, `open` is told EBUSY.
 */
import { assert } from "../base/index.ts";

/**
 * | state | meaning |
 * | --- | --- |
 * | awake | user space runs, nobody was told of a sleep |
 * | preparing | the notifier chain is being told `*_PREPARE` |
 * | open | `/dev/snapshot` is open, between two of its calls |
 * | freezing | tasks, then devices are put down |
 * | snapshotting | the image is taken; the image's own time line begins here too |
 * | asleep | in S3 or s2idle |
 * | jumping | the boot kernel hands the machine to the image |
 * | thawing | devices come back |
 * | writing | the image goes to its disk |
 * | powering-off | the last steps before the power is cut |
 * | waking | tasks are thawed, the notifier chain is told `POST_*` |
 * | off | the power is off, or the machine reboots |
 * | replaced | the image's kernel runs instead of this one |
 * | halted | power-off failed while a valid image waits on disk: to run on would damage it and the file systems |
 */
export type SystemState =
  | "awake"
  | "preparing"
  | "open"
  | "freezing"
  | "snapshotting"
  | "asleep"
  | "jumping"
  | "thawing"
  | "writing"
  | "powering-off"
  | "waking"
  | "off"
  | "replaced"
  | "halted";

/** What may follow each state. Those with nothing behind them are this kernel's end. */
export const systemMoves: Readonly<Record<SystemState, readonly SystemState[]>> = {
  awake: ["preparing", "thawing"],
  preparing: ["awake", "open", "freezing"],
  open: ["freezing", "powering-off", "waking"],
  freezing: ["snapshotting", "asleep", "jumping", "powering-off", "thawing", "waking", "open"],
  snapshotting: ["thawing"],
  asleep: ["thawing"],
  jumping: ["thawing", "replaced"],
  thawing: ["writing", "freezing", "powering-off", "waking", "open"],
  writing: ["freezing", "powering-off", "waking"],
  "powering-off": ["off", "halted", "thawing"],
  waking: ["awake", "open"],
  off: [],
  replaced: [],
  halted: [],
};

/** Whether this kernel can still run anything in `state`. */
export function isFinal(state: SystemState): boolean {
  return systemMoves[state].length === 0;
}

/** The state after a move from `from` to `to`; a move that the table lacks is our own mistake. */
export function move(from: SystemState, to: SystemState): SystemState {
  assert(from === to || systemMoves[from].includes(to), `the system can't go from ${from} to ${to}`);
  return to;
}

/**
 * Ways to break: what a host does wrong at one command of a sleep.
 */
import { type CommandEffect, type CommandFault } from "@virtgpu/core/sim";
import { GpuQueue, GpuReply } from "@virtgpu/core/wire";
import { CaseFailed, type SuspendSubject } from "../suspend/index.ts";

/** One way to break. */
export interface MatrixFault {
  readonly name: string;
  /** For people. */
  readonly about: string;
  readonly effect: CommandEffect;
  /** It never goes away by itself: somebody has to have the driver mend the device. */
  readonly lasts?: boolean;
}

/** Everything that a host can do wrong with one command. */
export const MATRIX_FAULTS: readonly MatrixFault[] = [
  { name: "host-dies", about: "its process ends", effect: { kind: "die" } },
  { name: "device-breaks", about: "it asks for a reset", effect: { kind: "break" } },
  { name: "hangs", about: "it answers neither this command nor any later one", effect: { kind: "hang" } },
  { name: "reply-lost", about: "it carries the command out and never answers", effect: { kind: "drop" }, lasts: true },
  { name: "reply-late", about: "it answers half a second later", effect: { kind: "slow", ms: 500 } },
  { name: "reply-out-of-order", about: "it answers three others first", effect: { kind: "reorder", replies: 3 } },
  { name: "refuses", about: "it refuses, for no reason", effect: { kind: "refuse", reply: GpuReply.ERR_UNSPEC } },
  {
    name: "out-of-memory",
    about: "it refuses for want of memory",
    effect: { kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY },
  },
  {
    name: "denies",
    about: "it carries the command out and says it did not",
    effect: { kind: "mask", reply: GpuReply.ERR_UNSPEC },
  },
  { name: "lies", about: "it answers with nonsense", effect: { kind: "lie", header: { type: 0x1999 } } },
  { name: "answers-twice", about: "it returns the command twice", effect: { kind: "duplicate" } },
];

/** Has the fault strike at the `at`-th command from now on. */
export function arrangeFault(subject: SuspendSubject, { effect }: MatrixFault, at: number): void {
  const { faults } = subject.host;
  if (faults === null) throw new CaseFailed(`${subject.label} does nothing wrong on purpose`);
  // The cursor's queue has no replies: what is refused there, nobody can hear of.
  const queue = effect.kind === "refuse" || effect.kind === "mask" ? { queue: GpuQueue.CONTROL } : {};
  const fault: CommandFault = { ...queue, at, effect };
  faults.inject(fault);
}

/**
 * `--fault KIND[@PHASE][:NUMBER]`: what goes wrong, in which phase, at which command.
 */
import { GpuReply } from "@virtgpu/core/wire";
import type { CommandEffect, CommandFault } from "@virtgpu/core/sim";
import { UsageError } from "../../usage-error.ts";

/** When a fault at a command strikes. */
export type FaultPhase = "freeze" | "thaw" | "power-off" | "restore";

/** A fault as it was asked for. */
export interface Fault {
  readonly kind: string;
  readonly phase: FaultPhase | null;
  /** The command's number within the phase, from 1; of `full-disk` the bytes that still fit. Null: not given. */
  readonly number: number | null;
}

const PHASES: readonly FaultPhase[] = ["freeze", "thaw", "power-off", "restore"];

/** Faults of the embedded host's device at a command. */
const EFFECTS: Readonly<Record<string, CommandEffect>> = {
  hang: { kind: "hang" },
  hold: { kind: "hold" },
  drop: { kind: "drop" },
  slow: { kind: "slow", ms: 50 },
  refuse: { kind: "refuse", reply: GpuReply.ERR_UNSPEC },
  "no-memory": { kind: "refuse", reply: GpuReply.ERR_OUT_OF_MEMORY },
  mask: { kind: "mask", reply: GpuReply.ERR_UNSPEC },
  duplicate: { kind: "duplicate" },
  break: { kind: "break" },
};

/** The others, with what they do. `forget-object` and `damage-page` are for showing that a loss is found. */
const OTHERS: Readonly<Record<string, string>> = {
  "kill-host": "the host's process dies at the command",
  "full-disk": "the disk is full after NUMBER bytes of the image (64 KiB unless given)",
  "damage-image": "a bit of the image flips on the disk",
  "cut-image": "the image's end is missing",
};
const PLANTED: readonly string[] = ["forget-object", "damage-page"];

/** For the help of the option. */
export const FAULTS_HELP: string =
  `${Object.keys(EFFECTS).join("|")}|kill-host@${PHASES.join("|")}:K (the K-th command of that phase), ` +
  Object.keys(OTHERS)
    .filter((kind) => kind !== "kill-host")
    .join(", ");

/** Reads one. Throws UsageError. */
export function parseFault(text: string): Fault {
  const [, kind = "", phaseText, digits] = /^([a-z-]+)(?:@([a-z0-9-]+))?(?::(\d{1,12}))?$/.exec(text) ?? [];
  const isAtCommand = EFFECTS[kind] !== undefined || kind === "kill-host";
  if (!isAtCommand && OTHERS[kind] === undefined && !PLANTED.includes(kind)) {
    throw new UsageError(`there is no fault "${text}"; there are ${FAULTS_HELP}`);
  }
  const phase = phaseText === undefined ? null : (PHASES.find((name) => name === phaseText) ?? undefined);
  if (phase === undefined || (phase !== null && !isAtCommand)) {
    throw new UsageError(`the fault "${text}" has no such phase; write ${kind}@${PHASES.join("|")}:K`);
  }
  const number = digits === undefined ? null : Number(digits);
  if (number === 0 && isAtCommand) throw new UsageError(`commands are counted from 1: "${text}" strikes none`);
  return { kind, phase: isAtCommand ? (phase ?? "restore") : null, number };
}

/** Whether the fault needs a device of ours. */
export function needsEmbedded({ kind }: Fault): boolean {
  return EFFECTS[kind] !== undefined || kind === "forget-object";
}

/** The fault as the embedded host's plan has it; null for those that are no affair of a single command. */
export function commandFault({ kind, number }: Fault): CommandFault | null {
  const effect = EFFECTS[kind];
  return effect === undefined ? null : { at: number ?? 1, effect };
}

/** Which phase a call to a driver is, by its name in the sleep's log; null for those in which nothing is planned. */
export function faultPhase(call: string): FaultPhase | null {
  switch (call) {
    case "freeze FREEZE":
    case "freeze SUSPEND":
      return "freeze";
    case "restore THAW":
      return "thaw";
    case "freeze HIBERNATE":
      return "power-off";
    case "restore RESTORE":
    case "restore RESUME":
    case "restore RECOVER":
      return "restore";
    default:
      return null;
  }
}

/**
 * What the supervisor and a machine process say to each other; protocol-schema.ts checks it at both ends.
 */
import { GpuError } from "@virtgpu/core/base";
import type { UnrecoverablePolicy } from "@virtgpu/core/driver";
import type { Hardware, HostCursor, HostPicture } from "../../hosts/machine.ts";
import type { SceneKind } from "../../scenarios/scene/scene-state.ts";
import { UsageError } from "../../usage-error.ts";
import type { Fault } from "./faults.ts";

/** A picture to show. */
export interface OrderedPicture {
  readonly width: number;
  readonly height: number;
  /** Blue, green, red, 255. */
  readonly pixels: Uint8Array;
}

/** A machine's part in the trace of a run. */
export interface TraceOrder {
  /** The file: the first process begins it, later ones write on. */
  readonly path: string;
  /** What errors call it. */
  readonly name: string;
  /** Which process of the run this is, from 1. */
  readonly process: number;
  /** When the run began, in milliseconds since the epoch. */
  readonly startEpochMs: number;
}

/** What a machine is told to do; one order at a time, each answered with `done` or `failed`. */
export type Order =
  /** Power, and a guest that boots afresh; or, with an image, one that comes back from it, up to its last object. */
  | {
      readonly order: "power-on";
      readonly hardware: Hardware;
      readonly image: string | null;
      readonly faults: readonly Fault[];
      readonly policy: UnrecoverablePolicy;
      /** Null: nothing is recorded. */
      readonly trace: TraceOrder | null;
    }
  | {
      readonly order: "draw";
      readonly outputs: readonly {
        readonly width: number;
        readonly height: number;
        readonly picture: OrderedPicture | null;
      }[];
      readonly objects: number;
      /** Something that no sleep can bring back, for the policy to act on. */
      readonly game: boolean;
    }
  | { readonly order: "sleep"; readonly way: string; readonly hard: boolean; readonly image: string }
  /** What there is, now. `shows`: objects that the host can't be asked for are shown, one after the other. */
  | { readonly order: "look"; readonly shows: boolean }
  | { readonly order: "flow"; readonly frames: number }
  | { readonly order: "off" };

/** All that a checker compares. */
export interface Inventory {
  /** By output; null: it is dark. */
  readonly outputs: readonly (HostPicture | null)[];
  readonly cursors: readonly (HostCursor | null)[];
  readonly objects: readonly InventoryObject[];
  /** What the host had to say about its guest's errors. */
  readonly errorLines: readonly string[];
}

/** One object, as hashes. */
export interface InventoryObject {
  readonly key: string;
  readonly kind: SceneKind;
  readonly bytes: number;
  /** Of the guest's memory; null where it has none of it. */
  readonly guest: string | null;
  /** Of what the host holds, or shows; `absent` where it knows no such object. */
  readonly host: string;
}

/** A mark in a sleep's log, on the clock that began at `ready`'s `epochMs`. */
export interface PhaseMark {
  readonly device: string;
  readonly phase: string;
  readonly state: "begin" | "end" | "fail";
  readonly atMs: number;
  readonly detail?: string | undefined;
}

/** A command of the driver, with its answer. */
export interface TracedCommand {
  readonly device: string;
  readonly queue: "control" | "cursor";
  readonly sequence: number;
  readonly type: number;
  readonly object: number;
  readonly atMs: number;
  /** When it was answered, and with what; null: not while anybody looked. */
  readonly endMs: number | null;
  readonly reply: number | null;
}

/** What the restore of one device came to. */
export interface DeviceOutcome {
  readonly device: string;
  readonly restored: number;
  readonly outputs: number;
  readonly lost: readonly { readonly object: string; readonly reason: string }[];
  readonly error: string | null;
}

/** What an image takes. */
export interface ImageSize {
  readonly fileBytes: number;
  /** Of the pages in it, unpacked. */
  readonly ramBytes: number;
  readonly pages: number;
  /** How many of them are nothing but zeros. */
  readonly zeroPages: number;
}

/** What a sleep, or a restore in a new process, came to. */
export interface Slept {
  readonly outcome: string;
  readonly failures: readonly { readonly device: string; readonly phase: string; readonly message: string }[];
  readonly reports: readonly DeviceOutcome[];
  readonly commands: readonly TracedCommand[];
  readonly image: ImageSize | null;
  /** From the beginning of the last restore to the pictures. */
  readonly timeToPictureMs: number | null;
  /** To the last object. */
  readonly timeToCompleteMs: number | null;
}

/** What a machine says. */
export type Message =
  | { readonly message: "ready"; readonly epochMs: number; readonly pid: number }
  | {
      readonly message: "host";
      readonly name: string;
      readonly version: string | null;
      readonly label: string;
      readonly kinds: readonly string[];
    }
  | { readonly message: "phase"; readonly phase: PhaseMark }
  | { readonly message: "progress"; readonly what: string; readonly done: number; readonly total: number }
  | { readonly message: "note"; readonly text: string }
  /** The run goes on, but its trace does not. */
  | { readonly message: "trace-failed"; readonly code: string; readonly sentence: string }
  /** All that there is, at the moment when nothing runs any more and no device was touched yet. */
  | { readonly message: "frozen"; readonly inventory: Inventory; readonly frames: number }
  /** Now the power may go. */
  | { readonly message: "power-off" }
  | { readonly message: "done"; readonly slept: Slept | null; readonly inventory: Inventory | null }
  | { readonly message: "failed"; readonly code: string; readonly sentence: string; readonly usage: boolean };

/** Says something to the supervisor; resolves when it is on its way. */
export type Say = (message: Message) => Promise<void>;

/** An error as a message. */
export function failedMessage(error: unknown): Message {
  const usage = error instanceof UsageError;
  const code = error instanceof GpuError ? error.code : "EIO";
  const sentence = error instanceof Error ? error.message : String(error);
  return { message: "failed", code, sentence, usage };
}

/** The error that a message tells of, as far as another process can have it. */
export function errorOf({ code, sentence, usage }: Extract<Message, { message: "failed" }>): Error {
  if (usage) return new UsageError(sentence);
  return new MachineError(code, sentence);
}

/** The machine, or its host, failed: exit code 3. The sentence is the machine's own. */
export class MachineError extends Error {
  override readonly name: string = "MachineError";
  /** An error code of the core's, or of the system's. */
  readonly code: string;

  constructor(code: string, sentence: string) {
    super(sentence);
    this.code = code;
  }
}

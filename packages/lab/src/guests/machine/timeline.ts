/**
 * Hears the driver and the sleep code: passes on each phase as it happens, and keeps the commands of a sleep with their
 * answers. Faults that strike by a phase, or by the number of a command, are sprung from here.
 */
import type { TraceEvent, Tracer } from "@virtgpu/core/base";
import type { PhaseMark, TracedCommand } from "./protocol.ts";

/** Most commands kept of one sleep. */
const COMMANDS_MAX = 20_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Who is told what, at once. */
export interface TimelineListener {
  phase(mark: PhaseMark): void;
  /** The driver gives a command to the host. */
  command(): void;
}

/** See the file's head. */
export class Timeline implements Tracer {
  readonly enabled: boolean = true;
  readonly #listener: TimelineListener;
  readonly #open: Map<string, Mutable<TracedCommand>> = new Map();
  #commands: Mutable<TracedCommand>[] = [];
  #isRecording = false;
  #restoreAt: number | null = null;
  #pictureMs: number | null = null;
  #completeMs: number | null = null;

  constructor(listener: TimelineListener) {
    this.#listener = listener;
  }

  /** From the beginning of the last restore to the pictures, in milliseconds; null before there was one. */
  get timeToPictureMs(): number | null {
    return this.#pictureMs;
  }

  /** The same to the last object. */
  get timeToCompleteMs(): number | null {
    return this.#completeMs;
  }

  /** From now on commands are kept. */
  record(): void {
    this.#isRecording = true;
    this.#commands = [];
    this.#open.clear();
  }

  /** The commands since {@link Timeline.record}; none are kept any more. */
  take(): readonly TracedCommand[] {
    this.#isRecording = false;
    this.#open.clear();
    return this.#commands.splice(0);
  }

  trace(event: TraceEvent): void {
    if (event.kind === "command") {
      if (this.#isRecording) this.#begin(event);
      this.#listener.command();
    } else if (event.kind === "reply") {
      this.#end(event);
    } else if (event.kind === "phase") {
      this.#phase(event);
    }
  }

  #begin({ device, queue, sequence, type, object }: Extract<TraceEvent, { kind: "command" }>): void {
    if (this.#commands.length >= COMMANDS_MAX) return;
    const atMs = performance.now();
    const command = { device, queue, sequence, type, object, atMs, endMs: null, reply: null };
    this.#commands.push(command);
    this.#open.set(`${device} ${queue} ${sequence}`, command);
  }

  #end({ device, queue, sequence, reply }: Extract<TraceEvent, { kind: "reply" }>): void {
    const key = `${device} ${queue} ${sequence}`;
    const command = this.#open.get(key);
    if (command === undefined) return;
    this.#open.delete(key);
    command.endMs = performance.now();
    command.reply = reply;
  }

  #phase({ device, phase, state, detail }: Extract<TraceEvent, { kind: "phase" }>): void {
    const atMs = performance.now();
    if (device !== "system" && phase === "restore" && state === "begin") this.#restoreAt = atMs;
    if (phase === "picture" && state === "end" && this.#restoreAt !== null) this.#pictureMs = atMs - this.#restoreAt;
    if (device !== "system" && phase === "restore" && state === "end" && this.#restoreAt !== null) {
      this.#completeMs = atMs - this.#restoreAt;
    }
    this.#listener.phase({ device, phase, state, atMs, ...(detail === undefined ? {} : { detail }) });
  }
}

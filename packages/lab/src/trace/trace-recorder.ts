/**
 * Records what a driver asks and what a host answers, with the guest memory that the host reads for it, as a trace
 * (trace-file.ts).
 */
import { createHash } from "node:crypto";
import { openSync, writeSync, closeSync } from "node:fs";
import type { TraceEvent, Tracer } from "@virtgpu/core/base";
import { type GuestMemory, PAGE_BYTES } from "@virtgpu/core/memory";
import type { HostPicture } from "../hosts/machine.ts";
import { Backings, type Range, wordsOf } from "./backings.ts";
import { packPage, TRACE_VERSION, type TraceEntry, type TraceHeader } from "./trace-file.ts";

/** What a {@link TraceRecorder} is made of. */
export interface TraceRecorderParts {
  /** Takes the file over: it is created, or, with `append`, written on. */
  readonly path: string;
  readonly append: boolean;
  readonly header: Omit<TraceHeader, "kind" | "version">;
  /** Memory by the addresses that the device is given. */
  readonly memory: GuestMemory;
  nowMs(): number;
}

/** See the file's head. */
export class TraceRecorder implements Tracer {
  readonly enabled: boolean = true;
  readonly detailed: boolean = true;
  readonly #parts: TraceRecorderParts;
  readonly #file: number;
  readonly #startMs: number;
  readonly #backings: Map<string, Backings> = new Map();
  /** Pages as they were written last, by address. */
  readonly #written: Map<number, Buffer> = new Map();
  readonly #page: Buffer = Buffer.alloc(PAGE_BYTES);

  /** Throws the file system's error where the file can't be written. */
  constructor(parts: TraceRecorderParts) {
    this.#parts = parts;
    this.#file = openSync(parts.path, parts.append ? "a" : "w");
    this.#startMs = parts.nowMs();
    if (!parts.append) this.#write({ kind: "virtgpu-trace", version: TRACE_VERSION, ...parts.header });
  }

  trace(event: TraceEvent): void {
    const atMs = this.#parts.nowMs() - this.#startMs;
    switch (event.kind) {
      case "session":
        this.#backingsOf(event.device).clear();
        this.#write({ kind: "session", device: event.device, atMs, features: hexOf(event.features) });
        return;
      case "command": {
        const { device, queue, sequence, request, capacity } = event;
        if (request === undefined || capacity === undefined) return;
        for (const range of this.#backingsOf(device).take(wordsOf(request))) this.#writePages(range);
        this.#write({ kind: "command", device, queue, sequence, atMs, capacity, request: textOf(request) });
        return;
      }
      case "reply": {
        const { device, queue, sequence, bytes } = event;
        if (bytes !== undefined) this.#write({ kind: "reply", device, queue, sequence, atMs, bytes: textOf(bytes) });
        return;
      }
      case "phase": {
        const { device, phase, state } = event;
        this.#write({ kind: "phase", device, phase, state, atMs });
        return;
      }
      default:
        return;
    }
  }

  /** Notes what an output shows, when nothing is under way. */
  picture(device: string, output: number, picture: HostPicture | null): void {
    const noted =
      picture === null ? null : { width: picture.width, height: picture.height, sha256: sha256Of(picture.rgba) };
    this.#write({ kind: "picture", device, output, picture: noted });
  }

  /** Ends the recording. */
  close(): void {
    closeSync(this.#file);
  }

  #backingsOf(device: string): Backings {
    let backings = this.#backings.get(device);
    if (backings === undefined) this.#backings.set(device, (backings = new Backings()));
    return backings;
  }

  /** The pages of a range that are not as they were written last. */
  #writePages({ address, byteLength }: Range): void {
    const end = address + byteLength;
    for (let at = address - (address % PAGE_BYTES); at < end; at += PAGE_BYTES) {
      const page = this.#page;
      this.#parts.memory.read(at, page);
      const before = this.#written.get(at);
      if (before?.equals(page) === true) continue;
      this.#written.set(at, Buffer.from(page));
      this.#write({ kind: "page", address: at, data: packPage(page) });
    }
  }

  #write(line: TraceEntry | TraceHeader): void {
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }
}

/** The hash that a trace knows a picture by. */
export function sha256Of(rgba: Uint8Array): string {
  return createHash("sha256").update(rgba).digest("hex");
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function hexOf(features: bigint): string {
  return features.toString(16).padStart(16, "0");
}

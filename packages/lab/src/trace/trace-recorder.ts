/**
 * Records what a driver asks and what a host answers, with the guest memory that the host reads for it, as a trace
 * (trace-file.ts).
 */
import { createHash } from "node:crypto";
import { closeSync, fsyncSync, openSync, writeFileSync } from "node:fs";
import type { GpuError, TraceEvent, Tracer } from "@virtgpu/core/base";
import { type GuestMemory, PAGE_BYTES } from "@virtgpu/core/memory";
import type { HostPicture } from "../hosts/machine.ts";
import { fileError } from "../image/errors.ts";
import { Backings, type Range, wordsOf } from "./backings.ts";
import { packPage, TRACE_VERSION, type TraceEntry, type TraceEntryOf, type TraceHeader } from "./trace-file.ts";

/** What a {@link TraceRecorder} is made of. */
export interface TraceRecorderParts {
  /** Takes the file over: it is created, or, with `append`, written on. */
  readonly path: string;
  /** What errors call the file; its path unless given. */
  readonly name?: string;
  readonly append: boolean;
  readonly header: Omit<TraceHeader, "kind" | "version">;
  /** Memory by the addresses that the device is given: see deviceMemory. */
  readonly memory: GuestMemory;
  nowMs(): number;
  /** When the trace began, on the clock of `nowMs`; now unless given. */
  readonly startMs?: number;
  /** Hears of the first failure to write: from then on nothing is recorded. */
  readonly onFailure?: (error: GpuError) => void;
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
  #failure: GpuError | null = null;

  /** Throws GpuError where the file can't be written. */
  constructor(parts: TraceRecorderParts) {
    this.#parts = parts;
    this.#startMs = parts.startMs ?? parts.nowMs();
    try {
      this.#file = openSync(parts.path, parts.append ? "a" : "w");
    } catch (error) {
      throw fileError(error, parts.name ?? parts.path, "write the trace");
    }
    if (!parts.append) this.#write({ kind: "virtgpu-trace", version: TRACE_VERSION, ...parts.header });
  }

  trace(event: TraceEvent): void {
    switch (event.kind) {
      case "session":
        this.#backingsOf(event.device).clear();
        this.#forgetUnmapped();
        this.#write({ kind: "session", device: event.device, atMs: this.#atMs, features: hexOf(event.features) });
        return;
      case "command": {
        const { device, queue, sequence, request, capacity } = event;
        if (request === undefined || capacity === undefined) return;
        const atMs = this.#atMs;
        for (const range of this.#backingsOf(device).take(wordsOf(request))) this.#writePages(range);
        this.#write({ kind: "command", device, queue, sequence, atMs, capacity, request: textOf(request) });
        return;
      }
      case "reply": {
        const { device, queue, sequence, bytes } = event;
        const atMs = this.#atMs;
        if (bytes !== undefined) this.#write({ kind: "reply", device, queue, sequence, atMs, bytes: textOf(bytes) });
        return;
      }
      case "phase": {
        const { device, phase, state } = event;
        this.#write({ kind: "phase", device, phase, state, atMs: this.#atMs });
        return;
      }
      default:
        return;
    }
  }

  /** Notes that a machine was switched on. */
  power(machine: Omit<TraceEntryOf<"power">, "kind" | "atMs">): void {
    this.#write({ kind: "power", atMs: this.#atMs, ...machine });
  }

  /** Notes what an output shows, when nothing is under way. */
  picture(device: string, output: number, picture: HostPicture | null): void {
    const noted =
      picture === null ? null : { width: picture.width, height: picture.height, sha256: sha256Of(picture.rgba) };
    this.#write({ kind: "picture", device, output, picture: noted });
  }

  /** Throws GpuError where something could not be written. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Ends the recording. Throws GpuError where something could not be written. */
  close(): void {
    this.#attempt(() => fsyncSync(this.#file));
    this.end();
    this.check();
  }

  /** Lets go of the file, whatever became of it. */
  end(): void {
    closeSync(this.#file);
  }

  get #atMs(): number {
    return Math.max(0, this.#parts.nowMs() - this.#startMs);
  }

  #backingsOf(device: string): Backings {
    let backings = this.#backings.get(device);
    if (backings === undefined) this.#backings.set(device, (backings = new Backings()));
    return backings;
  }

  /** An IOMMU's addresses end with their session. */
  #forgetUnmapped(): void {
    for (const address of this.#written.keys()) {
      if (!this.#parts.memory.contains(address, PAGE_BYTES)) this.#written.delete(address);
    }
  }

  /** The pages of a range that are not as they were written last. What is no memory a device can't read either. */
  #writePages({ address, byteLength }: Range): void {
    const { memory } = this.#parts;
    const end = address + byteLength;
    for (let at = address - (address % PAGE_BYTES); at < end && this.#failure === null; at += PAGE_BYTES) {
      if (!memory.contains(at, PAGE_BYTES)) continue;
      const page = this.#page;
      memory.read(at, page);
      const before = this.#written.get(at);
      if (before?.equals(page) === true) continue;
      this.#written.set(at, Buffer.from(page));
      this.#write({ kind: "page", address: at, data: packPage(page) });
    }
  }

  #write(line: TraceEntry | TraceHeader): void {
    // At once: a machine that is killed the next moment has told all up to there.
    this.#attempt(() => writeFileSync(this.#file, `${JSON.stringify(line)}\n`));
  }

  /** A driver must not fail because its trace does: the first failure is kept for whoever closes it. */
  #attempt(write: () => void): void {
    if (this.#failure !== null) return;
    try {
      write();
    } catch (error) {
      const { name, path } = this.#parts;
      this.#failure = fileError(error, name ?? path, "write the trace");
      this.#parts.onFailure?.(this.#failure);
    }
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

/**
 * QMP, QEMU's control protocol: one JSON object a line, over a socket that QEMU inherited.
 */
import type { Duplex } from "node:stream";
import { GpuError } from "@virtgpu/core/base";

/** An asynchronous message of QEMU, e.g. `SUSPEND`, `SHUTDOWN`. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface Pending {
  readonly command: string;
  resolve(value: unknown): void;
  reject(error: GpuError): void;
}

interface EventWaiter {
  readonly name: string;
  resolve(event: QmpEvent): void;
  reject(error: GpuError): void;
}

/** Most events that are remembered. */
const EVENTS_KEPT = 1000;
/** Most characters of a line. */
const LINE_MAX = 32 << 20;

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A QMP session. All promises reject with GpuError ENODEV once the connection has ended. */
export class QmpClient {
  /** Resolves when QEMU has greeted us and accepts commands. */
  readonly ready: Promise<void>;
  readonly #socket: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #waiters = new Set<EventWaiter>();
  readonly #events: QmpEvent[] = [];
  #nextId = 1;
  #parts: string[] = [];
  #length = 0;
  #greeting: { resolve(): void; reject(error: GpuError): void } | null = null;
  #ended: GpuError | null = null;

  constructor(socket: Duplex) {
    this.#socket = socket;
    const greeting = new Promise<void>((resolve, reject) => {
      this.#greeting = { resolve, reject };
    });
    this.ready = greeting.then(async () => {
      await this.execute("qmp_capabilities");
    });
    this.ready.catch(() => {});
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => this.#take(chunk));
    socket.on("error", () => this.close("its control connection broke"));
    socket.on("close", () => this.close("it ended"));
    socket.on("end", () => this.close("it ended"));
  }

  /** All events so far, oldest first (the last 1000). */
  get events(): readonly QmpEvent[] {
    return this.#events;
  }

  /** Runs a command and gives its `return` value. Throws GpuError EIO with QEMU's own sentence where it refuses. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#ended !== null) throw this.#ended;
    const id = this.#nextId;
    this.#nextId += 1;
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { command, resolve, reject });
    });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return answer;
  }

  /** The next event of this name, counted from the call. Ask before causing it. */
  nextEvent(name: string): Promise<QmpEvent> {
    const next = new Promise<QmpEvent>((resolve, reject) => {
      if (this.#ended === null) this.#waiters.add({ name, resolve, reject });
      else reject(this.#ended);
    });
    // The caller may look at it only after other work; a dead QEMU in between must not count as unhandled.
    next.catch(() => {});
    return next;
  }

  /** Ends the session; whoever still waits is told why. */
  close(reason: string): void {
    if (this.#ended !== null) return;
    const error = new GpuError("ENODEV", `QEMU does not answer: ${reason}`);
    this.#ended = error;
    this.#greeting?.reject(error);
    for (const pending of this.#pending.values()) pending.reject(error);
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#pending.clear();
    this.#waiters.clear();
    this.#socket.destroy();
  }

  #take(chunk: string): void {
    const lines = chunk.split("\n");
    const rest = lines.pop() ?? "";
    for (const line of lines) {
      this.#keep(line);
      const message = parseLine(this.#parts.join(""));
      this.#parts = [];
      this.#length = 0;
      if (message !== null) this.#dispatch(message);
    }
    this.#keep(rest);
  }

  #keep(part: string): void {
    if (this.#ended !== null) return;
    this.#length += part.length;
    if (this.#length > LINE_MAX) {
      this.#parts = [];
      this.close(`it said a line of more than ${LINE_MAX} characters`);
    } else if (part !== "") this.#parts.push(part);
  }

  #dispatch(message: Record<string, unknown>): void {
    if ("QMP" in message) {
      this.#greeting?.resolve();
      return;
    }
    if (typeof message["event"] === "string") {
      const data = isRecord(message["data"]) ? message["data"] : {};
      this.#announce({ event: message["event"], data });
      return;
    }
    const id = message["id"];
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    if (pending === undefined || typeof id !== "number") return;
    this.#pending.delete(id);
    if (isRecord(message["error"])) {
      pending.reject(new GpuError("EIO", `QEMU refused ${pending.command}: ${String(message["error"]["desc"])}`));
    } else {
      pending.resolve(message["return"]);
    }
  }

  #announce(event: QmpEvent): void {
    this.#events.push(event);
    if (this.#events.length > EVENTS_KEPT) this.#events.shift();
    for (const waiter of this.#waiters) {
      if (waiter.name !== event.event) continue;
      this.#waiters.delete(waiter);
      waiter.resolve(event);
    }
  }
}

function parseLine(line: string): Record<string, unknown> | null {
  if (line.trim() === "") return null;
  try {
    const message: unknown = JSON.parse(line);
    return isRecord(message) ? message : null;
  } catch {
    return null;
  }
}

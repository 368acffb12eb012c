/**
 * The lab's end of the agent's serial port: calls and answers as JSON lines. It outlives each QEMU process, as a call to sleep
 * is answered by the same agent behind the next one.
 */
import type { Duplex } from "node:stream";
import { GpuError } from "@virtgpu/core/base";
import type { AgentCall, AgentCalls } from "@virtgpu/linux/agent";
import * as v from "valibot";
import { AGENT_RESULTS, agentMessage } from "./agent-schema.ts";

/** Most characters of a line: the hashes of 100,000 objects. */
const LINE_MAX = 32 << 20;
/** Most that is shown of a line that makes no sense. */
const NOISE_SHOWN = 120;

interface Pending {
  readonly call: AgentCall;
  take(result: unknown): void;
  reject(error: GpuError): void;
}

/** How the channel tells of what is no answer. */
export interface AgentEars {
  /** The agent is there: it says so, or it answers. */
  alive(): void;
  failed(reason: string): void;
  /** A line that is no message. */
  noise(line: string): void;
}

/** Calls to one agent. */
export class AgentChannel {
  readonly #ears: AgentEars;
  readonly #pending = new Map<number, Pending>();
  #port: Duplex | null = null;
  #nextId = 1;
  #parts: string[] = [];
  #length = 0;

  constructor(ears: AgentEars) {
    this.#ears = ears;
  }

  /** Takes the port of a new QEMU process. What the last one left unfinished is dropped. */
  attach(port: Duplex): void {
    this.#drop();
    this.#port = port;
    port.setEncoding("utf8");
    port.on("error", () => {});
    port.on("data", (chunk: string) => {
      if (this.#port === port) this.#take(chunk);
    });
  }

  /** The QEMU process has ended. Calls stay open: who sleeps answers behind the next one. */
  detach(): void {
    this.#port = null;
  }

  /** Whether an answer is still due. */
  get isWaiting(): boolean {
    return this.#pending.size > 0;
  }

  /** Throws GpuError: ENODEV (no QEMU runs), EIO (the agent's own error), EPROTO (its answer makes no sense). */
  call<Call extends AgentCall>(call: Call, parameters: AgentCalls[Call]["with"]): Promise<AgentCalls[Call]["result"]> {
    const port = this.#port;
    if (port === null) {
      return Promise.reject(new GpuError("ENODEV", `the machine does not run, so its agent can't be asked to ${call}`));
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const schema: v.GenericSchema<unknown, AgentCalls[Call]["result"]> = AGENT_RESULTS[call];
    const answer = new Promise<AgentCalls[Call]["result"]>((resolve, reject) => {
      this.#pending.set(id, {
        call,
        reject,
        take: (result) => {
          const parsed = v.safeParse(schema, result);
          if (parsed.success) resolve(parsed.output);
          else
            reject(new GpuError("EPROTO", `the agent's answer to ${call} makes no sense: ${sentence(parsed.issues)}`));
        },
      });
    });
    answer.catch(() => {});
    port.write(`${JSON.stringify({ id, call, with: parameters })}\n`);
    return answer;
  }

  /** Ends all calls: no answer will come. */
  fail(error: GpuError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.reject(error);
  }

  #drop(): void {
    this.#parts = [];
    this.#length = 0;
  }

  #take(chunk: string): void {
    const lines = chunk.split("\n");
    const rest = lines.pop() ?? "";
    for (const line of lines) {
      this.#keep(line);
      const whole = this.#parts.join("");
      this.#drop();
      this.#takeLine(whole);
    }
    this.#keep(rest);
  }

  #keep(part: string): void {
    this.#length += part.length;
    if (this.#length <= LINE_MAX) {
      this.#parts.push(part);
      return;
    }
    this.#drop();
    this.fail(new GpuError("EPROTO", `the agent said a line of more than ${LINE_MAX} characters`));
  }

  #takeLine(line: string): void {
    const parsed = v.safeParse(agentMessage, parseJson(line));
    if (!parsed.success) {
      if (line.trim() !== "") this.#ears.noise(line.slice(0, NOISE_SHOWN));
      return;
    }
    const message = parsed.output;
    if ("event" in message) {
      if (message.event === "failed") this.#ears.failed(message.reason);
      else this.#ears.alive();
      return;
    }
    const pending = this.#pending.get(message.id);
    if (pending === undefined) {
      this.#ears.noise(line.slice(0, NOISE_SHOWN));
      return;
    }
    this.#pending.delete(message.id);
    this.#ears.alive();
    if ("error" in message) pending.reject(new GpuError("EIO", `the agent can't ${pending.call}: ${message.error}`));
    else pending.take(message.result);
  }
}

function sentence(issues: readonly v.BaseIssue<unknown>[]): string {
  const first = issues[0];
  if (first === undefined) return "it is of the wrong form";
  const path = v.getDotPath(first);
  return path === null ? first.message : `${path}: ${first.message}`;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

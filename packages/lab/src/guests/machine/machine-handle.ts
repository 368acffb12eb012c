/**
 * A supervisor's hold on one machine process: starts it, orders, listens, and ends it. The process ends with whoever
 * started it, for it watches its channel.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { errorOf, type Inventory, MachineError, type Message, type Order, type Slept } from "./protocol.ts";
import { parseMessage } from "./protocol-schema.ts";

/** How a machine process ended. */
export interface MachineExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** What an order came to; `powerOff`: the machine waits for its power to go. */
export interface Answer {
  readonly slept: Slept | null;
  readonly inventory: Inventory | null;
  readonly powerOff: boolean;
}

/** Hears what a machine says meanwhile. */
export type Listener = (message: Message) => void;

interface Waiter {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

const IS_SOURCE = import.meta.url.endsWith(".ts");
const PROGRAM = fileURLToPath(new URL(`./machine-process${IS_SOURCE ? ".ts" : ".js"}`, import.meta.url));
const STDERR_KEPT = 4000;
/** A machine that says nothing for so long while it should do something is given up. */
const SILENCE_MS = 180_000;

/** What runs our sources where they are not compiled. */
function sourceLoader(): string {
  return pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
}

/** See the file's head. */
export class MachineHandle {
  /** When its clock began, in milliseconds since the epoch. */
  epochMs: number = 0;
  readonly exited: Promise<MachineExit>;
  readonly #child: ChildProcess;
  readonly #listener: Listener;
  #waiter: Waiter | null = null;
  #said = "";
  #silence: NodeJS.Timeout | undefined;
  #isHung = false;
  #exit: MachineExit | null = null;

  private constructor(child: ChildProcess, listener: Listener) {
    this.#child = child;
    this.#listener = listener;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-STDERR_KEPT);
    });
    child.stdin?.on("error", () => {});
    child.on("message", (value) => this.#hear(value));
    this.exited = new Promise((resolve) => {
      child.once("error", () => this.#ended({ code: null, signal: null }, resolve));
      child.once("close", (code, signal) => this.#ended({ code, signal }, resolve));
    });
  }

  /** Starts one; resolves when it listens. Throws {@link MachineError}. */
  static async start(listener: Listener): Promise<MachineHandle> {
    const child = fork(PROGRAM, [], {
      serialization: "advanced",
      // The first is the leash: see machine-process.ts.
      stdio: ["pipe", "ignore", "pipe", "ipc"],
      execArgv: IS_SOURCE ? ["--import", sourceLoader()] : process.execArgv,
    });
    const handle = new MachineHandle(child, listener);
    try {
      await handle.#wait();
    } catch (error) {
      await handle.kill();
      throw error;
    }
    return handle;
  }

  /** The process's id. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Gives an order and waits for its answer. Throws what the machine throws, or {@link MachineError} when it dies. */
  async order(order: Order): Promise<Answer> {
    if (this.#exit !== null || !this.#child.connected) throw this.#death();
    const answer = this.#wait();
    this.#child.send(order, () => {});
    return answer;
  }

  /** SIGKILL: gone from one instruction to the next. */
  async kill(): Promise<MachineExit> {
    if (this.#exit === null) this.#child.kill("SIGKILL");
    return this.exited;
  }

  async #wait(): Promise<Answer> {
    this.#listenFor();
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  /** From now on silence counts. */
  #listenFor(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#isHung = true;
      this.#child.kill("SIGKILL");
    }, SILENCE_MS);
  }

  #hear(value: unknown): void {
    this.#listenFor();
    let message: Message;
    try {
      message = parseMessage(value);
    } catch (error) {
      this.#settle(({ reject }) => reject(error instanceof Error ? error : new Error(String(error))));
      return;
    }
    this.#listener(message);
    if (message.message === "ready") {
      this.epochMs = message.epochMs;
      this.#settle(({ resolve }) => resolve({ slept: null, inventory: null, powerOff: false }));
    } else if (message.message === "done") {
      const { slept, inventory } = message;
      this.#settle(({ resolve }) => resolve({ slept, inventory, powerOff: false }));
    } else if (message.message === "power-off") {
      this.#settle(({ resolve }) => resolve({ slept: null, inventory: null, powerOff: true }));
    } else if (message.message === "failed") {
      const error = errorOf(message);
      this.#settle(({ reject }) => reject(error));
    }
  }

  #settle(how: (waiter: Waiter) => void): void {
    const waiter = this.#waiter;
    this.#waiter = null;
    clearTimeout(this.#silence);
    if (waiter !== null) how(waiter);
  }

  #ended(exit: MachineExit, resolve: (exit: MachineExit) => void): void {
    if (this.#exit !== null) return;
    this.#exit = exit;
    this.#settle(({ reject }) => reject(this.#death()));
    resolve(exit);
  }

  #death(): MachineError {
    if (this.#isHung) return new MachineError("ETIMEDOUT", `the machine said nothing for ${SILENCE_MS / 1000} s`);
    const { code = null, signal = null } = this.#exit ?? {};
    const how = signal === null ? `ended with exit code ${code ?? "unknown"}` : `was killed (${signal})`;
    const words = this.#said.split("\n").find((line) => /Error/.test(line));
    return new MachineError("ENODEV", `the machine process ${how}${words === undefined ? "" : `: ${words.trim()}`}`);
  }
}

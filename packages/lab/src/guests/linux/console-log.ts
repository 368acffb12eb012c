/**
 * The console of a machine, line by line, through all its QEMU processes. A guest may write what it likes: lines are cut to a
 * length, cleaned of control characters, and only the last of them are kept.
 */
import type { Duplex } from "node:stream";

const LINE_MAX = 2000;
const LINES_MAX = 50_000;

/** Control characters, with what follows them where they begin a terminal's escape sequence. */
const CONTROL = /\p{Cc}(?:\[[0-9;?]*[A-Za-z])?/gu;

function clean(line: string): string {
  return line.slice(0, LINE_MAX).replace(CONTROL, (found) => (found === "\t" ? found : ""));
}

interface Waiter {
  readonly text: string;
  heard(line: string): void;
}

/** Collects lines. */
export class ConsoleLog {
  readonly #lines: string[] = [];
  readonly #waiters = new Set<Waiter>();
  #rest = "";

  /** Lines so far, oldest first; what has no end yet is not among them. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** Reads the console of a new process. */
  attach(stream: Duplex): void {
    this.#finish();
    stream.setEncoding("utf8");
    stream.on("data", (chunk: string) => this.#take(chunk));
    stream.on("close", () => this.#finish());
  }

  /** The first line with this text in it, of those there are and those to come. */
  async said(text: string): Promise<string> {
    const found = this.#lines.find((line) => line.includes(text));
    if (found !== undefined) return found;
    return new Promise((resolve) => this.#waiters.add({ text, heard: resolve }));
  }

  /** A line of our own. */
  note(line: string): void {
    this.#add(line);
  }

  #finish(): void {
    if (this.#rest !== "") this.#add(this.#rest);
    this.#rest = "";
  }

  #take(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = (lines.pop() ?? "").slice(0, LINE_MAX);
    for (const line of lines) this.#add(line);
  }

  #add(line: string): void {
    const text = clean(line);
    this.#lines.push(text);
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
    for (const waiter of this.#waiters) {
      if (!text.includes(waiter.text)) continue;
      this.#waiters.delete(waiter);
      waiter.heard(text);
    }
  }
}

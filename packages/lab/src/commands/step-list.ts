/**
 * Stages of a run as they come and go: a list that moves on a terminal, plain lines elsewhere.
 */
import type { RunWatcher } from "../scenarios/hibernate/run.ts";
import type { Style } from "./style.ts";

/** Where lines go. */
export interface LineSink {
  write(text: string): void;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** See the file's head. */
export class StepList implements RunWatcher {
  readonly #sink: LineSink;
  readonly #style: Style;
  #title: string | null = null;
  #detail = "";
  #since = 0;

  constructor(sink: LineSink, style: Style) {
    this.#sink = sink;
    this.#style = style;
  }

  stage(title: string): void {
    this.#close("✓");
    this.#title = title;
    this.#since = performance.now();
    if (this.#moves) this.#draw();
    else this.#sink.write(`${title}\n`);
  }

  progress(what: string, done: number, total: number): void {
    if (!this.#moves || total === 0) return;
    this.#detail = done >= total ? "" : `${what} ${Math.floor((100 * done) / total)} %`;
    this.#draw();
  }

  note(text: string): void {
    if (this.#moves) this.#clear();
    this.#sink.write(`    ${this.#style("dim", text)}\n`);
    if (this.#moves) this.#draw();
  }

  /** The last stage is over, well or not. */
  end(isWell: boolean): void {
    this.#close(isWell ? "✓" : "✗");
  }

  get #moves(): boolean {
    return this.#sink.isTTY === true;
  }

  #close(mark: "✓" | "✗"): void {
    const title = this.#title;
    this.#title = null;
    this.#detail = "";
    if (title === null || !this.#moves) return;
    this.#clear();
    const seconds = ((performance.now() - this.#since) / 1000).toFixed(1);
    this.#sink.write(
      `${this.#style(mark === "✓" ? "green" : "red", mark)} ${title} ${this.#style("dim", `${seconds} s`)}\n`,
    );
  }

  #clear(): void {
    this.#sink.write("\r\u001b[K");
  }

  #draw(): void {
    if (this.#title === null) return;
    const line = `• ${this.#title}${this.#detail === "" ? "" : `  ${this.#detail}`}`;
    this.#sink.write(`\r\u001b[K${line.slice(0, (this.#sink.columns ?? 80) - 1)}`);
  }
}

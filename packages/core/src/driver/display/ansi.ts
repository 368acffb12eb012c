/**
 * The part of a terminal's control language that boot messages use (ECMA-48): colours, clearing, moving the cursor. A
 * state machine whose state is a handful of numbers, whatever the text; what it does not know it swallows whole.
 */

/** What an {@link AnsiParser} finds. */
export interface AnsiHandler {
  /** A character to show. */
  print(codePoint: number): void;
  /** A control character, below 0x20. */
  control(code: number): void;
  /** A control sequence (`ESC [ ... final`). `isPrivate` says that it began with `?`; other private ones are swallowed. */
  sequence(final: string, parameters: readonly number[], isPrivate: boolean): void;
}

type State = "text" | "escape" | "intermediate" | "sequence" | "string" | "stringEscape";

const ESCAPE = 0x1b;
const CANCEL = 0x18;
const SUBSTITUTE = 0x1a;
const BELL = 0x07;

const PARAMETERS_MAX = 16;
const PARAMETER_MAX = 9999;
/** A string that has not ended by then was none: text shows again. */
const STRING_MAX = 4096;

/** Combining marks and joiners, which would need a cell of another character. */
function isZeroWidth(codePoint: number): boolean {
  return (
    (codePoint >= 0x0300 && codePoint <= 0x036f) ||
    (codePoint >= 0x200b && codePoint <= 0x200f) ||
    (codePoint >= 0xfe00 && codePoint <= 0xfe0f) ||
    codePoint === 0xfeff
  );
}

/** See the file's head. */
export class AnsiParser {
  readonly #handler: AnsiHandler;
  #state: State = "text";
  #parameters: number[] = [];
  #parameter = 0;
  /** What the sequence began with: nothing, `?`, or something that makes it not ours. */
  #kind: "plain" | "question" | "foreign" = "plain";
  #stringLength = 0;

  constructor(handler: AnsiHandler) {
    this.#handler = handler;
  }

  /** Takes one character of the text. */
  feed(codePoint: number): void {
    switch (this.#state) {
      case "text":
        this.#text(codePoint);
        break;
      case "escape":
        this.#escape(codePoint);
        break;
      case "intermediate":
        if (codePoint < 0x20 || codePoint >= 0x30) this.#state = "text";
        break;
      case "sequence":
        this.#sequence(codePoint);
        break;
      case "string":
        this.#string(codePoint);
        break;
      case "stringEscape":
        this.#state = "text";
        if (codePoint !== 0x5c) this.#escape(codePoint);
        break;
    }
  }

  #text(codePoint: number): void {
    if (codePoint === ESCAPE) this.#state = "escape";
    else if (codePoint < 0x20) this.#handler.control(codePoint);
    else if (codePoint === 0x9b) this.#beginSequence();
    else if ((codePoint < 0x7f || codePoint >= 0xa0) && !isZeroWidth(codePoint)) this.#handler.print(codePoint);
  }

  #escape(codePoint: number): void {
    this.#state = "text";
    if (codePoint === ESCAPE) this.#state = "escape";
    else if (codePoint < 0x20) this.#handler.control(codePoint);
    else if (codePoint < 0x30) this.#state = "intermediate";
    else if (codePoint === 0x5b) this.#beginSequence();
    else if ("PX]^_".includes(String.fromCodePoint(codePoint))) {
      this.#state = "string";
      this.#stringLength = 0;
    }
  }

  #beginSequence(): void {
    this.#state = "sequence";
    this.#parameters = [];
    this.#parameter = 0;
    this.#kind = "plain";
  }

  #sequence(codePoint: number): void {
    if (codePoint === ESCAPE) this.#state = "escape";
    else if (codePoint === CANCEL || codePoint === SUBSTITUTE) this.#state = "text";
    else if (codePoint < 0x20) this.#handler.control(codePoint);
    else if (codePoint >= 0x30 && codePoint <= 0x39) {
      this.#parameter = Math.min(PARAMETER_MAX, this.#parameter * 10 + codePoint - 0x30);
    } else if (codePoint === 0x3a || codePoint === 0x3b) this.#pushParameter();
    else if (codePoint === 0x3f && this.#parameters.length === 0) this.#kind = "question";
    else if (codePoint < 0x40) this.#kind = "foreign";
    else this.#endSequence(codePoint);
  }

  #pushParameter(): void {
    if (this.#parameters.length < PARAMETERS_MAX) this.#parameters.push(this.#parameter);
    this.#parameter = 0;
  }

  #endSequence(codePoint: number): void {
    this.#state = "text";
    this.#pushParameter();
    if (this.#kind === "foreign" || codePoint > 0x7e) return;
    this.#handler.sequence(String.fromCodePoint(codePoint), this.#parameters, this.#kind === "question");
  }

  #string(codePoint: number): void {
    this.#stringLength += 1;
    if (codePoint === ESCAPE) this.#state = "stringEscape";
    else if (codePoint === BELL || codePoint === 0x9c || codePoint === CANCEL || codePoint === SUBSTITUTE) {
      this.#state = "text";
    } else if (this.#stringLength >= STRING_MAX) this.#state = "text";
  }
}

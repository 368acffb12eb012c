/**
 * Text for HTML and XML. Keys of objects, messages of hosts and names of devices come from elsewhere: whatever is in them
 * stays text.
 */

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/**
 * What no XML 1.0 document may have, not even as a reference (2.2, Char), and the other control characters, which nobody
 * can see; line ends and tabs stay.
 */
// oxlint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\ufffe\uffff]|\p{Surrogate}/gu;

/** Characters that turn the direction of what stands around them. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const REPLACEMENT = "\ufffd";

/** Text without characters that can't be shown, or that change how others are. */
export function plainText(text: string): string {
  return text.replace(UNSEEN, REPLACEMENT).replace(TURNING, REPLACEMENT);
}

/** Text for one line of a terminal: no escape sequences, no line ends. */
export function lineText(text: string): string {
  return plainText(text).replace(/\s+/gu, " ").trim();
}

/** Text for an element or a quoted attribute, of HTML or of XML. */
export function escapeMarkup(text: string): string {
  return plainText(text).replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** Text for an attribute of XML: a parser would make spaces of its line ends and tabs. */
export function escapeAttribute(text: string): string {
  return escapeMarkup(text).replace(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Markup that is what it says: made by {@link html} alone. */
export class Html {
  readonly #markup: string;

  /** Of markup that was written by us. */
  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** What may stand in a template. */
export type HtmlPart = string | number | Html | null | readonly HtmlPart[];

/** Markup with parts put in: text is escaped, markup is not, null is nothing, lists stand one part after the other. */
export function html(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  let markup = strings[0] ?? "";
  for (const [index, part] of parts.entries()) markup += partText(part) + (strings[index + 1] ?? "");
  return new Html(markup);
}

function partText(part: HtmlPart): string {
  if (part === null) return "";
  if (part instanceof Html) return part.toString();
  if (typeof part === "object") return part.map(partText).join("");
  return escapeMarkup(String(part));
}

/** At most `most` characters, the rest as an ellipsis. */
export function shortened(text: string, most: number): string {
  if (text.length <= most) return text;
  const cut = text.slice(0, most - 1);
  // Half a surrogate pair is no character.
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}\u2026`;
}

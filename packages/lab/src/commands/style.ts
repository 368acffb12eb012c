/**
 * Colours where the terminal has them (and NO_COLOR is not set), and tables of text.
 */

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39] } as const;

/** Gives text a style, or leaves it alone. */
export type Style = (name: keyof typeof CODES, text: string) => string;

/** The style for a stream. */
export function styleFor(isTerminal: boolean): Style {
  if (!isTerminal || (process.env["NO_COLOR"] ?? "") !== "") return (_, text) => text;
  return (name, text) => `\u001b[${CODES[name][0]}m${text}\u001b[${CODES[name][1]}m`;
}

/** Rows in columns, numbers to the right; the first row is the head. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const texts = rows.map((row) => row.map(String));
  const columns = Math.max(0, ...texts.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...texts.map((row) => (row[at] ?? "").length)));
  const isNumber = (at: number): boolean =>
    rows.slice(1).every((row) => typeof row[at] === "number" || /^[\d.,]+( \w+)?$/.test(String(row[at])));
  const lines = texts.map((row) =>
    row.map((text, at) => (isNumber(at) ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0))).join("  "),
  );
  return lines.map((line) => `  ${line.trimEnd()}\n`).join("");
}

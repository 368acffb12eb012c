/**
 * The page that a report stands on: one file, no request to anywhere, readable without its script, light and dark, on
 * paper too. Its policy lets nothing run but the one script and the one style sheet in it.
 */
import { createHash } from "node:crypto";
import { Html, html, type HtmlPart } from "./markup.ts";
import { SCRIPT } from "./page-script.ts";
import { STYLE } from "./page-style.ts";

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const POLICY = [
  "default-src 'none'",
  "img-src data:",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** A whole document. */
export function page(title: string, body: Html): string {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<main>
${body}
</main>
<script>${new Html(SCRIPT)}</script>
</body>
</html>
`;
  return document.toString();
}

/** What a banner says, and in which colour. */
export interface Banner {
  readonly tone: "good" | "bad" | "broken";
  readonly title: string;
  readonly sentence: string;
  readonly context: string;
}

const MARKS = { good: "✓", bad: "✗", broken: "!" } as const;

/** The verdict, on top. */
export function banner({ tone, title, sentence, context }: Banner): Html {
  return html`<header class="banner ${tone}">
<span class="mark" aria-hidden="true">${MARKS[tone]}</span>
<div><h1>${title}</h1><p>${sentence}</p><p class="context">${context}</p></div>
</header>`;
}

/** A number with its name; a note beneath where there is one. */
export interface Fact {
  readonly name: string;
  readonly value: string;
  readonly note?: string;
  readonly isBad?: boolean;
}

/** The numbers that matter, side by side. */
export function factList(facts: readonly Fact[]): Html {
  return html`<dl class="facts">${facts.map(
    ({ name, value, note, isBad }) =>
      html`<div${isBad === true ? html` class="bad"` : null}><dt>${name}</dt><dd>${value}${
        note === undefined ? null : html`<small>${note}</small>`
      }</dd></div>`,
  )}</dl>`;
}

/** A column of a table: its head, and whether it holds numbers. */
export interface Column {
  readonly head: string;
  readonly isNumber?: boolean;
}

/** A table; `rows` have a cell for each column. */
export function dataTable(
  columns: readonly Column[],
  rows: readonly (readonly HtmlPart[])[],
  foot?: readonly HtmlPart[],
): Html {
  const kind = (at: number): Html | null => (columns[at]?.isNumber === true ? html` class="number"` : null);
  const line = (cells: readonly HtmlPart[]): Html =>
    html`<tr>${cells.map((cell, at) => html`<td${kind(at)}>${cell}</td>`)}</tr>\n`;
  return html`<div class="scroll"><table>
<thead><tr>${columns.map(({ head }, at) => html`<th scope="col"${kind(at)}>${head}</th>`)}</tr></thead>
<tbody>
${rows.map(line)}</tbody>${foot === undefined ? null : html`<tfoot>${line(foot)}</tfoot>`}
</table></div>`;
}

/** What is there for whoever wants it: closed until opened. */
export function more(summary: string, content: HtmlPart): Html {
  return html`<details><summary>${summary}</summary>
${content}
</details>`;
}

/** Names and values, for options and versions. */
export function valueTable(values: readonly (readonly [string, string])[]): Html {
  return html`<table class="values"><tbody>${values.map(
    ([name, value]) => html`<tr><th scope="row">${name}</th><td>${value}</td></tr>\n`,
  )}</tbody></table>`;
}

/**
 * Two guests side by side, as a page.
 */
import type { LinuxComparison } from "./linux-compare.ts";
import type { LinuxCheck, LinuxRecord } from "./linux-record.ts";
import { LINUX_TITLES } from "./linux-page.ts";
import { type Html, html, shortened } from "./markup.ts";
import { banner, dataTable, page } from "./page.ts";
import { msText } from "./quantities.ts";

const TEXT_MAX = 1000;
const MARKS = { pass: "✓", fail: "✗", "not-offered": "–" } as const;

/** Makes the page. */
export function linuxComparePage(comparison: LinuxComparison, records: readonly [LinuxRecord, LinuxRecord]): string {
  const { names, better, sentence, checks, times } = comparison;
  const rows = records.map(({ verdict, reason, sentence: told }, side) => [
    html`<strong>${shortened(names[side] ?? "", TEXT_MAX)}</strong>`,
    html`<span class="${verdict === "came-back" ? "good" : "bad"}">${LINUX_TITLES[verdict]}</span>`,
    shortened(reason === null ? told : `${told}: ${reason}`, TEXT_MAX),
  ]);
  const different = checks.filter(({ results: [one, other] }) => one?.result !== other?.result);
  const body = html`${banner({
    tone: better === "both" && records[0].verdict === "came-back" ? "good" : better === "both" ? "bad" : "good",
    title: better === "both" ? "Equal" : `Better: ${names[better === "first" ? 0 : 1]}`,
    sentence,
    context: "virtgpu linux --compare",
  })}
<section><h2>Verdicts</h2>${dataTable([{ head: "guest" }, { head: "verdict" }, { head: "" }], rows)}</section>
<section class="long"><h2>Where they differ</h2>${
    different.length === 0 ? html`<p>In no check.</p>` : checkTable(names, different)
  }</section>
<section class="long"><h2>Times</h2>${timeTable(names, times)}</section>
<section class="long"><h2>All checks</h2>${checkTable(names, checks)}</section>`;
  return page(`virtgpu linux: ${names[0]} and ${names[1]}`, body);
}

function checkTable(names: LinuxComparison["names"], checks: LinuxComparison["checks"]): Html {
  const cell = (check: LinuxCheck | null): Html =>
    check === null
      ? html`<span class="faint">not looked at</span>`
      : html`<strong class="${check.result === "pass" ? "good" : check.result === "fail" ? "bad" : "faint"}">${
          MARKS[check.result]
        }</strong> <small>${shortened(check.detail, TEXT_MAX)}</small>`;
  const rows = checks.map(({ sleep, way, name, results }) => [`${sleep}: ${way}`, name, ...results.map(cell)]);
  return dataTable([{ head: "sleep" }, { head: "check" }, ...names.map((head) => ({ head }))], rows);
}

function timeTable(names: LinuxComparison["names"], times: LinuxComparison["times"]): Html {
  const rows = times
    .filter(({ ms }) => ms.some((value) => value !== null))
    .map(({ sleep, way, name, ms }) => {
      return [`${sleep}: ${way}`, name, ...ms.map((value) => (value === null ? "–" : msText(value)))];
    });
  const columns = [{ head: "sleep" }, { head: "time" }, ...names.map((head) => ({ head, isNumber: true }))];
  return dataTable(columns, rows);
}

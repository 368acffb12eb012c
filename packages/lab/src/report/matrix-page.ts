/**
 * The report of a matrix, as a page.
 */
import { type Html, html, shortened } from "./markup.ts";
import { judgeMatrix, type MatrixCell, type MatrixRecord } from "./matrix-record.ts";
import { matrixColumns, matrixRows, type MatrixRow, reasonGroups } from "./matrix-text.ts";
import { banner, dataTable, factList, page, valueTable } from "./page.ts";
import { countText, msText, plural } from "./quantities.ts";
import { optionRows } from "./run-page.ts";

const COMPLAINTS_MAX = 500;
const NAMES_MAX = 12;
const TEXT_MAX = 1000;
const MARKS = { pass: "✓", fail: "✗", "not offered": "–" } as const;

/** Makes the page. */
export function matrixPage(record: MatrixRecord): string {
  const { cells, hosts, startedAt, durationMs, versions, commandLine, options, shards, planned } = record;
  const { isGreen, complaints, passed, failed, notOffered } = judgeMatrix(record);
  const parts = shards[0]?.count ?? 1;
  const body = html`${banner({
    tone: isGreen ? "good" : "bad",
    title: isGreen ? "Every cell that must pass passes" : `Red: ${plural(complaints.length, "complaint")}`,
    sentence: `${plural(passed, "cell")} passed, ${countText(failed)} failed, ${countText(notOffered)} not offered by their host`,
    context: `virtgpu matrix, ${startedAt}`,
  })}
${factList([
  { name: "cells", value: `${countText(cells.length)} of ${countText(planned)}`, isBad: cells.length !== planned },
  { name: "failed", value: countText(failed), isBad: failed > 0 },
  { name: "must pass", value: countText(cells.filter(({ mustPass }) => mustPass).length) },
  { name: "hosts", value: countText(hosts.length) },
  { name: "parts", value: `${countText(shards.length)} of ${countText(parts)}`, isBad: shards.length < parts },
  { name: "time in all", value: msText(durationMs) },
])}
${complaintSection(complaints)}
<section class="long"><h2>Matrix</h2>${grid(record)}
<p class="legend"><span>✓ passed</span><span>✗ failed</span><span>– not offered</span><span>! must pass</span><span>empty: not in here</span></p></section>
${notOfferedSection(cells)}
<section class="long"><h2>Hosts</h2>${valueTable(hosts.map(({ name, label }) => [name, shortened(label, TEXT_MAX)]))}</section>
<section><h2>For a bug report</h2><pre>${shortened(commandLine, 4000)}</pre>${valueTable([
    ["virtgpu", versions.virtgpu],
    ["Node.js", `${versions.node}, ${versions.platform}`],
    ...optionRows(options),
  ])}<p class="faint">Please attach <a href="matrix.json">matrix.json</a>.</p></section>`;
  return page(`${isGreen ? "Green" : "Red"}: virtgpu matrix`, body);
}

function complaintSection(complaints: readonly string[]): Html | null {
  if (complaints.length === 0) return null;
  const shown = complaints
    .slice(0, COMPLAINTS_MAX)
    .map((complaint) => html`<li>${shortened(complaint, TEXT_MAX)}</li>\n`);
  const left = complaints.length - shown.length;
  const rest = left === 0 ? null : html`<p class="faint">${countText(left)} more in matrix.json.</p>`;
  return html`<section class="long"><h2>What is wrong</h2><ul class="errors">${shown}</ul>${rest}</section>`;
}

function grid(record: MatrixRecord): Html {
  const columns = matrixColumns(record);
  let above: string | null = null;
  const rows = matrixRows(record).map((row) => {
    const isFirst = row.sleep !== above;
    above = row.sleep;
    return gridRow(row, isFirst);
  });
  const heads = columns.map((name) => html`<th scope="col" class="column">${shortened(name, 60)}</th>`);
  return html`<div class="scroll"><table class="matrix"><thead><tr><th scope="col">sleep</th><th scope="col">fault</th>${heads}</tr></thead>
<tbody>
${rows}</tbody></table></div>`;
}

function gridRow({ sleep, fault, cells }: MatrixRow, isFirst: boolean): Html {
  const name = isFirst ? html`<strong>${shortened(sleep, 60)}</strong>` : null;
  return html`<tr${isFirst ? html` class="first"` : null}><td>${name}</td><td>${fault === "none" ? "–" : html`<code>${shortened(fault, 80)}</code>`}</td>${cells.map(gridCell)}</tr>\n`;
}

function gridCell(cell: MatrixCell | null): Html {
  if (cell === null) return html`<td class="cell absent"></td>`;
  const { result, reason, durationMs, mustPass } = cell;
  const look = result === "not offered" ? "absent" : result;
  const title = `${result}${reason === null ? "" : `: ${shortened(reason, TEXT_MAX)}`} (${msText(durationMs)})`;
  const must = mustPass ? html`<span class="must">!</span>` : null;
  return html`<td class="cell ${look}" title="${title}">${MARKS[result]}${must}</td>`;
}

/** Each answer of a probe once, with the cells that it concerns. */
function notOfferedSection(cells: readonly MatrixCell[]): Html | null {
  const groups = [...reasonGroups(cells.filter(({ result }) => result === "not offered"))];
  if (groups.length === 0) return null;
  const rows = groups.map(([reason, those]) => {
    const hosts = [...new Set(those.map(({ host }) => host))].slice(0, NAMES_MAX).join(", ");
    const names = [...new Set(those.map(({ sleep, fault }) => (fault === "none" ? sleep : `${sleep} × ${fault}`)))];
    const left = names.length - NAMES_MAX;
    const list = `${names.slice(0, NAMES_MAX).join(", ")}${left > 0 ? ` and ${countText(left)} more` : ""}`;
    return [shortened(reason, TEXT_MAX), shortened(hosts, TEXT_MAX), shortened(list, TEXT_MAX)];
  });
  const columns = [{ head: "the probe's answer" }, { head: "hosts" }, { head: "cells" }];
  return html`<section class="long"><h2>Not offered</h2>${dataTable(columns, rows)}</section>`;
}

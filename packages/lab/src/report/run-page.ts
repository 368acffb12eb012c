/**
 * The report of a run, as a page: the verdict, what went wrong, the pictures, the objects, the times, and all that a bug
 * report needs.
 */
import { commandName } from "@virtgpu/core/wire";
import { type Html, html, shortened } from "./markup.ts";
import { banner, dataTable, type Fact, factList, more, page, valueTable } from "./page.ts";
import { bytesText, countText, msText, plural } from "./quantities.ts";
import type { ErrorRecord, KindRow, ObjectRecord, Options, OutputRecord, RunRecord, RunVerdict } from "./run-record.ts";
import { timeline } from "./timeline.ts";

/** A picture in the page: PNG, by how much it was made smaller, and the file beside the page that has it whole. */
export interface EmbeddedPicture {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly scale: number;
  readonly file: string;
}

/** Of one output, of the last sleep; null: there is none. */
export interface OutputPictures {
  readonly output: number;
  readonly before: EmbeddedPicture | null;
  readonly after: EmbeddedPicture | null;
  readonly difference: EmbeddedPicture | null;
  readonly differingPixels: number | null;
}

const LOST_MAX = 200;
const OBJECTS_MAX = 1000;
const PHASES_MAX = 500;
const ERRORS_SHOWN = 10;
const ERRORS_MAX = 500;
const TEXT_MAX = 500;

const TITLES: Readonly<Record<RunVerdict, string>> = {
  "nothing lost": "Nothing lost",
  lost: "Lost",
  failed: "Failed",
};
const TONES = { "nothing lost": "good", lost: "bad", failed: "broken" } as const;

/** Makes the page. */
export function runPage(record: RunRecord, pictures: readonly OutputPictures[]): string {
  const { verdict, host, startedAt } = record;
  const device = [host.name, host.version, host.machine, host.device].filter((part) => part !== null).join(", ");
  const body = html`${banner({
    tone: TONES[verdict],
    title: TITLES[verdict],
    sentence: shortened(record.sentence.replace(`${verdict}: `, ""), 1000),
    context: `virtgpu hibernate, ${device}, ${startedAt}`,
  })}
${factList(factsOf(record))}
${errorSection(record.errors)}
${outputSection(record, pictures)}
${objectSection(record)}
${timeSection(record)}
${bugSection(record)}`;
  return page(`${TITLES[verdict]}: virtgpu hibernate on ${host.name}`, body);
}

function factsOf(record: RunRecord): readonly Fact[] {
  const { objects, outputs, kinds, timeToPictureMs, timeToCompleteMs, durationMs, cycles } = record;
  const restored = kinds.reduce((sum, row) => sum + row.restored, 0);
  const count = kinds.reduce((sum, row) => sum + row.count, 0);
  const bytes = kinds.reduce((sum, row) => sum + row.bytes, 0);
  const same = outputs.filter(({ identical }) => identical).length;
  const cursors = outputs.flatMap(({ cursor }) => (cursor === null ? [] : [cursor]));
  const sameCursors = cursors.filter(({ identical }) => identical).length;
  const time = (ms: number | null): string => (ms === null ? "–" : msText(ms));
  return [
    {
      name: "objects restored",
      value: `${countText(restored)} of ${countText(Math.max(count, objects.length))}`,
      note: bytesText(bytes),
      isBad: restored < count,
    },
    {
      name: "outputs identical",
      value: `${countText(same)} of ${countText(outputs.length)}`,
      note: cycles > 1 ? `over ${plural(cycles, "sleep")}` : "byte for byte",
      isBad: same < outputs.length,
    },
    {
      name: "cursors identical",
      value: `${countText(sameCursors)} of ${countText(cursors.length)}`,
      note: "picture, hot spot, place",
      isBad: sameCursors < cursors.length,
    },
    { name: "time to picture", value: time(timeToPictureMs), note: "from the start of the restore" },
    { name: "time to complete", value: time(timeToCompleteMs), note: "until all objects are back" },
    {
      name: "whole run",
      value: msText(durationMs),
      note: `${record.processes.length} machine process${record.processes.length === 1 ? "" : "es"}`,
    },
  ];
}

function errorSection(errors: readonly ErrorRecord[]): Html | null {
  if (errors.length === 0) return null;
  const item = ({ code, message, where }: ErrorRecord): Html =>
    html`<li><code>${shortened(code, 50)}</code> ${shortened(message, 2000)} <span class="faint">${shortened(where, TEXT_MAX)}</span></li>\n`;
  const shown = errors.slice(0, ERRORS_SHOWN);
  const others = errors.slice(ERRORS_SHOWN, ERRORS_MAX);
  const rest =
    errors.length > ERRORS_MAX ? `, of which ${countText(others.length)} are here; the others are in report.json` : "";
  const tail =
    others.length === 0
      ? null
      : more(
          `${countText(errors.length - shown.length)} more${rest}`,
          html`<ul class="errors">${others.map(item)}</ul>`,
        );
  return html`<section><h2>${plural(errors.length, "error")}</h2><ul class="errors">${shown.map(item)}</ul>${tail}</section>`;
}

function outputSection({ outputs, cycles }: RunRecord, pictures: readonly OutputPictures[]): Html | null {
  if (outputs.length === 0) return null;
  const last = outputs.reduce((most, { cycle }) => Math.max(most, cycle), 0);
  const figures = outputs
    .filter(({ cycle }) => cycle === last)
    .map((output) =>
      outputFigure(
        output,
        pictures.find((row) => row.output === output.index),
      ),
    );
  const earlier = outputs.filter(({ cycle }) => cycle !== last);
  const broken = earlier.filter(({ identical, cursor }) => !identical || cursor?.identical === false);
  const about =
    cycles <= 1
      ? null
      : html`<p class="faint">Pictures are of sleep ${last} of ${cycles}; ${
          broken.length === 0
            ? "all outputs were identical after each earlier one"
            : `earlier: ${broken
                .map(({ cycle, index }) => `output ${index} after sleep ${cycle}`)
                .slice(0, 20)
                .join(", ")} differed`
        }.</p>`;
  return html`<section class="long"><h2>Outputs</h2>${about}${figures}</section>`;
}

function outputFigure(output: OutputRecord, pictures: OutputPictures | undefined): Html {
  const { index, width, height, identical, before, after, cursor } = output;
  const verdict = identical
    ? html`<span class="good">identical</span>`
    : html`<span class="bad">${differenceText(output)}</span>`;
  const pointer =
    cursor === null
      ? null
      : cursor.identical
        ? html`, cursor <span class="good">identical</span>`
        : html`, cursor <span class="bad">not what it was</span>`;
  const place = html`${width === 0 ? "dark" : `${width}×${height}`}`;
  const tools = html`<span class="tools" hidden><button type="button" aria-expanded="false">compare with a slider</button></span>`;
  return html`<div class="output"><div class="panel-head"><h3>Output ${index}, ${place}: ${verdict}${pointer}</h3>${tools}</div>
<div class="pictures">
${pictureFigure("before", before, pictures?.before ?? null)}
${pictureFigure("after", after, pictures?.after ?? null)}
${differenceFigure(output, pictures)}
</div></div>`;
}

function differenceText({ differingPixels, width, height, before, after }: OutputRecord): string {
  if (after === null) return "dark";
  if (before === null) return "was dark";
  if (differingPixels === null) return "another size";
  const share = (100 * differingPixels) / Math.max(1, width * height);
  return `${plural(differingPixels, "pixel")} of ${countText(width * height)} (${share < 0.01 ? "under 0.01" : share.toFixed(2)} %) ${differingPixels === 1 ? "differs" : "differ"}`;
}

/** A picture with its caption; `sha256` null: dark, empty: not to be shown. */
export function pictureFigure(
  when: "before" | "after" | "difference",
  sha256: string | null,
  picture: EmbeddedPicture | null,
): Html {
  const hash =
    sha256 === null || sha256 === ""
      ? null
      : html`<span class="hash" title="SHA-256 of the pixels: ${sha256}">${shortHash(sha256)}</span>`;
  const caption = html`<span>${when}${pictureNote(picture)}</span>${hash}`;
  const empty = sha256 === null ? "dark" : "no picture was taken";
  const content = picture === null ? html`<div class="nothing">${empty}</div>` : image(picture, when);
  return html`<figure>${content}<figcaption>${caption}</figcaption></figure>`;
}

function differenceFigure({ identical }: OutputRecord, pictures: OutputPictures | undefined): Html {
  const { difference = null, differingPixels = null } = pictures ?? {};
  if (difference === null || (differingPixels === 0 && identical)) {
    const text = identical ? "no pixel differs" : "nothing to hold against each other";
    return html`<figure><div class="nothing${identical ? " good" : ""}">${text}</div><figcaption><span>difference</span></figcaption></figure>`;
  }
  const caption = html`<span>difference, highlighted${pictureNote(difference)}</span>`;
  return html`<figure>${image(difference, "difference")}<figcaption>${caption}</figcaption></figure>`;
}

function image({ png, width, height }: EmbeddedPicture, kind: string): Html {
  const source = `data:image/png;base64,${Buffer.from(png).toString("base64")}`;
  return html`<img class="${kind}" alt="${kind}" width="${width}" height="${height}" src="${source}">`;
}

function pictureNote(picture: EmbeddedPicture | null): Html | null {
  if (picture === null) return null;
  const smaller = picture.scale === 1 ? "" : `, at 1/${picture.scale} of its size`;
  return html`${smaller} (<a href="${picture.file}">${picture.file}</a>)`;
}

function objectSection({ kinds, objects }: RunRecord): Html {
  const sum = (of: (row: KindRow) => number): number => kinds.reduce((total, row) => total + of(row), 0);
  const columns = [
    { head: "kind" },
    ...["count", "guest memory", "restored", "lost", "unrecoverable"].map((head) => ({ head, isNumber: true })),
  ];
  const loss = (count: number): Html =>
    count === 0 ? html`0` : html`<strong class="bad">${countText(count)}</strong>`;
  const cells = (name: string, row: Omit<KindRow, "kind">): readonly (Html | string)[] => [
    name,
    countText(row.count),
    bytesText(row.bytes),
    countText(row.restored),
    loss(row.lost),
    loss(row.unrecoverable),
  ];
  const total = cells("all", {
    count: sum((row) => row.count),
    bytes: sum((row) => row.bytes),
    restored: sum((row) => row.restored),
    lost: sum((row) => row.lost),
    unrecoverable: sum((row) => row.unrecoverable),
  });
  const lost = objects.filter(({ state }) => state !== "restored");
  const table = dataTable(
    columns,
    kinds.map((row) => cells(row.kind, row)),
    total,
  );
  return html`<section class="long"><h2>Objects</h2>
${lost.length === 0 ? null : lostTable(lost)}
${table}
${objects.length === 0 ? null : allObjects(objects)}</section>`;
}

function lostTable(lost: readonly ObjectRecord[]): Html {
  const rows = lost
    .slice(0, LOST_MAX)
    .map(({ key, kind, bytes, state, reason }) => [
      html`<code>${shortened(key, TEXT_MAX)}</code>`,
      kind,
      bytesText(bytes),
      html`<span class="bad">${state}</span>`,
      shortened(reason ?? "", TEXT_MAX),
    ]);
  const columns = [
    { head: "object" },
    { head: "kind" },
    { head: "size", isNumber: true },
    { head: "state" },
    { head: "why" },
  ];
  const left = lost.length - rows.length;
  const rest = left === 0 ? null : html`<p class="faint">${countText(left)} more in report.json.</p>`;
  return html`<h3>${plural(lost.length, "object")} that did not come back</h3>${dataTable(columns, rows)}${rest}<h3>By kind</h3>`;
}

function allObjects(objects: readonly ObjectRecord[]): Html {
  const shown = objects.slice(0, OBJECTS_MAX);
  const rows = shown.map(({ key, kind, bytes, storage, attached, before, after, state }) => [
    html`<code>${shortened(key, TEXT_MAX)}</code>`,
    kind,
    bytesText(bytes),
    `${storage}${attached ? "" : ", detached"}`,
    html`<code>${shortHash(before ?? "–")}</code>`,
    html`<code>${shortHash(after ?? "–")}</code>`,
    state,
  ]);
  const heads = ["object", "kind", "size", "storage", "before", "after", "state"];
  const columns = heads.map((head) => ({ head, isNumber: head === "size" }));
  const rest = shown.length === objects.length ? "" : `; the first ${countText(shown.length)} here, all in report.json`;
  return more(`All ${plural(objects.length, "object")}${rest}`, dataTable(columns, rows));
}

function timeSection(record: RunRecord): Html {
  const { phases, commandsDropped } = record;
  const rows = phases
    .slice(0, PHASES_MAX)
    .map(({ process, device, phase, startMs, durationMs, outcome, detail }) => [
      String(process),
      device,
      shortened(phase, TEXT_MAX),
      msText(startMs),
      msText(durationMs),
      outcome === "done" ? outcome : html`<span class="bad">${outcome}</span>`,
      shortened(detail ?? "", TEXT_MAX),
    ]);
  const heads = ["process", "device", "phase", "from", "took", "outcome", ""];
  const columns = heads.map((head) => ({ head, isNumber: head === "from" || head === "took" }));
  const rest = rows.length === phases.length ? "" : `, the first ${countText(rows.length)} of them`;
  const dropped =
    commandsDropped === 0
      ? null
      : html`<p class="faint">${plural(commandsDropped, "command")} in the middle of the run are in no record: too many to keep.</p>`;
  return html`<section class="long"><h2>Times</h2>${timeline(record)}${dropped}
${phases.length === 0 ? null : more(`${plural(phases.length, "phase")}${rest}`, dataTable(columns, rows))}
${commandTable(record)}
<p class="faint">Open <a href="trace.json">trace.json</a> in ui.perfetto.dev to see each command.</p></section>`;
}

function commandTable({ commands }: RunRecord): Html | null {
  const byType = new Map<number, number[]>();
  for (const { type, durationMs } of commands) {
    const times = byType.get(type) ?? [];
    byType.set(type, times);
    times.push(durationMs ?? Infinity);
  }
  const time = (ms: number | undefined): string => (ms === undefined || ms === Infinity ? "no answer" : msText(ms));
  const rows = [...byType].map(([type, times]) => {
    times.sort((one, other) => one - other);
    return [commandName(type), countText(times.length), time(times[times.length >> 1]), time(times.at(-1))];
  });
  const columns = [{ head: "command" }, ...["count", "median", "longest"].map((head) => ({ head, isNumber: true }))];
  return rows.length === 0 ? null : more(`${plural(commands.length, "command")}, by kind`, dataTable(columns, rows));
}

function bugSection(record: RunRecord): Html {
  const { commandLine, options, versions, host, processes } = record;
  const lives = processes.map(({ process, pid, role, startMs, endMs, exit }): [string, string] => [
    `process ${process}`,
    `${role}, pid ${pid}, from ${msText(startMs)}${endMs === null ? "" : ` to ${msText(endMs)}`}${exit === null ? "" : `, ended with ${exit}`}`,
  ]);
  const values: [string, string][] = [
    ["virtgpu", versions.virtgpu],
    ["Node.js", `${versions.node}, ${versions.platform}`],
    ["host", [host.name, host.version].filter((part) => part !== null).join(" ")],
    ["device", [host.device, host.machine].filter((part) => part !== null).join(" on ")],
    ...lives,
    ...optionRows(options),
  ];
  return html`<section><h2>For a bug report</h2><pre>${shortened(commandLine, 4000)}</pre>${valueTable(values)}
<p class="faint">Please attach <a href="report.json">report.json</a> and <a href="trace.json">trace.json</a>. They hold hashes, names and times, no pictures.</p></section>`;
}

/** The beginning of a hash, without the size that may stand before it. */
function shortHash(hash: string): string {
  return shortened(hash.split(" ").at(-1) ?? hash, 13);
}

/** Options for people, as rows of a table. */
export function optionRows(options: Options): readonly [string, string][] {
  return Object.entries(options).map(([name, value]) => {
    const text = typeof value === "object" ? (value?.join(" ") ?? "not given") || "none" : String(value ?? "not given");
    return [`--${name}`, shortened(text, TEXT_MAX)];
  });
}

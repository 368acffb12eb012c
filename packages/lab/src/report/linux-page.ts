/**
 * The report of a guest's sleeps, as a page: the verdict and why, the remedy, the pictures, the checks, the times, and what
 * guest and host said.
 */
import type { LinuxCheck, LinuxRecord, LinuxSleep, LinuxTimes, LinuxVerdict } from "./linux-record.ts";
import { type Html, html, shortened } from "./markup.ts";
import { banner, dataTable, type Fact, factList, more, page, valueTable } from "./page.ts";
import { countText, msText, plural } from "./quantities.ts";
import { optionRows, type OutputPictures, pictureFigure } from "./run-page.ts";

const TEXT_MAX = 2000;
const LINES_MAX = 400;

/** For people. */
export const LINUX_TITLES: Readonly<Record<LinuxVerdict, string>> = {
  "came-back": "Came back",
  "came-back-after-redraw": "Came back after a redraw",
  never: "Never came back",
  hung: "Hung",
};

/** Makes the page. */
export function linuxPage(record: LinuxRecord, pictures: readonly OutputPictures[]): string {
  const { subject, startedAt, verdict } = record;
  const failed = failedChecks(record);
  const isWell = verdict === "came-back" && failed.length === 0;
  const tone = isWell ? "good" : verdict === "hung" ? "broken" : "bad";
  const title = isWell ? "Came back, nothing lost" : titleOf(verdict, failed.length);
  const body = html`${banner({
    tone,
    title,
    sentence: shortened(record.reason === null ? record.sentence : `${record.sentence}: ${record.reason}`, TEXT_MAX),
    context: `virtgpu linux, ${subject.name}, Linux ${subject.kernel}, ${subject.qemu}, ${startedAt}`,
  })}
${factList(factsOf(record))}
${remedySection(record)}
${pictureSection(record, pictures)}
${record.sleeps.map(sleepSection)}
${timeSection(record)}
${notOfferedSection(record)}
${logSection(record)}
${bugSection(record)}`;
  return page(`${title}: virtgpu linux, ${subject.name}`, body);
}

function titleOf(verdict: LinuxVerdict, failed: number): string {
  return verdict === "came-back" ? `Came back, but ${plural(failed, "check")} failed` : LINUX_TITLES[verdict];
}

function failedChecks({ sleeps }: LinuxRecord): readonly LinuxCheck[] {
  return sleeps.flatMap(({ checks }) => checks.filter(({ result }) => result === "fail"));
}

function factsOf(record: LinuxRecord): readonly Fact[] {
  const { sleeps, durationMs } = record;
  const checks = sleeps.flatMap((sleep) => sleep.checks);
  const passed = checks.filter(({ result }) => result === "pass").length;
  const failed = failedChecks(record).length;
  const notOffered = checks.length - passed - failed;
  const back = sleeps.filter(({ verdict }) => verdict === "came-back").length;
  const last = sleeps.at(-1);
  const time = (ms: number | null | undefined): string => (ms === null || ms === undefined ? "–" : msText(ms));
  return [
    { name: "came back by itself", value: `${back} of ${plural(sleeps.length, "sleep")}`, isBad: back < sleeps.length },
    {
      name: "checks passed",
      value: `${countText(passed)} of ${countText(passed + failed)}`,
      ...(notOffered === 0 ? {} : { note: `${countText(notOffered)} not offered` }),
      isBad: failed > 0,
    },
    { name: "to the picture", value: time(last?.times.picture), note: "from the wake, the boot included" },
    { name: "guest: to the picture", value: time(last?.times.guestPicture), note: "from the return of the sleep" },
    { name: "guest: to all objects", value: time(last?.times.guestComplete), note: "from the return of the sleep" },
    { name: "whole run", value: msText(durationMs) },
  ];
}

function remedySection({ remedy, subject }: LinuxRecord): Html | null {
  if (remedy === null) return null;
  const tried = subject.remedy ? "It was tried in this run." : "To try it here: the same command with --remedy.";
  return html`<section><h2>What helps today</h2><p>${remedy.about}</p><p class="faint">${tried}</p>${more(
    remedy.file,
    html`<pre>${remedy.unit}</pre>`,
  )}</section>`;
}

function pictureSection({ sleeps }: LinuxRecord, pictures: readonly OutputPictures[]): Html | null {
  if (pictures.length === 0) return null;
  const last = sleeps.at(-1);
  const about = sleeps.length > 1 && last !== undefined ? `Of sleep ${last.number}, ${last.way}.` : null;
  const figures = pictures.map(({ output, before, after, difference, differingPixels }) => {
    const isSame = differingPixels === 0;
    const verdict = isSame
      ? html`<span class="good">identical</span>`
      : html`<span class="bad">${differingPixels === null ? "not what it was" : `${plural(differingPixels, "pixel")} differ`}</span>`;
    const third =
      difference === null || isSame
        ? html`<figure><div class="nothing${isSame ? " good" : ""}">${
            isSame ? "no pixel differs" : "nothing to hold against each other"
          }</div><figcaption><span>difference</span></figcaption></figure>`
        : pictureFigure("difference", "", difference);
    const tools = html`<span class="tools" hidden><button type="button" aria-expanded="false">compare with a slider</button></span>`;
    return html`<div class="output"><div class="panel-head"><h3>Output ${output}: ${verdict}</h3>${tools}</div>
<div class="pictures">
${pictureFigure("before", "", before)}
${pictureFigure("after", "", after)}
${third}
</div></div>`;
  });
  return html`<section class="long"><h2>Outputs</h2>${about === null ? null : html`<p class="faint">${about}</p>`}${figures}</section>`;
}

const RESULTS = { pass: "✓", fail: "✗", "not-offered": "–" } as const;

function sleepSection({ number, way, verdict, checks, reason, evidence }: LinuxSleep): Html {
  const rows = [
    ...checks.filter(({ result }) => result === "fail"),
    ...checks.filter(({ result }) => result !== "fail"),
  ].map(({ name, result, requirements, detail }) => [
    html`<strong class="${result === "pass" ? "good" : result === "fail" ? "bad" : "faint"}">${RESULTS[result]}</strong>`,
    shortened(name, TEXT_MAX),
    html`<small>${requirements.join(", ")}</small>`,
    html`<small>${shortened(detail, TEXT_MAX)}</small>`,
  ]);
  const tone = verdict === "came-back" ? "good" : "bad";
  const { events, isNewProcess, exitCode, restored, lost } = evidence;
  const counted =
    restored === null ? "" : `; the driver counts ${countText(restored)} restored, ${countText(lost ?? 0)} lost`;
  const process = isNewProcess
    ? `QEMU ended with code ${exitCode ?? "–"}, and a new one woke the guest`
    : "one QEMU process";
  return html`<section class="long"><h2>Sleep ${number}: <code>${way}</code> <span class="${tone}">${LINUX_TITLES[verdict]}</span></h2>
${reason === null ? null : html`<p>${shortened(reason, TEXT_MAX)}</p>`}
<p class="faint">${process}; QMP: ${events.join(", ") || "no event"}${counted}</p>
${dataTable([{ head: "" }, { head: "check" }, { head: "requirements" }, { head: "what was seen" }], rows)}</section>`;
}

function timeSection({ sleeps }: LinuxRecord): Html {
  const time = (ms: number | null): string => (ms === null ? "–" : msText(ms));
  const heads: readonly (readonly [string, keyof LinuxTimes])[] = [
    ["asleep after", "hibernate"],
    ["answer", "wake"],
    ["picture", "picture"],
    ["guest: picture", "guestPicture"],
    ["guest: all objects", "guestComplete"],
  ];
  const rows = sleeps.map(({ number, way, times }) => [
    String(number),
    way,
    ...heads.map(([, name]) => time(times[name])),
  ]);
  const columns = [{ head: "sleep" }, { head: "way" }, ...heads.map(([head]) => ({ head, isNumber: true }))];
  return html`<section class="long"><h2>Times</h2>${dataTable(columns, rows)}
<p class="faint">Asleep: from the wish to the end of the QEMU process. Answer and picture: from the start of the new process, or the wake. The guest's own: from the return of the sleep, by its monotonic clock.</p></section>`;
}

function notOfferedSection({ notOffered }: LinuxRecord): Html | null {
  if (notOffered.length === 0) return null;
  const rows = notOffered.map(({ kind, reason }) => [shortened(kind, 200), shortened(reason, TEXT_MAX)]);
  return html`<section><h2>Not offered by this guest</h2>${dataTable([{ head: "kind" }, { head: "why" }], rows)}</section>`;
}

function logSection({ guestLog, hostLog, console, queues }: LinuxRecord): Html {
  const block = (lines: readonly string[]): Html => {
    const left = lines.length - LINES_MAX;
    const cut = left > 0 ? `… ${countText(left)} earlier lines are in linux.json\n` : "";
    return html`<pre>${cut}${lines.slice(-LINES_MAX).map((line) => `${shortened(line, 400)}\n`)}</pre>`;
  };
  const part = (title: string, lines: readonly string[]): Html | null =>
    lines.length === 0 ? null : html`<h3>${title}</h3>${block(lines)}`;
  const isQuiet = guestLog.length + hostLog.length + queues.length === 0;
  return html`<section class="long"><h2>What guest and host said</h2>
${isQuiet ? html`<p>No complaint on either side.</p>` : null}
${part("Kernel", guestLog)}${part("QEMU", hostLog)}${part("Queues, as QEMU knows them", queues)}
${console.length === 0 ? null : more(`The console's last ${plural(console.length, "line")}`, block(console))}</section>`;
}

function bugSection({ commandLine, options, versions, subject }: LinuxRecord): Html {
  const values: readonly (readonly [string, string])[] = [
    ["virtgpu", versions.virtgpu],
    ["Node.js", `${versions.node}, ${versions.platform}`],
    ["driver", `${subject.name} (${subject.driver}, ${subject.way})`],
    ["kernel", `${subject.kernel}, from ${subject.source}`],
    ["QEMU", subject.qemu],
    [
      "machine",
      `${subject.machine}, ${subject.accelerator}, ${countText(subject.ram)} MiB, ${subject.devices.join("; ")}`,
    ],
    ...optionRows(options),
  ];
  return html`<section><h2>For a bug report</h2><pre>${shortened(commandLine, 4000)}</pre>${valueTable(
    values.map(([name, value]) => [name, shortened(value, TEXT_MAX)]),
  )}<p class="faint">Please attach <a href="linux.json">linux.json</a>. It holds texts and times, no pictures.</p></section>`;
}

/**
 * JUnit XML, as CI systems read it: of a matrix (a suite for each host, a case for each cell) and of a run (a case for each
 * thing that was checked).
 */
import { escapeAttribute, escapeMarkup, shortened } from "./markup.ts";
import type { MatrixCell, MatrixRecord } from "./matrix-record.ts";
import { judgeMatrix } from "./matrix-record.ts";
import { countText } from "./quantities.ts";
import type { RunRecord } from "./run-record.ts";

/** One thing that was tried. */
export interface JunitCase {
  readonly className: string;
  readonly name: string;
  readonly ms: number;
  readonly outcome:
    | { readonly kind: "passed" }
    | { readonly kind: "failure" | "error" | "skipped"; readonly message: string };
}

/** Cases that belong together. */
export interface JunitSuite {
  readonly name: string;
  readonly timestamp: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly cases: readonly JunitCase[];
}

const MESSAGE_MAX = 2000;
/** Cases of objects in the XML of a run: those lost, up to so many. */
const LOST_MAX = 1000;

/** A matrix. A cell that is not offered is skipped, with the probe's answer; a failure if it must pass. */
export function matrixJunit(record: MatrixRecord): string {
  const { hosts, cells, startedAt, versions } = record;
  const names = [...new Set([...hosts.map(({ name }) => name), ...cells.map(({ host }) => host)])];
  const suites = names.map((name): JunitSuite => {
    const label = hosts.find((host) => host.name === name)?.label ?? name;
    const cases = cells.filter(({ host }) => host === name).map(cellCase);
    return { name, timestamp: startedAt, properties: { host: label, virtgpu: versions.virtgpu }, cases };
  });
  const missing = judgeMatrix(record).complaints.filter((complaint) =>
    /^shards missing|^\d+ cells were/.test(complaint),
  );
  const wholeness: JunitSuite = {
    name: "matrix",
    timestamp: startedAt,
    properties: {},
    cases: [
      {
        className: "matrix",
        name: "every planned cell was run",
        ms: 0,
        outcome: missing.length === 0 ? { kind: "passed" } : { kind: "failure", message: missing.join("; ") },
      },
    ],
  };
  return junitDocument("virtgpu matrix", [...suites, wholeness]);
}

function cellCase({ sleep, fault, host, result, reason, durationMs, mustPass }: MatrixCell): JunitCase {
  const name = fault === "none" ? sleep : `${sleep}, ${fault}`;
  const message = reason ?? "no reason given";
  const common = { className: `virtgpu.matrix.${host}`, name, ms: durationMs };
  if (result === "pass") return { ...common, outcome: { kind: "passed" } };
  if (result === "fail") return { ...common, outcome: { kind: "failure", message } };
  if (mustPass)
    return { ...common, outcome: { kind: "failure", message: `must pass, but is not offered: ${message}` } };
  return { ...common, outcome: { kind: "skipped", message: `not offered: ${message}` } };
}

/** A run: outputs, cursors, objects by kind, the lost ones each, and whether machine and host held. */
export function runJunit(record: RunRecord): string {
  const { host, startedAt, versions, commandLine } = record;
  const device = [host.name, host.version, host.machine, host.device].filter((part) => part !== null).join(" ");
  const cases = [...outputCases(record), ...objectCases(record), verdictCase(record)];
  const properties = { host: device, commandLine, virtgpu: versions.virtgpu, node: versions.node };
  return junitDocument("virtgpu", [{ name: "virtgpu hibernate", timestamp: startedAt, properties, cases }]);
}

function outputCases({ outputs, cycles }: RunRecord): readonly JunitCase[] {
  const className = "virtgpu.outputs";
  return outputs.flatMap(({ cycle, index, after, identical, differingPixels, cursor }): JunitCase[] => {
    const where = `${cycles > 1 ? `cycle ${cycle}, ` : ""}output ${index}`;
    const pixels = differingPixels === null ? "has another size" : `differs in ${countText(differingPixels)} pixels`;
    const picture: JunitCase = {
      className,
      name: `${where} shows what it showed`,
      ms: 0,
      outcome: identical
        ? { kind: "passed" }
        : { kind: "failure", message: `${where} ${after === null ? "is dark" : pixels}` },
    };
    if (cursor === null) return [picture];
    const failure = { kind: "failure", message: `the cursor of ${where} is not what it was` } as const;
    const outcome = cursor.identical ? ({ kind: "passed" } as const) : failure;
    return [picture, { className, name: `the cursor of ${where} is what it was`, ms: 0, outcome }];
  });
}

function objectCases({ kinds, objects }: RunRecord): readonly JunitCase[] {
  const className = "virtgpu.objects";
  const byKind = kinds.map(({ kind, count, restored }): JunitCase => {
    const missing = `${countText(count - restored)} of ${countText(count)} did not come back`;
    const outcome = count === restored ? ({ kind: "passed" } as const) : { kind: "failure" as const, message: missing };
    return { className, name: `every ${kind} comes back`, ms: 0, outcome };
  });
  const lost = objects.filter(({ state }) => state !== "restored").slice(0, LOST_MAX);
  const each = lost.map(({ key, kind, state, reason }): JunitCase => {
    const message = `${state}: ${reason ?? "no reason given"}`;
    return { className, name: `${kind} ${key}`, ms: 0, outcome: { kind: "failure", message } };
  });
  return [...byKind, ...each];
}

function verdictCase({ verdict, sentence, errors, durationMs }: RunRecord): JunitCase {
  const common = { className: "virtgpu.run", name: "machine and host see it through", ms: durationMs };
  if (verdict !== "failed") return { ...common, outcome: { kind: "passed" } };
  const told = errors.map(({ code, message, where }) => `${where}: ${message} (${code})`);
  return { ...common, outcome: { kind: "error", message: told.length === 0 ? sentence : told.join("\n") } };
}

/** A whole file. */
export function junitDocument(name: string, suites: readonly JunitSuite[]): string {
  const all = suites.flatMap(({ cases }) => cases);
  const body = suites.map(suiteText).join("");
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${attributes({ name, ...totals(all) })}>\n${body}</testsuites>\n`;
}

function suiteText({ name, timestamp, properties, cases }: JunitSuite): string {
  const rows = Object.entries(properties).map(
    ([key, value]) => `      <property ${attributes({ name: key, value })}/>\n`,
  );
  const list = rows.length === 0 ? "" : `    <properties>\n${rows.join("")}    </properties>\n`;
  // The schema has no zone in a timestamp, and takes it for UTC.
  const head = attributes({ name, timestamp: timestamp.replace(/\.\d+|Z$/g, ""), ...totals(cases) });
  return `  <testsuite ${head}>\n${list}${cases.map(caseText).join("")}  </testsuite>\n`;
}

function caseText({ className, name, ms, outcome }: JunitCase): string {
  const head = attributes({ classname: className, name: shortened(name, MESSAGE_MAX), time: seconds(ms) });
  if (outcome.kind === "passed") return `    <testcase ${head}/>\n`;
  const { kind, message } = outcome;
  const [first = ""] = message.split("\n");
  const told = attributes({ message: shortened(first, MESSAGE_MAX) });
  const text = kind === "skipped" ? "" : escapeMarkup(shortened(message, 50 * MESSAGE_MAX)).replaceAll("\r", "&#13;");
  const end = text === "" ? "/>" : `>${text}</${kind}>`;
  return `    <testcase ${head}>\n      <${kind} ${told}${end}\n    </testcase>\n`;
}

function totals(cases: readonly JunitCase[]): Readonly<Record<string, string>> {
  const of = (kind: string): string => String(cases.filter(({ outcome }) => outcome.kind === kind).length);
  const time = seconds(cases.reduce((sum, { ms }) => sum + ms, 0));
  return { tests: String(cases.length), failures: of("failure"), errors: of("error"), skipped: of("skipped"), time };
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function attributes(values: Readonly<Record<string, string>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escapeAttribute(value)}"`)
    .join(" ");
}

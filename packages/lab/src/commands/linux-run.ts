/** `virtgpu linux`: from what was typed to verdicts, reports and an exit code. */
import { relative, resolve } from "node:path";
import { type LinuxRecord, linuxSummary } from "../report/linux-record.ts";
import { msText } from "../report/quantities.ts";
import { exitCodeOf } from "../scenarios/linux/judge.ts";
import type { LabContext } from "./context.ts";
import type { LinuxFlags } from "./linux.ts";
import { runLinuxComparison } from "./linux-compare-run.ts";
import { runOne, SILENT } from "./linux-one.ts";
import { type LineSink, StepList } from "./step-list.ts";
import { styleFor, table } from "./style.ts";

/** See the file's head. */
export async function runLinuxCommand(this: LabContext, flags: LinuxFlags, ...others: string[]): Promise<void> {
  const compared = [...(flags.compare ?? []), ...others];
  if (compared.length > 0) {
    await runLinuxComparison(this, flags, compared);
    return;
  }
  const { stdout } = this.process;
  const here = this.folder ?? process.cwd();
  const sink: LineSink = {
    write: (text) => stdout.write(text),
    isTTY: stdout === process.stdout && process.stdout.isTTY,
  };
  const style = styleFor(sink.isTTY === true);
  const isSilent = flags.json || flags.quiet;
  const steps = isSilent ? null : new StepList(sink, style);
  const run = await runOne(flags, here, resolve(here, flags.report), steps ?? SILENT);
  const { record } = run;
  const code = exitCodeOf(record.sleeps);
  steps?.end(code === 0);
  this.process.exitCode = code;
  if (flags.json) {
    sink.write(`${JSON.stringify(linuxSummary(record), null, 2)}\n`);
    return;
  }
  if (!isSilent) sink.write(`${recordText(record)}  report: ${relative(here, run.page)}\n\n`);
  sink.write(`${style(code === 0 ? "green" : "red", `${record.verdict}: ${record.sentence}`)}\n`);
  if (record.reason !== null) sink.write(`${record.reason}\n`);
  if (record.remedy !== null && !record.subject.remedy) {
    sink.write(`what helps today: the unit ${record.remedy.file} beside the report; --remedy tries it\n`);
  }
}

/** What failed, and the times. */
function recordText({ sleeps, notOffered }: LinuxRecord): string {
  const marks = { pass: "✓", fail: "✗", "not-offered": "–" } as const;
  const rows = sleeps.flatMap(({ number, way, checks }) =>
    checks.map(({ name, result, detail }) => {
      const [first = ""] = detail.split("\n");
      return [marks[result], `${number} ${way}`, name, first.length > 90 ? `${first.slice(0, 89)}…` : first];
    }),
  );
  const time = (ms: number | null): string => (ms === null ? "-" : msText(ms));
  const times = sleeps.map(({ number, way, verdict, times: { hibernate, picture, guestPicture, guestComplete } }) => {
    return [`${number} ${way}`, verdict, ...[hibernate, picture, guestPicture, guestComplete].map(time)];
  });
  const heads = ["sleep", "verdict", "asleep after", "picture", "guest: picture", "guest: all objects"];
  const absent = notOffered.map(({ kind, reason }) => `  not offered: ${kind}: ${reason}\n`).join("");
  return `\n${table([["", "sleep", "check", "what was seen"], ...rows])}\n${table([heads, ...times])}\n${absent}`;
}

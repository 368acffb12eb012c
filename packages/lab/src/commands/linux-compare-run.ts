/** `virtgpu linux --compare A B`: two finished reports, or two drivers run one after the other. */
import { existsSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { compareLinux } from "../report/linux-compare.ts";
import { type LinuxRecord, parseLinuxRecord } from "../report/linux-record.ts";
import { msText } from "../report/quantities.ts";
import { writeLinuxComparison } from "../report/write-linux-report.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import type { LinuxFlags } from "./linux.ts";
import { runOne, SILENT } from "./linux-one.ts";
import { StepList } from "./step-list.ts";
import { styleFor, table } from "./style.ts";

/** Drivers that can be named instead of a report. */
const DRIVERS: Readonly<Record<string, Partial<LinuxFlags>>> = {
  virtgpu: { driver: "virtgpu", remedy: false },
  kernel: { driver: "kernel", way: "uio", memory: "hugepages", remedy: false },
  remedy: { driver: "kernel", way: "uio", memory: "hugepages", remedy: true },
};

/** Exit code 0 where neither is worse than the first, which is the one that its user has in mind; 1 where the second is better. */
export async function runLinuxComparison(
  context: LabContext,
  flags: LinuxFlags,
  names: readonly string[],
): Promise<void> {
  const [a, b, ...more] = names;
  if (a === undefined || b === undefined || more.length > 0) throw new UsageError("--compare takes two: --compare A B");
  const here = context.folder ?? process.cwd();
  const folder = resolve(here, flags.report);
  const first = await recordOf(context, flags, a, join(folder, "a"));
  const second = await recordOf(context, flags, b, join(folder, "b"));
  const comparison = compareLinux(first, second);
  const files = writeLinuxComparison(folder, [first, second]);
  const { stdout } = context.process;
  context.process.exitCode = comparison.better === "second" ? 1 : 0;
  if (flags.json) {
    stdout.write(`${JSON.stringify(comparison, null, 2)}\n`);
    return;
  }
  if (!flags.quiet) {
    const rows = comparison.times
      .filter(({ ms }) => ms.some((value) => value !== null))
      .map(({ sleep, way, name, ms }) => [
        `${sleep} ${way}`,
        name,
        ...ms.map((at) => (at === null ? "-" : msText(at))),
      ]);
    stdout.write(`\n${table([["sleep", "time", ...comparison.names], ...rows])}\n`);
    stdout.write(`  report: ${relative(here, files[0] ?? folder)}\n\n`);
  }
  stdout.write(`${comparison.sentence}\n`);
}

async function recordOf(context: LabContext, flags: LinuxFlags, name: string, folder: string): Promise<LinuxRecord> {
  const here = context.folder ?? process.cwd();
  const driver = DRIVERS[name];
  if (driver === undefined || existsSync(join(resolve(here, name), "linux.json")))
    return readRecord(resolve(here, name));
  const { stdout } = context.process;
  const isTTY = stdout === process.stdout && process.stdout.isTTY;
  const sink = { write: (text: string): unknown => stdout.write(text), isTTY };
  const steps = flags.json || flags.quiet ? null : new StepList(sink, styleFor(isTTY === true));
  // Both on the same kernel, unless one was given: one that has both drivers.
  const isKernelGiven = [flags.debian, flags.deb, flags.kernel, flags.source].some((given) => given !== undefined);
  const { compare: _, ...plain } = flags;
  const asked: LinuxFlags = { ...plain, ...driver, ...(isKernelGiven ? {} : { debian: "generic" }) };
  const { record } = await runOne(asked, here, folder, steps ?? SILENT);
  steps?.end(true);
  return record;
}

function readRecord(folder: string): LinuxRecord {
  const path = join(folder, "linux.json");
  try {
    return parseLinuxRecord(readFileSync(path, "utf8"), path);
  } catch (error) {
    if (error instanceof GpuError) throw new UsageError(error.message);
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`${path} can't be read (${why})`);
  }
}

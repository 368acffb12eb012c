/** `virtgpu trace record`, `print` and `replay`. */
import { resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { recordDesktop } from "../trace/record-desktop.ts";
import { printTrace } from "../trace/print.ts";
import { TraceOutput } from "../trace/trace-output.ts";
import { memoryOf, replay, type ReplayResult } from "../trace/replay.ts";
import { openTrace, type Trace, type TraceEntry } from "../trace/trace-file.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import { hardwareOf } from "./host-flags.ts";
import type { TraceRecordFlags, TraceReplayFlags } from "./trace.ts";
import { untilInterrupted } from "./until-interrupted.ts";
import { withMachine } from "./with-machine.ts";

const DIFFERENT = 1;
const MIB = 1 << 20;
/** For rings and requests, and what lies below a PC's memory. */
const RAM_BESIDES = 16 * MIB;
const RAM_MAX = 2048 * MIB;
const DIFFERENCES_SHOWN = 20;

/** `virtgpu trace record`. */
export async function runTraceRecord(this: LabContext, flags: TraceRecordFlags, path: string): Promise<void> {
  const hardware = hardwareOf(flags);
  const output = TraceOutput.create(resolve(this.folder ?? process.cwd(), path), path);
  const desktop = { hardware, path: output.temporary, name: path, sleeps: flags.sleeps };
  try {
    await untilInterrupted((signal) =>
      withMachine(hardware, (machine) => Promise.race([recordDesktop({ ...machine, ...desktop }), aborted(signal)])),
    );
    output.keep();
  } finally {
    output.discard();
  }
  this.process.stdout.write(`${path}: recorded\n`);
}

/** `virtgpu trace print`. */
export async function runTracePrint(this: LabContext, _: unknown, path: string): Promise<void> {
  for await (const line of printTrace(await opened(path))) this.process.stdout.write(`${line}\n`);
}

/** `virtgpu trace replay`. */
export async function runTraceReplay(this: LabContext, flags: TraceReplayFlags, path: string): Promise<void> {
  const { header, entries: lines } = await opened(path);
  const entries: TraceEntry[] = [];
  for await (const entry of lines) entries.push(entry);
  const needed = memoryOf(entries).reduce((sum, { byteLength }) => sum + byteLength, RAM_BESIDES);
  const ramBytes = Math.ceil(needed / (4 * MIB)) * 4 * MIB;
  if (ramBytes > RAM_MAX) throw new UsageError(`${path} needs ${ramBytes / MIB} MiB of guest memory, too much`);
  const hardware = hardwareOf(flags, { ramBytes, outputs: header.outputs });
  const { label, result } = await withMachine(hardware, async (machine) => ({
    label: machine.host.label,
    result: await replay(machine, entries),
  }));
  const { differences } = result;
  this.process.exitCode = differences.length === 0 ? 0 : DIFFERENT;
  this.process.stdout.write(
    flags.json
      ? `${JSON.stringify({ recordedOn: header.host, replayedOn: label, ...result }, null, 2)}\n`
      : replayText(header.host, label, result),
  );
}

/** Rejects when `signal` is aborted. */
async function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(new GpuError("ECANCELED", "interrupted"));
    if (signal.aborted) end();
    signal.addEventListener("abort", end);
  });
}

/** Opens what was typed: a file that isn't there, or is no trace, is a mistake in the command. */
async function opened(path: string): Promise<Trace> {
  try {
    return await openTrace(path);
  } catch (error) {
    if (error instanceof GpuError) throw new UsageError(error.message);
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`${path} can't be read (${why})`);
  }
}

function replayText(
  recordedOn: string,
  replayedOn: string,
  { commands, pictures, differences, features }: ReplayResult,
): string {
  const shown = differences
    .slice(0, DIFFERENCES_SHOWN)
    .map(
      ({ entry, what, recorded, replayed }) =>
        `line ${entry + 1}: ${what}\n    was  ${recorded}\n    is   ${replayed}\n`,
    );
  const notes = features
    .slice(0, 1)
    .map(({ recorded, replayed }) => `features    ${recorded} there, ${replayed} here\n`);
  const more = differences.length > shown.length ? `and ${differences.length - shown.length} more\n` : "";
  const verdict =
    differences.length === 0
      ? `alike: ${commands} commands, ${pictures} pictures`
      : `${differences.length} differences in ${commands} commands and ${pictures} pictures`;
  return `recorded on ${recordedOn}\nplayed to   ${replayedOn}\n${notes.join("")}${shown.join("")}${more}${verdict}\n`;
}

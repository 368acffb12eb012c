/**
 * `virtgpu hibernate`: from what was typed to a verdict, a report and an exit code.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { GpuError } from "@virtgpu/core/base";
import { needsEmbedded, parseFault } from "../guests/machine/faults.ts";
import { describeSnapshot } from "../guests/machine/image-store.ts";
import { MachineError } from "../guests/machine/protocol.ts";
import { embeddedDevice } from "../hosts/embedded/options.ts";
import type { Hardware } from "../hosts/machine.ts";
import { findQemu } from "../hosts/qemu/qemu-process.ts";
import { discardImage } from "../image/index.ts";
import { type ReportPicture, runSummary, writeReport, type RunRecord } from "../report/index.ts";
import { picturesOf } from "../scenarios/hibernate/pictures.ts";
import { makeRecord, type RecordFacts } from "../scenarios/hibernate/record.ts";
import { runHibernation, type RunOutcome, type RunPlan, type RunWatcher } from "../scenarios/hibernate/run.ts";
import { EXIT_CODES, judge } from "../scenarios/hibernate/verdict.ts";
import { SLEEP_WAYS } from "../scenarios/hibernate/ways.ts";
import { readPicture, type ScenePicture } from "../scenarios/scene/picture-file.ts";
import { sceneBytes } from "../scenarios/scene/scene.ts";
import { TraceOutput } from "../trace/trace-output.ts";
import { UsageError } from "../usage-error.ts";
import { commandLine } from "./command-line.ts";
import type { LabContext } from "./context.ts";
import type { HibernateFlags } from "./hibernate.ts";
import { parseDevice } from "./host-flags.ts";
import { type LineSink, StepList } from "./step-list.ts";
import { bytesText, msText } from "../report/quantities.ts";
import { ownVersion } from "./own-version.ts";
import { prepareFolder } from "./report-folder.ts";
import { styleFor, table } from "./style.ts";
import { untilInterrupted } from "./until-interrupted.ts";

const MIB = 1 << 20;
const RAM_MIN = 32 * MIB;
/** QEMU keeps what is above it elsewhere, and a snapshot takes as much again in this program. */
const RAM_MAX = 2048 * MIB;
const OUTPUTS_MAX = 16;
const SIZES = [
  { width: 1280, height: 800 },
  { width: 1024, height: 768 },
];

/** See the file's head. */
export async function runHibernateCommand(
  this: LabContext,
  flags: HibernateFlags,
  ...pictures: string[]
): Promise<void> {
  const { stdout } = this.process;
  const here = this.folder ?? process.cwd();
  const folder = resolve(here, flags.report);
  const drawn = makePlan(
    flags,
    pictures.map((path) => readPicture(resolve(here, path), path)),
    imagePath(folder, flags.keep),
  );
  const plan = flags.resume === undefined ? drawn : await resumePlan(drawn, resolve(here, flags.resume), pictures);
  prepareFolder(folder);
  const sink: LineSink = {
    write: (text) => stdout.write(text),
    isTTY: stdout === process.stdout && process.stdout.isTTY,
  };
  const style = styleFor(sink.isTTY === true);
  const isSilent = flags.json || flags.quiet;
  const steps = isSilent ? null : new StepList(sink, style);
  const outcome = await runTraced(plan, traceFile(here, flags.trace), steps ?? silent);
  if (!flags.keep) await discardImage(plan.image);
  const judgement = judge(plan, outcome);
  const isWell = judgement.verdict === "nothing lost";
  steps?.end(isWell);
  const record = makeRecord(plan, outcome, judgement, factsOf(flags, pictures));
  const last = outcome.cycles.at(-1);
  const report = tryToReport(folder, record, last === undefined ? [] : picturesOf(last));
  const unwritten = [report.error, outcome.traceError].filter((error) => error !== null);
  this.process.exitCode = unwritten.length === 0 ? EXIT_CODES[judgement.verdict] : EXIT_CODES.failed;
  for (const { message } of unwritten) this.process.stderr.write(`virtgpu: ${message}\n`);
  if (flags.json) sink.write(`${JSON.stringify(runSummary(record), null, 2)}\n`);
  if (flags.json) return;
  const page = report.page === null ? "none" : relative(here, report.page);
  const trace = flags.trace === undefined || outcome.traceError !== null ? "" : `  trace:  ${flags.trace}\n`;
  if (!isSilent) sink.write(`${recordText(record)}  report: ${page}\n${trace}\n`);
  sink.write(`${style(isWell ? "green" : "red", judgement.sentence)}\n`);
  const isWaiting = flags.keep && judgement.verdict === "failed" && existsSync(plan.image);
  if (isWaiting) sink.write(`the image is kept: virtgpu hibernate --resume ${relative(here, plan.image)}\n`);
}

/** A report that can't be written must not take the verdict along. */
function tryToReport(
  folder: string,
  record: RunRecord,
  pictures: readonly ReportPicture[],
): { readonly page: string | null; readonly error: GpuError | null } {
  try {
    const files = writeReport(folder, record, pictures);
    return { page: files.find((file) => file.endsWith(".html")) ?? null, error: null };
  } catch (error) {
    if (error instanceof GpuError) return { page: null, error };
    throw error;
  }
}

/** A trace's file, and what was typed for it. */
type TraceFile = NonNullable<RunPlan["trace"]>;

function traceFile(here: string, name: string | undefined): TraceFile | null {
  return name === undefined ? null : { path: resolve(here, name), name };
}

/** Runs it, with a trace where one is wanted. One that is not whole is taken away, and an earlier one stays. */
async function runTraced(plan: RunPlan, file: TraceFile | null, watcher: RunWatcher): Promise<RunOutcome> {
  const output = file === null ? null : TraceOutput.create(file.path, file.name);
  const trace = output === null || file === null ? null : { path: output.temporary, name: file.name };
  try {
    const outcome = await untilInterrupted((signal) => runHibernation({ ...plan, trace }, watcher, signal));
    return { ...outcome, traceError: outcome.traceError ?? keepTrace(output, outcome) };
  } finally {
    output?.discard();
  }
}

/** A run that failed has a trace worth looking at; one that was interrupted, or never had a machine, has none. */
function keepTrace(output: TraceOutput | null, { error }: RunOutcome): GpuError | null {
  const isInterrupted = error instanceof MachineError && error.code === "ECANCELED";
  if (output === null || isInterrupted || !output.hasContent) return null;
  try {
    output.keep();
    return null;
  } catch (failure) {
    if (failure instanceof GpuError) return failure;
    throw failure;
  }
}

/** What was typed, and who typed it where. */
function factsOf(flags: HibernateFlags, pictures: readonly string[]): RecordFacts {
  const { size, fault, ...plain } = flags;
  return {
    commandLine: commandLine(),
    options: {
      ...plain,
      ...(size === undefined ? {} : { size: `${size.width}x${size.height}` }),
      ...(fault === undefined ? {} : { fault }),
      pictures,
    },
    version: ownVersion(),
  };
}

const silent: RunWatcher = { stage: () => {}, progress: () => {}, note: () => {} };

/** A machine as the image has it, but with the device and the programs that were typed: an image is not to choose those. */
async function resumePlan(plan: RunPlan, image: string, pictures: readonly string[]): Promise<RunPlan> {
  if (pictures.length > 0) throw new UsageError("an image brings its own pictures: leave out either --resume or these");
  const { hardware, seen } = await describeSnapshot(image);
  const { id, ramBytes, outputs } = hardware;
  return { ...plan, hardware: { ...plan.hardware, id, ramBytes, outputs }, resume: { image, before: seen } };
}

/** One that is to be kept takes the place of the last one; others have a name of their own. */
function imagePath(report: string, isKept: boolean): string {
  return join(report, isKept ? "hibernation.img" : `.hibernation-${randomUUID().slice(0, 8)}.img`);
}

/** Checks all that can be checked before anything is started. */
function makePlan(flags: HibernateFlags, pictures: readonly ScenePicture[], image: string): RunPlan {
  const way = SLEEP_WAYS[flags.sleep];
  if (way === undefined) throw new UsageError(`there is no way to sleep called "${flags.sleep}"`);
  const outputs = flags.outputs ?? Math.max(2, pictures.length);
  if (pictures.length > outputs) {
    throw new UsageError(
      `${pictures.length} pictures for ${outputs} outputs: there are ${OUTPUTS_MAX} outputs at most`,
    );
  }
  if (outputs > OUTPUTS_MAX) throw new UsageError(`a GPU has ${OUTPUTS_MAX} outputs at most`);
  if (flags.host === "embedded" && (flags.qemu !== undefined || flags.machine !== undefined)) {
    throw new UsageError("--qemu and --machine are for --host qemu");
  }
  const places = Array.from({ length: outputs }, (_, index) => {
    const picture = pictures[index] ?? null;
    const drawn = flags.size ?? SIZES[index % SIZES.length] ?? { width: 1280, height: 800 };
    return { width: picture?.width ?? drawn.width, height: picture?.height ?? drawn.height, picture };
  });
  const faults = (flags.fault ?? []).map(parseFault);
  const stranger = faults.find(needsEmbedded);
  if (flags.host === "qemu" && stranger !== undefined) {
    throw new UsageError(`a real QEMU can't be made to "${stranger.kind}"; that is for --host embedded`);
  }
  return {
    hardware: makeHardware(flags, places),
    pictures: places.map(({ picture }) => picture),
    objects: flags.objects,
    way,
    wayName: flags.sleep,
    hard: flags.hard,
    faults,
    policy: flags.policy ?? "veto",
    game: flags.policy !== undefined,
    cycles: flags.cycles,
    image,
    resume: null,
    trace: null,
  };
}

function makeHardware(
  flags: HibernateFlags,
  outputs: readonly { readonly width: number; readonly height: number; readonly picture: ScenePicture | null }[],
): Hardware {
  const needed = 1.15 * sceneBytes({ outputs, objects: flags.objects });
  const ramBytes = Math.max(RAM_MIN, Math.ceil(needed / (4 * MIB)) * 4 * MIB);
  if (ramBytes > RAM_MAX) {
    throw new UsageError(
      `so many pixels take ${bytesText(ramBytes)} of guest memory; ${bytesText(RAM_MAX)} are the most`,
    );
  }
  const hardware: Hardware = {
    id: randomUUID(),
    host: flags.host,
    ramBytes,
    outputs: outputs.map(({ width, height }) => ({ width, height })),
    device: parseDevice(flags.device, flags.machine),
    qemu: flags.qemu ?? null,
    machine: flags.machine ?? null,
  };
  if (flags.host === "embedded") embeddedDevice(hardware);
  else findQemu(flags.qemu);
  return hardware;
}

/** Phases that people ask for, in the words of the log. */
const OTHER_DEVICE = "disk0";
const PHASES = new Set(["snapshot", "write-image", "image-load"]);

/** The table of objects, and the times. */
function recordText({ kinds, phases, timeToPictureMs, timeToCompleteMs }: RunRecord): string {
  const objects = [
    ["objects", "count", "size", "restored", "lost"],
    ...kinds.map(({ kind, count, bytes, restored, lost, unrecoverable }) => {
      return [kind, count, bytesText(bytes), restored, lost + unrecoverable];
    }),
  ];
  const times = phases
    .filter(({ device }) => device !== OTHER_DEVICE)
    .filter(({ device, phase, durationMs }) =>
      device === "system" ? PHASES.has(phase) || phase.startsWith("power-off") : / /.test(phase) && durationMs >= 0.05,
    )
    .map(({ process: number, device, phase, durationMs }) => [number, device, phase, msText(durationMs)]);
  const [picture, complete] = [timeToPictureMs, timeToCompleteMs].map((ms) => (ms === null ? "-" : msText(ms)));
  const back = timeToPictureMs === null ? "" : `  pictures are back after ${picture}, everything after ${complete}\n`;
  return `\n${table(objects)}\n${table([["process", "device", "phase", "time"], ...times])}\n${back}`;
}

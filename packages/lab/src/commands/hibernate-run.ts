/**
 * `virtgpu hibernate`: from what was typed to a verdict, a report and an exit code.
 */
import { randomUUID } from "node:crypto";
import { accessSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { needsEmbedded, parseFault } from "../guests/machine/faults.ts";
import { embeddedDevice } from "../hosts/embedded/options.ts";
import type { Hardware } from "../hosts/machine.ts";
import { findQemu } from "../hosts/qemu/qemu-process.ts";
import { picturesOf } from "../scenarios/hibernate/pictures.ts";
import { encodePng } from "../scenarios/scene/encode-png.ts";
import { discardImage } from "../image/index.ts";
import { runHibernation, type RunOutcome, type RunPlan, type RunWatcher } from "../scenarios/hibernate/run.ts";
import { EXIT_CODES, judge, type Judgement, kindTable } from "../scenarios/hibernate/verdict.ts";
import { SLEEP_WAYS } from "../scenarios/hibernate/ways.ts";
import { readPicture, type ScenePicture } from "../scenarios/scene/picture-file.ts";
import { sceneBytes } from "../scenarios/scene/scene.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import type { HibernateFlags } from "./hibernate.ts";
import { StepList } from "./step-list.ts";
import { bytesText, styleFor, table } from "./style.ts";

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
  const report = resolve(flags.report);
  const plan = makePlan(flags, pictures.map(readPicture), imagePath(report, flags.keep));
  prepareFolder(report);
  const isTerminal = process.stdout.isTTY === true;
  const style = styleFor(isTerminal);
  const isSilent = flags.json || flags.quiet;
  const steps = isSilent ? null : new StepList(process.stdout, style);
  const outcome = await runHibernation(plan, steps ?? silent);
  const judgement = judge(plan, outcome);
  steps?.end(judgement.verdict === "kept");
  if (!flags.keep) await discardImage(plan.image);
  writePictures(report, outcome);
  if (flags.json) process.stdout.write(`${JSON.stringify(jsonResult(outcome, judgement), null, 2)}\n`);
  if (!isSilent) process.stdout.write(summary(outcome));
  if (!flags.json) {
    process.stdout.write(`${style(judgement.verdict === "kept" ? "green" : "red", judgement.sentence)}\n`);
  }
  this.process.exitCode = EXIT_CODES[judgement.verdict];
}

const silent: RunWatcher = { stage: () => {}, progress: () => {}, note: () => {} };

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

function parseDevice(text: string | undefined, machine: string | undefined): Hardware["device"] {
  const usual = machine === "microvm" ? "virtio-gpu-device" : "virtio-gpu-pci";
  const [type = "", ...properties] = (text ?? usual).split(",");
  if (!/^[\w.-]+$/.test(type)) throw new UsageError(`--device is TYPE,property=value,…; "${text}" names no type`);
  const pairs = properties.map((property): [string, string] => {
    const [, name = "", value = ""] = /^([\w.-]+)=(.+)$/.exec(property) ?? [];
    if (name === "") throw new UsageError(`"${property}" is no property=value`);
    if (["id", "max_outputs", "bus"].includes(name))
      throw new UsageError(`the property ${name} is set by this command`);
    return [name, value];
  });
  return { type, properties: Object.fromEntries(pairs) };
}

/** Where report and image go. */
function prepareFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : String(error);
    throw new UsageError(`the folder ${folder} can't be written (${why}); name another one with --report`);
  }
}

/** `before-0.png`, `after-0.png` and so on, of the last sleep. */
function writePictures(folder: string, { cycles }: RunOutcome): void {
  const last = cycles.at(-1);
  if (last === undefined) return;
  for (const { output, before, after } of picturesOf(last)) {
    for (const [name, picture] of Object.entries({ before, after })) {
      if (picture !== null) writeFileSync(join(folder, `${name}-${output}.png`), encodePng(picture));
    }
  }
}

/** Phases that matter to people, with how long they took. */
function phaseRows({
  marks,
}: RunOutcome): readonly { name: string; device: string; process: number; startMs: number; ms: number }[] {
  const begun = new Map<string, number>();
  const first = marks[0]?.epochMs ?? 0;
  return marks.flatMap(({ process: number, device, phase, state, epochMs }) => {
    const key = `${number} ${device} ${phase}`;
    if (state === "begin") begun.set(key, epochMs);
    const start = begun.get(key);
    if (state === "begin" || start === undefined) return [];
    return [{ name: phase, device, process: number, startMs: start - first, ms: epochMs - start }];
  });
}

/** The table of objects, and the times. */
function summary(outcome: RunOutcome): string {
  const kinds = kindTable(outcome.cycles);
  const objects = [
    ["object", "count", "size", "restored", "lost"],
    ...kinds.map(({ kind, count, bytes, restored, lost }) => [kind, count, bytesText(bytes), restored, lost]),
  ];
  const times = phaseRows(outcome)
    .filter(({ ms, device }) => ms >= 1 || device !== "system")
    .map(({ process: number, device, name, ms }) => [`process ${number}`, device, name, `${ms.toFixed(1)} ms`]);
  const last = outcome.cycles.at(-1);
  const picture = (last?.restored ?? last?.slept)?.timeToPictureMs ?? null;
  const pictureLine = picture === null ? "" : `\n  pictures back after ${picture.toFixed(1)} ms\n`;
  return `\n${table(objects)}\n${table([["", "device", "phase", "time"], ...times])}${pictureLine}\n`;
}

/** For `--json`. */
function jsonResult(outcome: RunOutcome, { verdict, sentence, errors }: Judgement): unknown {
  const { cycles, host } = outcome;
  return {
    verdict,
    sentence,
    host,
    outputs: cycles.flatMap(({ comparison }, cycle) =>
      (comparison?.outputs ?? []).map((output) => ({ cycle: cycle + 1, ...output })),
    ),
    cursors: cycles.flatMap(({ comparison }, cycle) =>
      (comparison?.cursors ?? []).map((cursor) => ({ cycle: cycle + 1, ...cursor })),
    ),
    objects: kindTable(cycles),
    phases: phaseRows(outcome),
    timesToPictureMs: cycles.map(({ restored, slept }) => (restored ?? slept)?.timeToPictureMs ?? null),
    errors,
  };
}

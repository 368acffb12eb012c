/**
 * A run as the record that its report and its `--json` are made of.
 */
import type { Slept } from "../../guests/machine/protocol.ts";
import {
  boundCommands,
  type CommandRecord,
  kindRows,
  type ObjectRecord,
  type Options,
  type OutputRecord,
  type PhaseRecord,
  RUN_RECORD_VERSION,
  type RunRecord,
} from "../../report/run-record.ts";
import { differingPixels } from "./compare.ts";
import type { Cycle, RunMark, RunOutcome, RunPlan } from "./run.ts";
import { isGivenUp, type Judgement, toldLosses } from "./verdict.ts";

/** What the record tells besides the run itself. */
export interface RecordFacts {
  /** As typed, to be typed again. */
  readonly commandLine: string;
  readonly options: Options;
  /** Of this program. */
  readonly version: string;
}

/** See the file's head. */
export function makeRecord(plan: RunPlan, outcome: RunOutcome, judgement: Judgement, facts: RecordFacts): RunRecord {
  const { cycles, host, startedAt, endedAt, processes } = outcome;
  const last = cycles.at(-1);
  const objects = objectRecords(plan, cycles);
  const { device, machine } = plan.hardware;
  const properties = Object.entries(device.properties).map(([name, value]) => `,${name}=${value}`);
  const slept = last?.restored ?? last?.slept ?? null;
  return {
    schemaVersion: RUN_RECORD_VERSION,
    commandLine: facts.commandLine,
    options: facts.options,
    versions: { virtgpu: facts.version, node: process.version, platform: `${process.platform} ${process.arch}` },
    host: {
      ...host,
      device: `${device.type}${properties.join("")}`,
      machine: plan.hardware.host === "qemu" ? (machine ?? "q35") : null,
    },
    startedAt: new Date(startedAt).toISOString(),
    durationMs: Math.max(0, endedAt - startedAt),
    ...judgement,
    cycles: cycles.length,
    outputs: cycles.flatMap(outputRecords),
    objects,
    kinds: kindRows(objects),
    phases: phaseRecords(outcome),
    ...boundCommands(commandRecords(outcome)),
    timeToPictureMs: slept?.timeToPictureMs ?? null,
    timeToCompleteMs: slept?.timeToCompleteMs ?? null,
    processes: processes.map(({ pid, epochMs, endedAtMs, role, exit }, index) => ({
      process: index + 1,
      pid,
      role,
      startMs: epochMs - startedAt,
      endMs: endedAtMs === null ? null : endedAtMs - startedAt,
      exit,
    })),
  };
}

function outputRecords({ before, after, comparison }: Cycle, index: number): readonly OutputRecord[] {
  const cursors = new Map((comparison?.cursors ?? []).map((cursor) => [cursor.output, cursor]));
  return (comparison?.outputs ?? []).map(({ output, isSame, before: then, after: now }) => {
    const [one = null, other = null] = [before?.outputs[output], after?.outputs[output]];
    const cursor = cursors.get(output);
    return {
      cycle: index + 1,
      index: output,
      width: (one ?? other)?.width ?? 0,
      height: (one ?? other)?.height ?? 0,
      before: then,
      after: now,
      identical: isSame,
      differingPixels: isSame ? 0 : differingPixels(one, other),
      cursor: cursor === undefined ? null : { before: cursor.before, after: cursor.after, identical: cursor.isSame },
    };
  });
}

/** After the last sleep, or after the one that lost it; and what the driver says that it could not bring back. */
function objectRecords(plan: RunPlan, cycles: readonly Cycle[]): readonly ObjectRecord[] {
  const objects = new Map<string, ObjectRecord>();
  for (const cycle of cycles) {
    for (const object of cycle.comparison?.objects ?? []) {
      if (objects.get(object.key)?.state !== "lost") objects.set(object.key, object);
    }
    for (const { object: name, reason } of toldLosses(cycle)) {
      const state = isGivenUp(plan, reason) ? "unrecoverable" : "lost";
      const place = { bytes: 0, storage: "host", attached: false, before: "present", after: "absent" };
      if (!isNamed(objects, name)) objects.set(name, { key: name, kind: kindOf(name), ...place, state, reason });
    }
  }
  return [...objects.values()];
}

/** The driver names objects by number and key: `resource 7 "image 3"`. */
function isNamed(objects: ReadonlyMap<string, ObjectRecord>, name: string): boolean {
  const [, key] = /"(.+)"$/.exec(name) ?? [];
  return objects.has(name) || (key !== undefined && objects.has(key));
}

function kindOf(name: string): string {
  return /^[a-z ]+/.exec(name)?.[0].trim() ?? "object";
}

function phaseRecords({ marks, startedAt }: RunOutcome): readonly PhaseRecord[] {
  const open = new Map<string, RunMark>();
  const records: PhaseRecord[] = [];
  const record = (begin: RunMark, endMs: number, outcome: PhaseRecord["outcome"], detail?: string): void => {
    const { process: number, device, phase, epochMs } = begin;
    const times = { startMs: epochMs - startedAt, durationMs: Math.max(0, endMs - epochMs) };
    records.push({ process: number, device, phase, ...times, outcome, detail: detail ?? null });
  };
  for (const mark of marks) {
    const key = `${mark.process} ${mark.device} ${mark.phase}`;
    const begin = open.get(key);
    if (mark.state === "begin") open.set(key, mark);
    else if (begin !== undefined) {
      open.delete(key);
      record(
        begin,
        mark.epochMs,
        mark.state === "end" ? "done" : "failed",
        mark.state === "fail" ? mark.detail : undefined,
      );
    }
  }
  for (const begin of open.values()) {
    const last = marks.findLast(({ process: number }) => number === begin.process);
    record(begin, last?.epochMs ?? begin.epochMs, "unfinished");
  }
  return records.sort((one, other) => one.startMs - other.startMs);
}

function commandRecords({ commands, processes, startedAt }: RunOutcome): readonly CommandRecord[] {
  return commands.flatMap(({ process: number, slept }) => {
    const offset = (processes[number - 1]?.epochMs ?? startedAt) - startedAt;
    return slept.map(({ device, queue, sequence, type, object, atMs, endMs, reply }: Slept["commands"][number]) => ({
      process: number,
      device,
      queue,
      sequence,
      type,
      object,
      startMs: atMs + offset,
      durationMs: endMs === null ? null : Math.max(0, endMs - atMs),
      reply,
    }));
  });
}

/**
 * A run as a Chrome trace (Trace Event Format, JSON object form), for Perfetto: a process for each machine process, in it
 * a track of phases for each device, and a group of tracks for each of its queues.
 *
 * Phases are complete events ("X"); those of one track must nest, so what overlaps gets a further track. Commands are in
 * flight side by side and do not nest: they are nestable async events ("b", "e"), found together by `id2` and category.
 */
import { commandName, replyName } from "@virtgpu/core/wire";
import type { CommandRecord, PhaseRecord, ProcessRecord, RunRecord } from "./run-record.ts";

/** An event; times are microseconds. */
export interface TraceEventJson {
  readonly name: string;
  readonly ph: "X" | "b" | "e" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly cat?: string;
  readonly id2?: { readonly local: string };
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The whole file. */
export interface ChromeTrace {
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, unknown>>;
  readonly traceEvents: readonly TraceEventJson[];
}

/** Makes the trace. */
export function chromeTrace(record: RunRecord): ChromeTrace {
  const { host, versions, verdict, sentence, commandLine, startedAt, commandsDropped } = record;
  const tracks = new Tracks();
  const events = [...phaseEvents(record.phases, tracks), ...commandEvents(record, tracks)];
  const lives = record.processes.map((process) => lifeOf(process, record.durationMs, tracks));
  return {
    displayTimeUnit: "ms",
    otherData: { commandLine, startedAt, verdict, sentence, host, versions, commandsDropped },
    traceEvents: [...processNames(record), ...tracks.names(), ...lives, ...events],
  };
}

const microseconds = (ms: number): number => Math.round(ms * 1000 * 1000) / 1000;

/** Numbers of tracks by their names, in each process. */
class Tracks {
  readonly #numbers: Map<string, { readonly pid: number; readonly tid: number; readonly name: string }> = new Map();
  readonly #next: Map<number, number> = new Map();

  tid(pid: number, name: string): number {
    const key = JSON.stringify([pid, name]);
    const known = this.#numbers.get(key);
    if (known !== undefined) return known.tid;
    const tid = this.#next.get(pid) ?? 1;
    this.#next.set(pid, tid + 1);
    this.#numbers.set(key, { pid, tid, name });
    return tid;
  }

  names(): readonly TraceEventJson[] {
    return [...this.#numbers.values()].flatMap(({ pid, tid, name }): TraceEventJson[] => [
      { name: "thread_name", ph: "M", pid, tid, args: { name } },
      { name: "thread_sort_index", ph: "M", pid, tid, args: { sort_index: tid } },
    ]);
  }
}

function processNames({ processes }: RunRecord): readonly TraceEventJson[] {
  return processes.flatMap(({ process, pid, role }): TraceEventJson[] => [
    { name: "process_name", ph: "M", pid: process, tid: 0, args: { name: `process ${process}: ${role} (pid ${pid})` } },
    { name: "process_sort_index", ph: "M", pid: process, tid: 0, args: { sort_index: process } },
  ]);
}

/** From the start of a process to its end. */
function lifeOf(
  { process, pid, role, startMs, endMs, exit }: ProcessRecord,
  runMs: number,
  tracks: Tracks,
): TraceEventJson {
  return {
    name: role,
    ph: "X",
    cat: "process",
    pid: process,
    tid: tracks.tid(process, "process"),
    ts: microseconds(startMs),
    dur: Math.max(0, microseconds((endMs ?? Math.max(runMs, startMs)) - startMs)),
    args: { pid, exit: exit ?? "still there at the end" },
  };
}

/** Puts phases on tracks, so that on each they nest or follow one another. */
export function nestingTracks(phases: readonly PhaseRecord[]): readonly (readonly PhaseRecord[])[] {
  const inOrder = [...phases].sort((one, other) => one.startMs - other.startMs || other.durationMs - one.durationMs);
  const tracks: { readonly open: number[]; readonly phases: PhaseRecord[] }[] = [];
  for (const phase of inOrder) {
    const endMs = phase.startMs + phase.durationMs;
    let track = tracks.find(({ open }) => {
      while ((open.at(-1) ?? Infinity) <= phase.startMs) open.pop();
      return endMs <= (open.at(-1) ?? Infinity);
    });
    if (track === undefined) tracks.push((track = { open: [], phases: [] }));
    track.open.push(endMs);
    track.phases.push(phase);
  }
  return tracks.map((track) => track.phases);
}

function phaseEvents(phases: readonly PhaseRecord[], tracks: Tracks): readonly TraceEventJson[] {
  return groupPhases(phases).flatMap((group) =>
    nestingTracks(group).flatMap((track, index) =>
      track.map(({ process, device, phase, startMs, durationMs, outcome, detail }): TraceEventJson => {
        const name = `${device} phases${index === 0 ? "" : ` (${index + 1})`}`;
        const args = detail === null ? { outcome } : { outcome, detail };
        const times = { ts: microseconds(startMs), dur: microseconds(durationMs) };
        return { name: phase, ph: "X", cat: "phase", pid: process, tid: tracks.tid(process, name), ...times, args };
      }),
    ),
  );
}

/** By process and device, as they come. */
function groupPhases(phases: readonly PhaseRecord[]): readonly (readonly PhaseRecord[])[] {
  const groups = new Map<string, PhaseRecord[]>();
  for (const phase of phases) {
    const key = JSON.stringify([phase.process, phase.device]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [phase]);
    else group.push(phase);
  }
  return [...groups.values()];
}

function commandEvents({ commands, processes, durationMs: runMs }: RunRecord, tracks: Tracks): TraceEventJson[] {
  const ends = new Map(processes.map(({ process, endMs }) => [process, endMs ?? runMs]));
  return commands.flatMap((command, index) => {
    const { process, device, queue, startMs, durationMs } = command;
    const common = {
      name: commandName(command.type),
      cat: `${device.replaceAll(",", " ")} ${queue} queue`,
      id2: { local: `0x${(index + 1).toString(16)}` },
      pid: process,
      tid: tracks.tid(process, `${device} ${queue} queue`),
    };
    const endMs = durationMs === null ? Math.max(startMs, ends.get(process) ?? runMs) : startMs + durationMs;
    return [
      { ...common, ph: "b" as const, ts: microseconds(startMs), args: argsOf(command) },
      { ...common, ph: "e" as const, ts: microseconds(endMs) },
    ];
  });
}

function argsOf({ sequence, object, durationMs, reply }: CommandRecord): Readonly<Record<string, unknown>> {
  const answer = reply === null ? (durationMs === null ? "none" : "returned without one") : replyName(reply);
  return { sequence, object, reply: answer };
}

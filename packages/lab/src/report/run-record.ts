/**
 * What a run leaves behind, as plain data: everything that its report, its trace and its `--json` are made of.
 *
 * All times are milliseconds from the run's beginning, on one clock for all processes. Hashes are lower-case hexadecimal,
 * or a word where there is nothing to hash (`absent`, `present`).
 */
import { GpuError } from "@virtgpu/core/base";
import * as v from "valibot";
import { count, hash, ms, rows, span, text } from "./record-schema.ts";

/** Version of the format. */
export const RUN_RECORD_VERSION = 1;

/** So many commands a record has at most; see {@link boundCommands}. */
export const COMMANDS_MAX = 20_000;

/** `nothing lost`: all is as it was. `lost`: something is not. `failed`: the host or the machine failed. */
export type RunVerdict = "nothing lost" | "lost" | "failed";

/** What ran, for whoever reads a bug report. */
export interface Versions {
  readonly virtgpu: string;
  readonly node: string;
  /** Operating system and processor, such as `linux x64`. */
  readonly platform: string;
}

/** The host: `name` such as `embedded` or `QEMU`, `device` with its properties as in `--device`. */
export interface HostFacts {
  readonly name: string;
  readonly version: string | null;
  readonly device: string;
  readonly machine: string | null;
}

/** Options by name, as they were typed or defaulted. */
export type Options = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** A cursor before and after; `identical` takes its place and hot spot in, too. Hashes are null where there was none. */
export interface CursorRecord {
  readonly before: string | null;
  readonly after: string | null;
  readonly identical: boolean;
}

/** What an output showed. */
export interface OutputRecord {
  /** Which sleep of the run, from 1. */
  readonly cycle: number;
  readonly index: number;
  /** In pixels, before the sleep; 0 where it was dark. */
  readonly width: number;
  readonly height: number;
  /** SHA-256 of the pixels; null: dark. */
  readonly before: string | null;
  readonly after: string | null;
  readonly identical: boolean;
  /** Null where before and after can't be held against each other: one is dark, or has another size. */
  readonly differingPixels: number | null;
  /** Null: no cursor, before or after. */
  readonly cursor: CursorRecord | null;
}

/** `unrecoverable`: its contents were the host's alone, and the policy let it go. */
export type ObjectState = "restored" | "lost" | "unrecoverable";

/** An object of the scene, after the last sleep, or after the one that lost it. */
export interface ObjectRecord {
  readonly key: string;
  readonly kind: string;
  /** Of guest memory. */
  readonly bytes: number;
  /** Where its contents live: `guest pages`, `host`, `lent pages`. */
  readonly storage: string;
  /** Whether the host has backing for it. */
  readonly attached: boolean;
  readonly before: string | null;
  readonly after: string | null;
  readonly state: ObjectState;
  readonly reason: string | null;
}

/** Objects of one kind. */
export interface KindRow {
  readonly kind: string;
  readonly count: number;
  readonly bytes: number;
  readonly restored: number;
  readonly lost: number;
  readonly unrecoverable: number;
}

/** A phase of a sleep. */
export interface PhaseRecord {
  /** Number of the machine process, from 1. */
  readonly process: number;
  readonly device: string;
  readonly phase: string;
  readonly startMs: number;
  readonly durationMs: number;
  /** `unfinished`: its end was never heard of, the power went first. */
  readonly outcome: "done" | "failed" | "unfinished";
  readonly detail: string | null;
}

/** A command of the driver, from its submission to its answer. */
export interface CommandRecord {
  readonly process: number;
  readonly device: string;
  readonly queue: "control" | "cursor";
  readonly sequence: number;
  /** Numbers of the command and of its reply on the wire; VIRTIO 1.3, 5.7.6.7. */
  readonly type: number;
  readonly object: number;
  readonly startMs: number;
  /** Null: no answer came. */
  readonly durationMs: number | null;
  readonly reply: number | null;
}

/** Something that went wrong: `where` is a phase, a file, an object. */
export interface ErrorRecord {
  readonly code: string;
  readonly message: string;
  readonly where: string;
}

/** A machine process, from its start to its end (null: it outlived what was recorded). */
export interface ProcessRecord {
  readonly process: number;
  readonly pid: number;
  readonly role: string;
  readonly startMs: number;
  readonly endMs: number | null;
  /** How it ended: `exit code 0`, `SIGKILL`. */
  readonly exit: string | null;
}

/** See the file's head. */
export interface RunRecord {
  readonly schemaVersion: number;
  /** As typed, to be typed again. */
  readonly commandLine: string;
  readonly options: Options;
  readonly versions: Versions;
  readonly host: HostFacts;
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly verdict: RunVerdict;
  /** The verdict in a sentence. */
  readonly sentence: string;
  readonly cycles: number;
  readonly outputs: readonly OutputRecord[];
  readonly objects: readonly ObjectRecord[];
  readonly kinds: readonly KindRow[];
  readonly phases: readonly PhaseRecord[];
  readonly commands: readonly CommandRecord[];
  /** How many more there were. */
  readonly commandsDropped: number;
  readonly errors: readonly ErrorRecord[];
  /** From the beginning of the last restore until all outputs show what they showed, and until all is back. */
  readonly timeToPictureMs: number | null;
  readonly timeToCompleteMs: number | null;
  readonly processes: readonly ProcessRecord[];
}

/** Checks of options and versions, for every kind of record. */
export const optionsSchema: v.GenericSchema<unknown, Options> = v.record(
  text,
  v.union([text, v.number(), v.boolean(), v.null(), v.array(text)]),
);
export const versionsSchema: v.GenericSchema<unknown, Versions> = v.object({
  virtgpu: text,
  node: text,
  platform: text,
});

const output: v.GenericSchema<unknown, OutputRecord> = v.object({
  cycle: count,
  index: count,
  width: count,
  height: count,
  before: hash,
  after: hash,
  identical: v.boolean(),
  differingPixels: v.nullable(count),
  cursor: v.nullable(v.object({ before: hash, after: hash, identical: v.boolean() })),
});
const object: v.GenericSchema<unknown, ObjectRecord> = v.object({
  key: text,
  kind: text,
  bytes: count,
  storage: text,
  attached: v.boolean(),
  before: hash,
  after: hash,
  state: v.picklist(["restored", "lost", "unrecoverable"]),
  reason: v.nullable(text),
});
const kindRow: v.GenericSchema<unknown, KindRow> = v.object({
  kind: text,
  count,
  bytes: count,
  restored: count,
  lost: count,
  unrecoverable: count,
});
const phase: v.GenericSchema<unknown, PhaseRecord> = v.object({
  process: count,
  device: text,
  phase: text,
  startMs: ms,
  durationMs: span,
  outcome: v.picklist(["done", "failed", "unfinished"]),
  detail: v.nullable(text),
});
const command: v.GenericSchema<unknown, CommandRecord> = v.object({
  process: count,
  device: text,
  queue: v.picklist(["control", "cursor"]),
  sequence: count,
  type: count,
  object: count,
  startMs: ms,
  durationMs: v.nullable(span),
  reply: v.nullable(count),
});
const processRow: v.GenericSchema<unknown, ProcessRecord> = v.object({
  process: count,
  pid: count,
  role: text,
  startMs: ms,
  endMs: v.nullable(ms),
  exit: v.nullable(text),
});

/** The check on a record that comes from a file. */
export const runRecordSchema: v.GenericSchema<unknown, RunRecord> = v.object({
  schemaVersion: v.literal(RUN_RECORD_VERSION),
  commandLine: text,
  options: optionsSchema,
  versions: versionsSchema,
  host: v.object({ name: text, version: v.nullable(text), device: text, machine: v.nullable(text) }),
  startedAt: text,
  durationMs: span,
  verdict: v.picklist(["nothing lost", "lost", "failed"]),
  sentence: text,
  cycles: count,
  outputs: rows(output, 100_000),
  objects: rows(object, 1_000_000),
  kinds: rows(kindRow, 1000),
  phases: rows(phase, 1_000_000),
  commands: rows(command, COMMANDS_MAX),
  commandsDropped: count,
  errors: rows(v.object({ code: text, message: text, where: text }), 1_000_000),
  timeToPictureMs: v.nullable(span),
  timeToCompleteMs: v.nullable(span),
  processes: rows(processRow, 10_000),
});

/** Reads a record; `path` is for the message. Throws GpuError EINVAL. */
export function parseRunRecord(json: string, path: string): RunRecord {
  return parseRecord(runRecordSchema, json, path, { what: "report of a run", version: RUN_RECORD_VERSION });
}

/** Reads any record. Throws GpuError EINVAL: no JSON, another version, or what is wrong and where. */
export function parseRecord<T>(
  schema: v.GenericSchema<unknown, T>,
  json: string,
  path: string,
  { what, version }: { readonly what: string; readonly version: number },
): T {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new GpuError("EINVAL", `${path} is no ${what}: no JSON, or cut off`);
  }
  const found = v.safeParse(v.object({ schemaVersion: v.number() }), value);
  if (found.success && found.output.schemaVersion !== version) {
    throw new GpuError("EINVAL", `${path} has version ${found.output.schemaVersion}; this program reads ${version}`);
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const where = v.getDotPath(issue) ?? "its top";
  throw new GpuError("EINVAL", `${path} is no ${what}: ${where.slice(0, 100)}: ${issue.message.slice(0, 200)}`);
}

/** Keeps the first and the last commands, and says how many it left out between them. */
export function boundCommands(
  commands: readonly CommandRecord[],
  most: number = COMMANDS_MAX,
): Pick<RunRecord, "commands" | "commandsDropped"> {
  if (commands.length <= most) return { commands, commandsDropped: 0 };
  const first = Math.ceil(most / 2);
  const kept = [...commands.slice(0, first), ...commands.slice(commands.length - (most - first))];
  return { commands: kept, commandsDropped: commands.length - kept.length };
}

/** The table of objects, in the order in which kinds come up. */
export function kindRows(objects: readonly ObjectRecord[]): readonly KindRow[] {
  const table = new Map<string, { -readonly [Field in keyof KindRow]: KindRow[Field] }>();
  for (const { kind, bytes, state } of objects) {
    let row = table.get(kind);
    if (row === undefined) {
      row = { kind, count: 0, bytes: 0, restored: 0, lost: 0, unrecoverable: 0 };
      table.set(kind, row);
    }
    row.count += 1;
    row.bytes += bytes;
    row[state] += 1;
  }
  return [...table.values()];
}

/** What `--json` prints. */
export interface RunSummary
  extends Pick<
    RunRecord,
    | "schemaVersion"
    | "verdict"
    | "sentence"
    | "host"
    | "outputs"
    | "phases"
    | "errors"
    | "timeToPictureMs"
    | "timeToCompleteMs"
    | "durationMs"
  > {
  /** By kind. */
  readonly objects: readonly KindRow[];
  /** Those that did not come back. */
  readonly lost: readonly ObjectRecord[];
}

/** The record without what only a report needs. */
export function runSummary(record: RunRecord): RunSummary {
  const { schemaVersion, verdict, sentence, host, outputs, kinds, phases, errors } = record;
  const { timeToPictureMs, timeToCompleteMs, durationMs } = record;
  const lost = record.objects.filter(({ state }) => state !== "restored");
  const times = { timeToPictureMs, timeToCompleteMs, durationMs };
  return { schemaVersion, verdict, sentence, host, outputs, objects: kinds, lost, phases, errors, ...times };
}

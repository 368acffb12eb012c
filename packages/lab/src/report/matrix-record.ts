/**
 * What `virtgpu matrix` leaves behind, as plain data: every way to sleep with every way to break on every host. Shards of
 * one matrix, run on several machines, are merged here.
 */
import { GpuError } from "@virtgpu/core/base";
import * as v from "valibot";
import { count, rows, span, text } from "./record-schema.ts";
import { type Options, optionsSchema, parseRecord, type Versions, versionsSchema } from "./run-record.ts";

/** Version of the format. */
export const MATRIX_RECORD_VERSION = 1;

/** `not offered`: the host can't do it, as its probe says. */
export type CellResult = "pass" | "fail" | "not offered";

/** One cell. */
export interface MatrixCell {
  /** Way to sleep, as in `--sleep`. */
  readonly sleep: string;
  /** What goes wrong, as in `--fault`; `none` where nothing does. */
  readonly fault: string;
  /** Name of the host's column. */
  readonly host: string;
  readonly result: CellResult;
  /** Why it failed, or what the probe answered; null where there is nothing to say. */
  readonly reason: string | null;
  readonly durationMs: number;
  /** Whether the matrix is red unless this cell passes. */
  readonly mustPass: boolean;
}

/** A column. */
export interface MatrixHost {
  readonly name: string;
  /** For people: version, machine, device. */
  readonly label: string;
}

/** Part `index` of `count`, from 1. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** See the file's head. */
export interface MatrixRecord {
  readonly schemaVersion: number;
  readonly commandLine: string;
  readonly options: Options;
  readonly versions: Versions;
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  /** Cells of the whole matrix, over all shards. */
  readonly planned: number;
  /** Which parts of it are in here. */
  readonly shards: readonly Shard[];
  readonly hosts: readonly MatrixHost[];
  readonly cells: readonly MatrixCell[];
}

const shard: v.GenericSchema<unknown, Shard> = v.pipe(
  v.object({ index: count, count }),
  v.check(({ index, count: parts }) => index >= 1 && index <= parts, "a shard is i/n with 1 <= i <= n"),
);

/** The check on a record that comes from a file. */
export const matrixRecordSchema: v.GenericSchema<unknown, MatrixRecord> = v.object({
  schemaVersion: v.literal(MATRIX_RECORD_VERSION),
  commandLine: text,
  options: optionsSchema,
  versions: versionsSchema,
  startedAt: text,
  durationMs: span,
  planned: count,
  shards: v.pipe(v.array(shard), v.minLength(1), v.maxLength(10_000)),
  hosts: rows(v.object({ name: text, label: text }), 1000),
  cells: rows(
    v.object({
      sleep: text,
      fault: text,
      host: text,
      result: v.picklist(["pass", "fail", "not offered"]),
      reason: v.nullable(text),
      durationMs: span,
      mustPass: v.boolean(),
    }),
    1_000_000,
  ),
});

/** Reads a record; `path` is for the message. Throws GpuError EINVAL. */
export function parseMatrixRecord(json: string, path: string): MatrixRecord {
  return parseRecord(matrixRecordSchema, json, path, { what: "report of a matrix", version: MATRIX_RECORD_VERSION });
}

/** What makes two cells the same one. */
export function cellKey({ sleep, fault, host }: Pick<MatrixCell, "sleep" | "fault" | "host">): string {
  return JSON.stringify([sleep, fault, host]);
}

/**
 * Shards of one matrix as one record. A cell that several have counts as its worst. Throws GpuError EINVAL when they are
 * not of one matrix: other versions of virtgpu, other counts of shards or of cells.
 */
export function mergeMatrices(records: readonly MatrixRecord[]): MatrixRecord {
  const [first] = records;
  if (first === undefined) throw new GpuError("EINVAL", "there is no matrix to merge");
  for (const record of records) checkSameMatrix(first, record);
  const cells = new Map<string, MatrixCell>();
  const hosts = new Map<string, MatrixHost>();
  const shards = new Map<number, Shard>();
  for (const record of records) {
    for (const host of record.hosts) if (!hosts.has(host.name)) hosts.set(host.name, host);
    for (const part of record.shards) shards.set(part.index, part);
    for (const cell of record.cells) {
      const known = cells.get(cellKey(cell));
      if (known === undefined || badness(cell) > badness(known)) cells.set(cellKey(cell), cell);
    }
  }
  return {
    ...first,
    startedAt: records.map(({ startedAt }) => startedAt).reduce((one, other) => (one < other ? one : other)),
    durationMs: records.reduce((sum, { durationMs }) => sum + durationMs, 0),
    shards: [...shards.values()].sort((one, other) => one.index - other.index),
    hosts: [...hosts.values()],
    cells: [...cells.values()],
  };
}

function checkSameMatrix(first: MatrixRecord, record: MatrixRecord): void {
  const parts = (of: MatrixRecord): number => of.shards[0]?.count ?? 1;
  const differs = (what: string, one: string | number, other: string | number): void => {
    if (one !== other) throw new GpuError("EINVAL", `these are not parts of one matrix: ${what} ${one} and ${other}`);
  };
  differs("virtgpu", first.versions.virtgpu, record.versions.virtgpu);
  differs("number of shards", parts(first), parts(record));
  differs("number of cells", first.planned, record.planned);
  for (const { count: of } of record.shards) differs("number of shards", parts(first), of);
}

function badness({ result }: MatrixCell): number {
  return ["not offered", "pass", "fail"].indexOf(result);
}

/** What a matrix came to: green with no sentence against it. */
export interface MatrixVerdict {
  readonly isGreen: boolean;
  readonly sentence: string;
  readonly complaints: readonly string[];
  readonly passed: number;
  readonly failed: number;
  readonly notOffered: number;
}

/**
 * Judges a matrix. It is red when a cell failed, when one that must pass was not offered, and when cells are missing: a
 * cell that nobody ran shows nothing.
 */
export function judgeMatrix({ cells, planned, shards }: MatrixRecord): MatrixVerdict {
  const of = (result: CellResult): readonly MatrixCell[] => cells.filter((cell) => cell.result === result);
  const missingShards = missingOf(shards);
  const complaints = [
    ...of("fail").map((cell) => `${nameOf(cell)} failed: ${cell.reason ?? "no reason given"}`),
    ...of("not offered")
      .filter(({ mustPass }) => mustPass)
      .map((cell) => `${nameOf(cell)} must pass, but is not offered: ${cell.reason ?? "no reason given"}`),
    ...(missingShards.length === 0 ? [] : [`shards missing: ${missingShards.join(", ")}`]),
    ...(cells.length === planned ? [] : [`${planned} cells were planned, ${cells.length} are here`]),
  ];
  const [passed, failed, notOffered] = [of("pass").length, of("fail").length, of("not offered").length];
  const counts = `${passed} passed, ${failed} failed, ${notOffered} not offered`;
  const isGreen = complaints.length === 0;
  return { isGreen, sentence: `${isGreen ? "green" : "red"}: ${counts}`, complaints, passed, failed, notOffered };
}

function nameOf({ sleep, fault, host }: MatrixCell): string {
  return `${sleep}, ${fault === "none" ? "no fault" : fault}, ${host}`;
}

function missingOf(shards: readonly Shard[]): readonly string[] {
  const parts = shards[0]?.count ?? 1;
  const known = new Set(shards.map(({ index }) => index));
  return Array.from({ length: Math.min(parts, 10_000) }, (_, at) => at + 1)
    .filter((index) => !known.has(index))
    .map((index) => `${index}/${parts}`);
}

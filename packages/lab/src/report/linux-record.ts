/**
 * What `virtgpu linux` leaves behind, as plain data: how a driver in a Linux guest came through each sleep of one guest life.
 *
 * Times are milliseconds by the host's clock unless they say otherwise.
 */
import * as v from "valibot";
import { count, ms, rows, span as duration, text } from "./record-schema.ts";
import { type Options, optionsSchema, parseRecord, type Versions, versionsSchema } from "./run-record.ts";

/** Version of the format. */
export const LINUX_RECORD_VERSION = 1;

/** `never`: not even after drawing anew. `hung`: the machine did not come back, or stopped answering while it slept. */
export type LinuxVerdict = "came-back" | "came-back-after-redraw" | "never" | "hung";

/** Verdicts, the best first. */
export const LINUX_VERDICTS: readonly LinuxVerdict[] = ["came-back", "came-back-after-redraw", "never", "hung"];

/** One thing that was looked at. */
export interface LinuxCheck {
  /** A sentence about how it should be. */
  readonly name: string;
  /** Ids of docs/requirements.json that are visible in it from outside the driver. */
  readonly requirements: readonly string[];
  /** `not-offered`: it can't be looked at here; the detail says why. */
  readonly result: "pass" | "fail" | "not-offered";
  readonly detail: string;
}

/** Null where it was not measured, or never happened. */
export interface LinuxTimes {
  /** From the wish to sleep to the end of the QEMU process. */
  readonly hibernate: number | null;
  /** From the wake, or the start of the new QEMU process, to the agent's answer. */
  readonly wake: number | null;
  /** From the same to the first screendumps, of all lit outputs, that show what they should. */
  readonly picture: number | null;
  /** By the guest's own clock, from the return of the sleep to the picture, and to all objects. */
  readonly guestPicture: number | null;
  readonly guestComplete: number | null;
}

/** What proves that the sleep was what it says. */
export interface LinuxEvidence {
  /** QMP events of the processes that ended or slept, in order. */
  readonly events: readonly string[];
  /** How the process that slept ended, null where it lived on. */
  readonly exitCode: number | null;
  readonly isNewProcess: boolean;
  /** What the kernel answered, null: it did as it was asked. */
  readonly sleepError: string | null;
  /** Objects by the driver's own count. */
  readonly restored: number | null;
  readonly lost: number | null;
}

/** One sleep of a guest life. */
export interface LinuxSleep {
  /** From 1. */
  readonly number: number;
  readonly way: string;
  readonly verdict: LinuxVerdict;
  readonly checks: readonly LinuxCheck[];
  readonly times: LinuxTimes;
  readonly evidence: LinuxEvidence;
  /** Why the picture did not come back by itself, in a sentence; null where it did. */
  readonly reason: string | null;
}

/** What was tried. */
export interface LinuxSubject {
  /** One name for people, e.g. "our driver by uio", "the kernel's driver". */
  readonly name: string;
  readonly driver: string;
  readonly way: string;
  /** `uname -r`. */
  readonly kernel: string;
  /** Where the kernel came from. */
  readonly source: string;
  readonly qemu: string;
  readonly machine: string;
  /** What runs the guest's instructions, for people: "software emulation", "KVM". */
  readonly accelerator: string;
  readonly devices: readonly string[];
  /** MiB. */
  readonly ram: number;
  readonly remedy: boolean;
}

/** Something that works today, where the driver does not. */
export interface LinuxRemedy {
  readonly about: string;
  /** A systemd unit, ready to be installed; the file's name and its text. */
  readonly file: string;
  readonly unit: string;
}

/** See the file's head. */
export interface LinuxRecord {
  readonly schemaVersion: number;
  readonly commandLine: string;
  readonly options: Options;
  readonly versions: Versions;
  /** ISO 8601, in UTC. */
  readonly startedAt: string;
  readonly durationMs: number;
  readonly subject: LinuxSubject;
  readonly verdict: LinuxVerdict;
  readonly sentence: string;
  /** Of the worst sleep. */
  readonly reason: string | null;
  readonly remedy: LinuxRemedy | null;
  readonly sleeps: readonly LinuxSleep[];
  /** What could not be had in this guest, and why. */
  readonly notOffered: readonly { readonly kind: string; readonly reason: string }[];
  /** Lines that tell of something: of the kernel, of QEMU; and the console's last. */
  readonly guestLog: readonly string[];
  readonly hostLog: readonly string[];
  readonly console: readonly string[];
  /** State of the queues as QEMU told it, where the picture did not come back: one line a queue. */
  readonly queues: readonly string[];
}

const span = v.nullable(ms);
const lines = rows(text, 100_000);
const verdict = v.picklist(["came-back", "came-back-after-redraw", "never", "hung"]);

const check: v.GenericSchema<unknown, LinuxCheck> = v.object({
  name: text,
  requirements: lines,
  result: v.picklist(["pass", "fail", "not-offered"]),
  detail: text,
});

const sleepSchema: v.GenericSchema<unknown, LinuxSleep> = v.object({
  number: count,
  way: text,
  verdict,
  checks: v.pipe(v.array(check), v.maxLength(10_000)),
  times: v.object({ hibernate: span, wake: span, picture: span, guestPicture: span, guestComplete: span }),
  evidence: v.object({
    events: lines,
    exitCode: v.nullable(v.number()),
    isNewProcess: v.boolean(),
    sleepError: v.nullable(text),
    restored: v.nullable(count),
    lost: v.nullable(count),
  }),
  reason: v.nullable(text),
});

/** The check on a record that comes from a file. */
export const linuxRecordSchema: v.GenericSchema<unknown, LinuxRecord> = v.object({
  schemaVersion: v.literal(LINUX_RECORD_VERSION),
  commandLine: text,
  options: optionsSchema,
  versions: versionsSchema,
  startedAt: text,
  durationMs: duration,
  subject: v.object({
    name: text,
    driver: text,
    way: text,
    kernel: text,
    source: text,
    qemu: text,
    machine: text,
    accelerator: v.optional(text, "software emulation"),
    devices: lines,
    ram: count,
    remedy: v.boolean(),
  }),
  verdict,
  sentence: text,
  reason: v.nullable(text),
  remedy: v.nullable(v.object({ about: text, file: text, unit: text })),
  sleeps: v.pipe(v.array(sleepSchema), v.maxLength(10_000)),
  notOffered: v.pipe(v.array(v.object({ kind: text, reason: text })), v.maxLength(1000)),
  guestLog: lines,
  hostLog: lines,
  console: lines,
  queues: lines,
});

/** Reads a record; `path` is for the message. Throws GpuError EINVAL. */
export function parseLinuxRecord(json: string, path: string): LinuxRecord {
  return parseRecord(linuxRecordSchema, json, path, { what: "report of a guest", version: LINUX_RECORD_VERSION });
}

/** The worse of verdicts; `came-back` where there is none. */
export function worstVerdict(verdicts: readonly LinuxVerdict[]): LinuxVerdict {
  const rank = Math.max(0, ...verdicts.map((one) => LINUX_VERDICTS.indexOf(one)));
  return LINUX_VERDICTS[rank] ?? "hung";
}

/** What `--json` prints: the verdict, the checks and times of every sleep, and what proves them. */
export interface LinuxSummary {
  readonly schemaVersion: number;
  readonly verdict: LinuxVerdict;
  readonly sentence: string;
  readonly reason: string | null;
  readonly subject: LinuxSubject;
  readonly checks: readonly (LinuxCheck & { readonly sleep: number; readonly way: string })[];
  readonly times: readonly (LinuxTimes & { readonly sleep: number; readonly way: string })[];
  readonly evidence: readonly (LinuxEvidence & { readonly sleep: number; readonly way: string })[];
  readonly notOffered: LinuxRecord["notOffered"];
}

/** The record without what only a report needs. */
export function linuxSummary(record: LinuxRecord): LinuxSummary {
  const { schemaVersion, verdict: worst, sentence, reason, subject, sleeps, notOffered } = record;
  return {
    schemaVersion,
    verdict: worst,
    sentence,
    reason,
    subject,
    checks: sleeps.flatMap(({ number, way, checks }) => checks.map((one) => ({ sleep: number, way, ...one }))),
    times: sleeps.map(({ number, way, times }) => ({ sleep: number, way, ...times })),
    evidence: sleeps.map(({ number, way, evidence }) => ({ sleep: number, way, ...evidence })),
    notOffered,
  };
}

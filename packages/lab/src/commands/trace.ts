/** `virtgpu trace`: its options. What it does is in trace-run.ts, loaded when it is asked for. */
import { buildCommand, buildRouteMap, type Command, type RouteMap } from "@stricli/core";
import type { LabContext } from "./context.ts";
import { type HostFlags, hostFlags } from "./host-flags.ts";
import { whole } from "./numbers.ts";

/** What was typed to record. */
export interface TraceRecordFlags extends HostFlags {
  readonly sleeps: number;
}

/** What was typed to replay. */
export interface TraceReplayFlags extends HostFlags {
  readonly json: boolean;
}

const file = { brief: "A trace", parse: (value: string): string => value, placeholder: "FILE" };

const recordCommand: Command<LabContext> = buildCommand<TraceRecordFlags, [string], LabContext>({
  loader: async () => (await import("./trace-run.ts")).runTraceRecord,
  parameters: {
    positional: { kind: "tuple", parameters: [{ ...file, brief: "The trace to write" }] },
    flags: {
      ...hostFlags,
      sleeps: {
        kind: "parsed",
        parse: whole("--sleeps", 0, 1000),
        default: "1",
        brief: "Freezes and restores, one after the other",
        placeholder: "N",
      },
    },
  },
  docs: {
    brief: "Records a desktop's life over a sleep: every command and reply, with the memory that the host reads",
    fullDescription: "The file holds JSON lines: print shows them, replay plays them to another host.",
  },
});

const printCommand: Command<LabContext> = buildCommand<Record<never, never>, [string], LabContext>({
  loader: async () => (await import("./trace-run.ts")).runTracePrint,
  parameters: { positional: { kind: "tuple", parameters: [file] } },
  docs: { brief: "Prints a trace with the specification's names" },
});

const replayCommand: Command<LabContext> = buildCommand<TraceReplayFlags, [string], LabContext>({
  loader: async () => (await import("./trace-run.ts")).runTraceReplay,
  parameters: {
    positional: { kind: "tuple", parameters: [file] },
    flags: {
      ...hostFlags,
      json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
    },
  },
  docs: {
    brief: "Plays a trace to another host, and compares answers and pictures",
    fullDescription: "Exit code 0 when they are alike, 1 when they differ. The outputs are the trace's.",
  },
});

/** See the file's head. */
export const traceRoutes: RouteMap<LabContext> = buildRouteMap({
  routes: { record: recordCommand, print: printCommand, replay: replayCommand },
  docs: { brief: "Records what a driver and a host say to each other, prints it, plays it to another host" },
});

/** `virtgpu info`: its options. What it does is in info-run.ts, loaded when it is asked for. */
import { buildCommand, type Command } from "@stricli/core";
import type { LabContext } from "./context.ts";
import { type HostFlags, hostFlags } from "./host-flags.ts";

/** What was typed. */
export interface InfoFlags extends HostFlags {
  readonly json: boolean;
}

/** See the file's head. */
export const infoCommand: Command<LabContext> = buildCommand<InfoFlags, [], LabContext>({
  loader: async () => (await import("./info-run.ts")).runInfoCommand,
  parameters: {
    flags: {
      ...hostFlags,
      json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
    },
  },
  docs: {
    brief: "Says what a device offers, its limits, and how it behaves where devices differ",
    fullDescription: "Starts the device, asks it with commands that leave nothing behind, and ends it again.",
  },
});

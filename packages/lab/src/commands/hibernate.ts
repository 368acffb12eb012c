/**
 * `virtgpu hibernate`: its options. What it does is in hibernate-run.ts, loaded when it is asked for.
 */
import { buildCommand, type Command } from "@stricli/core";
import { EMBEDDED_DEVICES } from "../hosts/embedded/options.ts";
import { FAULTS_HELP } from "../guests/machine/faults.ts";
import { SLEEP_WAYS } from "../scenarios/hibernate/ways.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import { type MachineFlags, machineFlags } from "./host-flags.ts";
import { whole } from "./numbers.ts";

/** What was typed. */
export interface HibernateFlags extends MachineFlags {
  readonly sleep: string;
  readonly hard: boolean;
  readonly cycles: number;
  readonly outputs?: number;
  readonly objects: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly fault?: readonly string[];
  readonly policy?: "veto" | "lose" | "wait";
  readonly report: string;
  readonly keep: boolean;
  readonly resume?: string;
  readonly trace?: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

const waysHelp = Object.entries(SLEEP_WAYS)
  .map(([name, { about }]) => `  ${name.padEnd(16)} ${about}`)
  .join("\n");

const text = (value: string): string => value;

function size(input: string): { readonly width: number; readonly height: number } {
  const [, width = 0, height = 0] = (/^(\d{1,5})x(\d{1,5})$/.exec(input) ?? []).map(Number);
  if ([width, height].every((side) => side >= 16 && side <= 16384)) return { width, height };
  throw new UsageError(`--size is for example 1920x1080, from 16x16 to 16384x16384, not ${input}`);
}

function wayName(input: string): string {
  if (SLEEP_WAYS[input] !== undefined) return input;
  throw new UsageError(`there is no way to sleep called "${input}"; there are ${Object.keys(SLEEP_WAYS).join(", ")}`);
}

/** See the file's head. */
export const hibernateCommand: Command<LabContext> = buildCommand({
  loader: async () => (await import("./hibernate-run.ts")).runHibernateCommand,
  parameters: {
    positional: {
      kind: "array",
      parameter: { brief: "PNG to show, one an output; else a desktop is drawn", parse: text, placeholder: "PICTURE" },
    },
    flags: {
      ...machineFlags,
      sleep: {
        kind: "parsed",
        parse: wayName,
        default: "s4",
        brief: "Which way to sleep, see below",
        placeholder: "WAY",
      },
      hard: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "SIGKILL instead of the power-off, or in the middle of a sleep in RAM",
      },
      cycles: {
        kind: "parsed",
        parse: whole("--cycles", 1, 1000),
        default: "1",
        brief: "How many sleeps in a row",
        placeholder: "N",
      },
      outputs: {
        kind: "parsed",
        parse: whole("--outputs", 1, 16),
        optional: true,
        brief: "Outputs; 2, or one a picture, unless given",
        placeholder: "N",
      },
      size: {
        kind: "parsed",
        parse: size,
        optional: true,
        brief: "Of each output without a picture",
        placeholder: "WxH",
      },
      objects: {
        kind: "parsed",
        parse: whole("--objects", 0, 100_000),
        default: "24",
        brief: "Further off-screen buffers",
        placeholder: "N",
      },
      fault: {
        kind: "parsed",
        parse: text,
        variadic: true,
        optional: true,
        brief: "What goes wrong: KIND, KIND@PHASE:K, see below",
        placeholder: "FAULT",
      },
      policy: {
        kind: "enum",
        values: ["veto", "lose", "wait"],
        optional: true,
        brief: "With a game that renders: what a sleep does about it, see below",
      },
      report: { kind: "parsed", parse: text, default: "report", brief: "Folder for the report", placeholder: "DIR" },
      keep: { kind: "boolean", default: false, withNegated: false, brief: "Keep the image" },
      resume: {
        kind: "parsed",
        parse: text,
        optional: true,
        brief: "Draw and sleep nothing: come back from an image that was kept",
        placeholder: "IMAGE",
      },
      trace: {
        kind: "parsed",
        parse: text,
        optional: true,
        brief: "Record what driver and host say, for virtgpu trace print and replay",
        placeholder: "FILE",
      },
      json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
      quiet: { kind: "boolean", default: false, withNegated: false, brief: "Only the verdict" },
    },
  },
  docs: {
    brief: "Hibernates a machine with a GPU, and shows that nothing was lost",
    fullDescription: `A machine process draws on a GPU, sleeps and is gone; a new one gets nothing but the image and restores; then all that
the host shows and holds is compared, byte for byte, with what there was. Exit code 0: nothing was lost; 1: something
was; 2: a mistake in the command; 3: the host or the machine failed.

WAYS TO SLEEP (--sleep)
${waysHelp}

POLICIES (--policy): a game renders on the host, which no sleep can bring back
  veto             the sleep is refused; the game ends, and it is tried once more
  wait             the sleep waits for the game to end
  lose             the sleep goes on without asking: what the game had is lost, which the verdict says; exit code 1

FAULTS (--fault)
  ${FAULTS_HELP}

DEVICES (--device)
  embedded: ${EMBEDDED_DEVICES}
  qemu:     whatever this QEMU knows, with its properties; root-port=on, window=pci-cfg`,
  },
});

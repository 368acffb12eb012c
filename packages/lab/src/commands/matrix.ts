/** `virtgpu matrix`: its options. What it does is in matrix-run.ts, loaded when it is asked for. */
import { buildCommand, type Command } from "@stricli/core";
import type { Shard } from "../report/matrix-record.ts";
import { MATRIX_FAULTS } from "../scenarios/matrix/faults.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";

/** What was typed. */
export interface MatrixFlags {
  readonly host: "embedded" | "qemu" | "all";
  readonly qemu?: string;
  readonly faults: boolean;
  readonly only: string;
  readonly shard: Shard;
  readonly merge?: readonly string[];
  readonly report: string;
  readonly json: boolean;
  readonly quiet: boolean;
}

const text = (value: string): string => value;

function shard(input: string): Shard {
  const [, index = 0, count = 0] = (/^(\d{1,5})\/(\d{1,5})$/.exec(input) ?? []).map(Number);
  if (index >= 1 && index <= count) return { index, count };
  throw new UsageError(`--shard is i/n with 1 <= i <= n, for example 2/4, not ${input}`);
}

const faultsHelp = MATRIX_FAULTS.map(({ name, about }) => `  ${name.padEnd(20)} ${about}`).join("\n");

/** See the file's head. */
export const matrixCommand: Command<LabContext> = buildCommand<MatrixFlags, [], LabContext>({
  loader: async () => (await import("./matrix-run.ts")).runMatrixCommand,
  parameters: {
    flags: {
      host: {
        kind: "enum",
        values: ["embedded", "qemu", "all"],
        default: "embedded",
        brief: "Which hosts: ours in its variants, a real QEMU in its, or both",
      },
      qemu: { kind: "parsed", parse: text, optional: true, brief: "QEMU's program", placeholder: "PATH" },
      faults: { kind: "boolean", default: true, brief: "Every way to break, too" },
      only: {
        kind: "parsed",
        parse: text,
        default: "",
        brief: "Only rows whose name contains this",
        placeholder: "TEXT",
      },
      shard: { kind: "parsed", parse: shard, default: "1/1", brief: "Part i of n of the cells", placeholder: "i/n" },
      merge: {
        kind: "parsed",
        parse: text,
        variadic: true,
        optional: true,
        brief: "Run nothing: put the reports of shards together",
        placeholder: "DIR",
      },
      report: { kind: "parsed", parse: text, default: "report", brief: "Folder for the report", placeholder: "DIR" },
      json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
      quiet: { kind: "boolean", default: false, withNegated: false, brief: "Only the verdict" },
    },
  },
  docs: {
    brief: "Every way to sleep, with every way to break, on every host",
    fullDescription: `Each cell is one run on a machine of its own: it passes, fails, or is not offered, with the probe's answer. Cells marked !
must pass. Writes matrix.html, matrix.json and junit.xml. Exit code 0: green; 1: red; 2: a mistake in the command; 3: no
host could be started.

WAYS TO BREAK, at a command near the beginning, in the middle and near the end
${faultsHelp}`,
  },
});

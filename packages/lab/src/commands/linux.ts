/** `virtgpu linux`: its options. What it does is in linux-run.ts, loaded when it is asked for. */
import { buildCommand, type Command } from "@stricli/core";
import type { SleepWay } from "@virtgpu/linux/agent";
import type { AcceleratorWish } from "../guests/linux/accelerator.ts";
import { LINUX_CASES } from "../scenarios/linux/cases.ts";
import { isSleepWay, LINUX_SLEEP_WAYS } from "../scenarios/linux/ways.ts";
import { UsageError } from "../usage-error.ts";
import type { LabContext } from "./context.ts";
import { whole } from "./numbers.ts";

/** What was typed. */
export interface LinuxFlags {
  readonly driver: "virtgpu" | "kernel";
  readonly way: "uio" | "vfio" | "pci-cfg";
  readonly memory: "hugepages" | "pages" | "heap";
  readonly debian?: "cloud" | "generic" | "backports-cloud" | "backports-generic";
  readonly deb?: string;
  readonly kernel?: string;
  readonly modules?: string;
  readonly source?: string;
  readonly patch?: readonly string[];
  readonly sleep: readonly SleepWay[];
  readonly cycles: number;
  readonly case: string;
  readonly objects?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly outputs?: number;
  readonly gpus: number;
  readonly qemu?: string;
  readonly machine?: string;
  readonly accel?: AcceleratorWish;
  readonly device: string;
  readonly ram?: number;
  readonly remedy: boolean;
  readonly systemd?: boolean;
  readonly report: string;
  readonly keep: boolean;
  readonly compare?: readonly string[];
  readonly json: boolean;
  readonly quiet: boolean;
}

const text = (value: string): string => value;

const DEVICE = /^[\w.-]+(?:,[\w.-]+=[^,\s]+)*$/;
const SET_HERE = ["id", "max_outputs", "bus", "addr"];

function device(input: string): string {
  if (!DEVICE.test(input)) throw new UsageError(`--device is TYPE,property=value,…, not ${input}`);
  const taken = SET_HERE.find((name) => input.includes(`,${name}=`));
  if (taken !== undefined) throw new UsageError(`the property ${taken} is set by this command`);
  return input;
}

function size(input: string): { readonly width: number; readonly height: number } {
  const [, width = 0, height = 0] = (/^(\d{1,5})x(\d{1,5})$/.exec(input) ?? []).map(Number);
  if ([width, height].every((side) => side >= 64 && side <= 4096)) return { width, height };
  throw new UsageError(`--size is for example 1024x768, from 64x64 to 4096x4096, not ${input}`);
}

function sleepWay(input: string): SleepWay {
  if (isSleepWay(input)) return input;
  throw new UsageError(
    `there is no way to sleep called "${input}"; there are ${Object.keys(LINUX_SLEEP_WAYS).join(", ")}`,
  );
}

function caseName(input: string): string {
  if (LINUX_CASES[input] !== undefined) return input;
  throw new UsageError(`there is no case called "${input}"; there are ${Object.keys(LINUX_CASES).join(", ")}`);
}

const list = (rows: Readonly<Record<string, { readonly about: string }>>): string =>
  Object.entries(rows)
    .map(([name, { about }]) => `  ${name.padEnd(20)} ${about}`)
    .join("\n");

/** See the file's head. */
export const linuxCommand: Command<LabContext> = buildCommand<LinuxFlags, string[], LabContext>({
  loader: async () => (await import("./linux-run.ts")).runLinuxCommand,
  parameters: {
    positional: {
      kind: "array",
      parameter: { brief: "With --compare A: B, and nothing else", parse: text, placeholder: "B" },
      maximum: 1,
    },
    flags: {
      driver: {
        kind: "enum",
        values: ["virtgpu", "kernel"],
        default: "virtgpu",
        brief: "Which driver: ours in user space, or the kernel's own",
      },
      way: { kind: "enum", values: ["uio", "vfio", "pci-cfg"], default: "uio", brief: "How ours reaches the device" },
      memory: {
        kind: "enum",
        values: ["hugepages", "pages", "heap"],
        default: "hugepages",
        brief: "Where ours has its memory",
      },
      debian: {
        kind: "enum",
        values: ["cloud", "generic", "backports-cloud", "backports-generic"],
        optional: true,
        brief: "A kernel of Debian's; the smallest that will do unless given",
      },
      deb: { kind: "parsed", parse: text, optional: true, brief: "A kernel in a package", placeholder: "FILE" },
      kernel: { kind: "parsed", parse: text, optional: true, brief: "A kernel as built: bzImage", placeholder: "FILE" },
      modules: { kind: "parsed", parse: text, optional: true, brief: "Its modules", placeholder: "DIR" },
      source: {
        kind: "parsed",
        parse: text,
        optional: true,
        brief: "Build a kernel from these sources",
        placeholder: "DIR",
      },
      patch: {
        kind: "parsed",
        parse: text,
        variadic: true,
        optional: true,
        brief: "With these patches on top",
        placeholder: "MBOX",
      },
      sleep: {
        kind: "parsed",
        parse: sleepWay,
        variadic: ",",
        default: ["s4-platform"],
        brief: "Ways to sleep, one after the other in one guest life, see below",
        placeholder: "WAY,…",
      },
      cycles: {
        kind: "parsed",
        parse: whole("--cycles", 1, 100),
        default: "1",
        brief: "How often all of them",
        placeholder: "N",
      },
      case: { kind: "parsed", parse: caseName, default: "plain", brief: "What scene and host, see below" },
      objects: {
        kind: "parsed",
        parse: whole("--objects", 0, 20_000),
        optional: true,
        brief: "Off-screen buffers of 64 KiB; 24 unless given",
        placeholder: "N",
      },
      size: { kind: "parsed", parse: size, optional: true, brief: "Of each output; 1024x768", placeholder: "WxH" },
      outputs: {
        kind: "parsed",
        parse: whole("--outputs", 1, 16),
        optional: true,
        brief: "Outputs of each GPU; 2 unless given",
        placeholder: "N",
      },
      gpus: { kind: "parsed", parse: whole("--gpus", 1, 4), default: "1", brief: "GPUs", placeholder: "N" },
      qemu: { kind: "parsed", parse: text, optional: true, brief: "QEMU's program", placeholder: "PATH" },
      machine: {
        kind: "parsed",
        parse: text,
        optional: true,
        brief: "QEMU's machine; q35, or pc where a sleep follows an S3",
        placeholder: "TYPE",
      },
      accel: {
        kind: "enum",
        values: ["tcg", "kvm", "auto"],
        optional: true,
        brief: "Software emulation, unless given; or KVM, where a machine has booted with it; or whichever is good",
      },
      device: {
        kind: "parsed",
        parse: device,
        default: "virtio-gpu-pci",
        brief: "The GPU, in QEMU's words",
        placeholder: "TYPE,…",
      },
      ram: {
        kind: "parsed",
        parse: whole("--ram", 160, 8192),
        optional: true,
        brief: "MiB of guest memory",
        placeholder: "MIB",
      },
      remedy: {
        kind: "boolean",
        default: false,
        withNegated: false,
        brief: "Unbind the kernel's driver before each sleep, bind it after",
      },
      systemd: {
        kind: "boolean",
        optional: true,
        withNegated: false,
        brief: "The same by a unit of systemd, in a guest that Debian's systemd starts and puts to sleep",
      },
      report: { kind: "parsed", parse: text, default: "report", brief: "Folder for the report", placeholder: "DIR" },
      keep: { kind: "boolean", default: false, withNegated: false, brief: "Keep the console's log beside the report" },
      compare: {
        kind: "parsed",
        parse: text,
        variadic: true,
        optional: true,
        brief: "Side by side: --compare A B, each a report's folder, or virtgpu, kernel or remedy to run it",
        placeholder: "A",
      },
      json: { kind: "boolean", default: false, withNegated: false, brief: "One JSON object on standard output" },
      quiet: { kind: "boolean", default: false, withNegated: false, brief: "Only the verdict" },
    },
  },
  docs: {
    brief: "A real Linux kernel, asleep and awake again in a VM: our driver in user space, or the kernel's own",
    fullDescription: `Boots a small VM of its own making with Debian's kernel (unpacked into a cache, nothing is installed), or with one that you
have built; draws, sleeps, and compares what outputs, off-screen objects and cursor show afterwards. Verdicts: came-back,
came-back-after-redraw, never, hung; with the reason, and what helps today. Exit code 0: the picture came back by itself
with nothing lost; 1: not so; 2: a mistake in the command; 3: host or machine failed.

WAYS TO SLEEP
${list(LINUX_SLEEP_WAYS)}

CASES
${list(LINUX_CASES)}`,
  },
});

/**
 * Options that say whose device is meant, for commands that look at one for a moment.
 */
import { randomUUID } from "node:crypto";
import type { TypedFlagParameter } from "@stricli/core";
import type { Hardware } from "../hosts/machine.ts";
import { UsageError } from "../usage-error.ts";
import { whole } from "./numbers.ts";

/** Whose device, typed. */
export interface MachineFlags {
  readonly host: Hardware["host"];
  readonly qemu?: string;
  readonly machine?: string;
  readonly device?: string;
}

/** The same, with a number of outputs. */
export interface HostFlags extends MachineFlags {
  readonly outputs: number;
}

const text = (value: string): string => value;
const OUTPUTS_MAX = 16;
const SIZE = { width: 1280, height: 800 };
const MIB = 1 << 20;

type Parameters<Flags> = { readonly [Name in keyof Required<Flags>]: TypedFlagParameter<Flags[Name]> };

/** The options that say whose device. */
export const machineFlags: Parameters<MachineFlags> = {
  host: {
    kind: "enum",
    values: ["embedded", "qemu"],
    default: "embedded",
    brief: "Whose device: ours, or a real QEMU's",
  },
  qemu: { kind: "parsed", parse: text, optional: true, brief: "QEMU's program", placeholder: "PATH" },
  machine: {
    kind: "parsed",
    parse: text,
    optional: true,
    brief: "QEMU's machine: q35, pc or microvm",
    placeholder: "TYPE",
  },
  device: {
    kind: "parsed",
    parse: text,
    optional: true,
    brief: "The GPU, in QEMU's words: TYPE,property=value,…",
    placeholder: "TYPE,…",
  },
};

/** The options. */
export const hostFlags: Parameters<HostFlags> = {
  ...machineFlags,
  outputs: {
    kind: "parsed",
    parse: whole("--outputs", 1, OUTPUTS_MAX),
    default: "2",
    brief: "Outputs",
    placeholder: "N",
  },
};

/** The GPU that `--device` asks for; the machine's usual one unless it says. Throws UsageError. */
export function parseDevice(typed: string | undefined, machine: string | undefined): Hardware["device"] {
  const usual = machine === "microvm" ? "virtio-gpu-device" : "virtio-gpu-pci";
  const [type = "", ...properties] = (typed ?? usual).split(",");
  if (!/^[\w.-]+$/.test(type)) throw new UsageError(`--device is TYPE,property=value,…; "${typed}" names no type`);
  const pairs = properties.map((property): [string, string] => {
    const [, name = "", value = ""] = /^([\w.-]+)=(.+)$/.exec(property) ?? [];
    if (name === "") throw new UsageError(`"${property}" is no property=value`);
    if (["id", "max_outputs", "bus"].includes(name)) {
      throw new UsageError(`the property ${name} is set by this command`);
    }
    return [name, value];
  });
  return { type, properties: Object.fromEntries(pairs) };
}

/** The machine that was asked for. Throws UsageError. */
export function hardwareOf(
  flags: HostFlags,
  more: { readonly ramBytes?: number; readonly outputs?: Hardware["outputs"] } = {},
): Hardware {
  if (flags.host === "embedded" && (flags.qemu !== undefined || flags.machine !== undefined)) {
    throw new UsageError("--qemu and --machine are for --host qemu");
  }
  return {
    id: randomUUID(),
    host: flags.host,
    ramBytes: more.ramBytes ?? 64 * MIB,
    outputs: more.outputs ?? Array.from({ length: flags.outputs }, () => SIZE),
    device: parseDevice(flags.device, flags.machine),
    qemu: flags.qemu ?? null,
    machine: flags.machine ?? null,
  };
}

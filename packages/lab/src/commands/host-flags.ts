/**
 * Options that say whose device is meant, for commands that look at one for a moment.
 */
import { randomUUID } from "node:crypto";
import { numberParser, type TypedFlagParameter } from "@stricli/core";
import { RamPageAllocator } from "@virtgpu/core/memory";
import { EmbeddedHost } from "../hosts/embedded/embedded-host.ts";
import type { Hardware, HostGpu, MachineHost } from "../hosts/machine.ts";
import { createNodeClock } from "../hosts/node-clock.ts";
import { QemuMachineHost, QemuMemory } from "../hosts/qemu/qemu-machine.ts";
import type { ReplayMachine } from "../trace/replay.ts";
import { UsageError } from "../usage-error.ts";

/** What was typed. */
export interface HostFlags {
  readonly host: Hardware["host"];
  readonly qemu?: string;
  readonly machine?: string;
  readonly device?: string;
  readonly outputs: number;
}

const text = (value: string): string => value;
const OUTPUTS_MAX = 16;
const SIZE = { width: 1280, height: 800 };
const MIB = 1 << 20;

function outputs(input: string): number {
  const value = numberParser(input);
  if (Number.isInteger(value) && value >= 1 && value <= OUTPUTS_MAX) return value;
  throw new UsageError(`--outputs is a whole number from 1 to ${OUTPUTS_MAX}, not ${input}`);
}

/** The options. */
export const hostFlags: { readonly [Name in keyof Required<HostFlags>]: TypedFlagParameter<HostFlags[Name]> } = {
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
  outputs: { kind: "parsed", parse: outputs, default: "2", brief: "Outputs", placeholder: "N" },
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

/** Switches such a machine on for as long as `use` takes. */
export async function withMachine<T>(
  hardware: Hardware,
  use: (machine: ReplayMachine & { readonly host: MachineHost }) => Promise<T>,
): Promise<T> {
  const host =
    hardware.host === "embedded"
      ? new EmbeddedHost(hardware)
      : await QemuMachineHost.start(hardware, new QemuMemory(hardware.ramBytes));
  try {
    const allocator = new RamPageAllocator(host.memory, host.usable);
    const dma = host.attach(allocator);
    return await use({ host, gpu: firstGpu(host), allocator, dma, clock: createNodeClock() });
  } finally {
    await host.stop();
  }
}

function firstGpu({ gpus }: MachineHost): HostGpu {
  const [gpu] = gpus;
  if (gpu === undefined) throw new UsageError("the machine has no GPU");
  return gpu;
}

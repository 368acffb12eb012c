/** `virtgpu show`: its options. What it does is in show-run.ts, loaded when it is asked for. */
import { buildCommand, type Command } from "@stricli/core";
import type { LabContext } from "./context.ts";
import { whole } from "./numbers.ts";

const WAYS = ["uio", "vfio", "pci-cfg"] as const;
const MEMORY = ["hugepages", "pages", "heap"] as const;
const MODES = ["platform", "shutdown", "reboot", "as-is"] as const;

/** What was typed. */
export interface ShowFlags {
  readonly gpu?: readonly string[];
  readonly way: (typeof WAYS)[number];
  readonly memory?: (typeof MEMORY)[number];
  readonly all: boolean;
  readonly hibernate: boolean;
  readonly mode: (typeof MODES)[number];
  readonly logind: boolean;
  readonly seconds?: number;
}

const text = (value: string): string => value;

/** See the file's head. */
export const showCommand: Command<LabContext> = buildCommand<ShowFlags, string[], LabContext>({
  loader: async () => (await import("./show-run.ts")).runShowCommand,
  parameters: {
    positional: {
      kind: "array",
      minimum: 1,
      parameter: { brief: "A PNG for each output", parse: text, placeholder: "PICTURE.png" },
    },
    flags: {
      gpu: {
        kind: "parsed",
        parse: text,
        variadic: true,
        optional: true,
        brief: "A GPU by its PCI address, e.g. 0000:00:04.0; all of them unless given",
        placeholder: "ADDRESS",
      },
      way: { kind: "enum", values: WAYS, default: "uio", brief: "How the device is reached" },
      memory: { kind: "enum", values: MEMORY, optional: true, brief: "Where the driver's memory comes from" },
      all: { kind: "boolean", default: false, brief: "Light also outputs that nobody looks at" },
      hibernate: { kind: "boolean", default: false, brief: "Hibernate once everything is shown, and come back" },
      mode: { kind: "enum", values: MODES, default: "as-is", brief: "With --hibernate: how the machine goes off" },
      logind: { kind: "boolean", default: false, brief: "Hold systemd-logind's sleeps back until the GPUs are ready" },
      seconds: {
        kind: "parsed",
        parse: whole("--seconds", 1, 86_400),
        optional: true,
        brief: "End by itself after a time",
        placeholder: "N",
      },
    },
  },
  docs: {
    brief: "In a guest: shows pictures on the outputs of its virtio GPUs, through every sleep",
    fullDescription: `Runs as root on Linux, inside the guest. The GPUs are taken from their driver (uio: uio_pci_generic and mapped registers;
vfio: VFIO and an IOMMU; pci-cfg: configuration space alone) and given back at the end (Ctrl+C). Pictures that are too large
are shrunk; displays may come and go. A sleep that nobody told of is noticed, too.`,
  },
});

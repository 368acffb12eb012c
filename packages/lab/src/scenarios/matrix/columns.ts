/**
 * The columns of the matrix: machines and hosts, each with what it can't be asked for by its nature. Everything else must
 * pass on it.
 */
import {
  type Ability,
  PairSubject,
  type SimulatedOptions,
  SimulatedSubject,
  type SuspendSubject,
} from "../suspend/index.ts";

/** Which columns are wanted. */
export type MatrixHosts = "embedded" | "qemu" | "all";

/** See the file's head. */
export interface MatrixColumn {
  readonly name: string;
  /** For people: version, machine, device. */
  readonly label: string;
  readonly lacks: ReadonlySet<Ability>;
  /** Whether there is such a host depends on what is installed: nothing must pass, its answer says what is offered. */
  readonly optional: boolean;
  /** A machine for one cell, which has no other at the same time. Throws NotOffered, or GpuError where it can't be started. */
  start(): Promise<SuspendSubject>;
  /** Ends what serves all of its cells. */
  close(): Promise<void>;
}

/** A host that this machine does not have, and why: its cells are not offered. */
export class NotOffered extends Error {
  override readonly name: string = "NotOffered";
}

/** What only a PCI function has. */
export const PCI_ABILITIES: readonly Ability[] = ["function-reset", "bus-reset", "power-states"];

const SIMULATED: readonly (readonly [name: string, label: string, SimulatedOptions, lacks: readonly Ability[]])[] = [
  ["drops", "drops resources on a reset, as QEMU does", { variant: "drops" }, ["no-soft-reset"]],
  ["keeps", "keeps resources over a reset", { variant: "keeps" }, ["no-soft-reset"]],
  ["slow", "resets in 20 ms, answers in 1 ms", { variant: "slow" }, ["no-soft-reset", "faults"]],
  ["no-soft-reset", "keeps its state over S3 (No_Soft_Reset)", { machine: { pci: { noSoftReset: true } } }, []],
  [
    "mmio-packed",
    "virtio-mmio, packed rings",
    { machine: { transport: "mmio", features: { packed: true } } },
    ["no-soft-reset", ...PCI_ABILITIES],
  ],
  ["pci-cfg", "reached through the PCI_CFG window", { machine: { transport: "pci-cfg" } }, ["no-soft-reset"]],
];

/** Our own device on simulated machines. Time is virtual: a minute's patience costs nothing. */
export function embeddedColumns(): readonly MatrixColumn[] {
  const single = SIMULATED.map(
    ([name, label, options, lacks]): MatrixColumn => ({
      name: `embedded ${name}`,
      label: `embedded device that ${label}`,
      lacks: new Set(lacks),
      optional: false,
      start: async () => new SimulatedSubject(options),
      close: async () => {},
    }),
  );
  return [...single, TWO_GPUS];
}

const TWO_GPUS: MatrixColumn = {
  name: "embedded two GPUs",
  label: "two embedded devices, each with a driver and a scene of its own",
  lacks: new Set(["no-soft-reset", "faults", "other-hosts"]),
  optional: false,
  start: async () => new PairSubject(SimulatedSubject.pair(), { isOneProcess: false }),
  close: async () => {},
};

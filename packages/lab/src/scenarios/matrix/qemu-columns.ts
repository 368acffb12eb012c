/**
 * Columns of the matrix that are real QEMUs: machines, buses and options. One QEMU serves all cells of a column.
 */
import { GpuError } from "@virtgpu/core/base";
import { QemuHost, type QemuHostOptions } from "../../hosts/qemu/qemu-host.ts";
import { type Ability, PairSubject, QemuSubject, type SuspendSubject } from "../suspend/index.ts";
import { type MatrixColumn, NotOffered, PCI_ABILITIES } from "./columns.ts";

interface QemuColumn {
  readonly name: string;
  readonly label: string;
  readonly options: Omit<QemuHostOptions, "binary">;
  readonly window?: "bars" | "pci-cfg";
  readonly lacks?: readonly Ability[];
  readonly isBehindPort?: boolean;
  /** A property that not every QEMU has. */
  readonly property?: string;
}

const NO_SOFT_RESET = "x-pcie-pm-no-soft-reset";
/** What no QEMU of ours has: udmabuf for blobs, plans of faults, another QEMU. */
const NEVER: readonly Ability[] = ["blobs", "faults", "other-hosts"];
/** QEMU's functions have these behind a root port only. */
const ON_ROOT_BUS: readonly Ability[] = PCI_ABILITIES;

const COLUMNS: readonly QemuColumn[] = [
  { name: "q35", label: "q35, virtio-gpu-pci", options: { devices: [{ outputs: 2 }] } },
  {
    name: "packed",
    label: "q35, packed rings",
    options: { devices: [{ outputs: 2, properties: { packed: "on" } }] },
  },
  {
    name: "iommu",
    label: "q35, iommu_platform=on",
    options: { devices: [{ outputs: 2, properties: { iommu_platform: "on" } }] },
  },
  { name: "vga", label: "q35, virtio-vga", options: { devices: [{ outputs: 2, model: "virtio-vga" }] } },
  {
    name: "root-port",
    label: "q35, behind a root port",
    options: { devices: [{ outputs: 2, rootPort: true }] },
    isBehindPort: true,
  },
  { name: "pc", label: "pc (i440FX)", options: { machine: "pc", devices: [{ outputs: 2 }] } },
  {
    name: "pci-cfg",
    label: "q35, through the PCI_CFG window",
    options: { devices: [{ outputs: 2 }] },
    window: "pci-cfg",
  },
  {
    name: "microvm",
    label: "microvm, virtio-mmio",
    options: { machine: "microvm", devices: [{ outputs: 2 }] },
    lacks: ["firmware", "queue-reset"],
  },
  { name: "16 outputs", label: "q35, 16 outputs", options: { devices: [{ outputs: 16 }] } },
  {
    name: "two GPUs",
    label: "q35, two virtio-gpu-pci, each behind a root port and with a driver and a scene of its own",
    options: {
      devices: [
        { outputs: 2, rootPort: true },
        { outputs: 2, rootPort: true },
      ],
    },
    isBehindPort: true,
  },
  {
    name: "no-soft-reset",
    label: "q35, behind a root port, No_Soft_Reset",
    options: { devices: [{ outputs: 2, rootPort: true, properties: { [NO_SOFT_RESET]: "on" } }] },
    property: NO_SOFT_RESET,
    isBehindPort: true,
  },
];

/** Real QEMUs, all of the program at `binary`. */
export function qemuColumns(binary: string): readonly MatrixColumn[] {
  return COLUMNS.map((column) => new RunningQemu(binary, column));
}

class RunningQemu implements MatrixColumn {
  readonly name: string;
  readonly label: string;
  readonly lacks: ReadonlySet<Ability>;
  readonly optional: boolean;
  readonly #binary: string;
  readonly #column: QemuColumn;
  #host: QemuHost | null = null;
  #refusal: string | null = null;

  constructor(binary: string, column: QemuColumn) {
    this.#binary = binary;
    this.#column = column;
    this.name = `qemu ${column.name}`;
    this.label = `QEMU, ${column.label}`;
    const { lacks = [], property, isBehindPort = false } = column;
    this.optional = property !== undefined;
    const byBus = isBehindPort ? [] : ON_ROOT_BUS;
    this.lacks = new Set(this.optional ? NEVER : [...NEVER, "no-soft-reset", ...byBus, ...lacks]);
  }

  async start(): Promise<SuspendSubject> {
    if (this.#refusal !== null) throw new NotOffered(this.#refusal);
    this.#host ??= await this.#open();
    if (this.#host.devices.length > 1) {
      return new PairSubject(await QemuSubject.startPair(this.#host), { isOneProcess: true });
    }
    return QemuSubject.start(this.#host, this.#column.window ?? "bars");
  }

  async close(): Promise<void> {
    await this.#host?.stop();
    this.#host = null;
  }

  async #open(): Promise<QemuHost> {
    const { options, property } = this.#column;
    try {
      return await QemuHost.start({ ...options, vnc: true, binary: this.#binary });
    } catch (error) {
      if (!(error instanceof GpuError) || property === undefined || error.code !== "EINVAL") throw error;
      this.#refusal = `this QEMU's device has no property ${property}`;
      throw new NotOffered(this.#refusal);
    }
  }
}

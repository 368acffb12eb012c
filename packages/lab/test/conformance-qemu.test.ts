/**
 * The core of the conformance suite for suspend on a real QEMU: the same list as on our own device, with QEMU's pictures
 * and QEMU's error log. One QEMU serves all cases of a machine; all of them run on the first, on the others those in which
 * bus, rings or a second GPU could make a difference (`virtgpu matrix --host qemu` runs all everywhere). What a machine is
 * not asked for stands here with the reason.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QemuHost, type QemuHostOptions } from "../src/hosts/qemu/qemu-host.ts";
import {
  PairSubject,
  QemuSubject,
  SUSPEND_CASES,
  type SuspendCase,
  type SuspendSubject,
  notOffered,
} from "../src/scenarios/suspend/index.ts";
import { type Omissions, rows } from "./support/conformance.ts";

/** Cases that no QEMU 7.2 can be asked for. */
const ALWAYS: Omissions = { "blob-shown": "this QEMU has no udmabuf for blobs" };
const NO_EXPRESS = "a function on the root bus has no PCI Express capability";
const NO_BRIDGE = "a function on the root bus is behind no bridge";
const NO_D_STATES = "a function on the root bus has no D-states";
const ROOT_BUS: Omissions = {
  ...ALWAYS,
  "flr-asleep": NO_EXPRESS,
  "flr-unasked": NO_EXPRESS,
  "bus-reset-asleep": NO_BRIDGE,
  "bus-reset-unasked": NO_BRIDGE,
  "d3hot-unasked": NO_D_STATES,
  "s3-d3hot": NO_D_STATES,
};
const NO_ACPI = "a microvm has no ACPI sleep states";
const NO_FUNCTION = "virtio-mmio has no PCI function";
const MICROVM: Omissions = {
  ...ALWAYS,
  "s4-firmware": NO_ACPI,
  s3: NO_ACPI,
  "s3-d3hot": NO_ACPI,
  hybrid: NO_ACPI,
  "hybrid-power-lost": NO_ACPI,
  "flr-asleep": NO_FUNCTION,
  "flr-unasked": NO_FUNCTION,
  "bus-reset-asleep": NO_FUNCTION,
  "bus-reset-unasked": NO_FUNCTION,
  "d3hot-unasked": NO_FUNCTION,
  "queue-reset-unasked": "QEMU's virtio-mmio has no register for it",
};

const CORE = SUSPEND_CASES.filter(({ core }) => core);
/** Ways down and up, resets, ends: whatever takes another way through bus and rings. */
const WAYS = CORE.filter(({ sleep, id }) => sleep !== "several" && (sleep !== "s4" || id.startsWith("s4-"))).filter(
  ({ id }) => !/-(?:s2idle|s4)$/.test(id),
);

/** Where one GPU's way could lead through the other's: all else goes through both of them on simulated machines. */
const TOGETHER: ReadonlySet<string> = new Set([
  "s4-firmware",
  "s3-d3hot",
  "s2idle-reset",
  "flr-unasked",
  "bus-reset-asleep",
  "snapshot-unasked",
  "driver-restart",
  "abort-freeze",
  "cursor",
  "boot-driver",
  "monitor-asleep-s4",
  "lender-s2idle",
]);

interface Machine {
  readonly name: string;
  readonly options: QemuHostOptions;
  readonly cases: readonly SuspendCase[];
  readonly omissions: Omissions;
}

const PORT = { outputs: 2, rootPort: true };
const MACHINES: readonly Machine[] = [
  { name: "q35, virtio-gpu-pci", options: { devices: [{ outputs: 2 }] }, cases: CORE, omissions: ROOT_BUS },
  {
    name: "q35 with a root port, packed rings",
    options: { devices: [{ ...PORT, properties: { packed: "on" } }] },
    cases: WAYS,
    omissions: ALWAYS,
  },
  {
    name: "microvm, virtio-gpu-device",
    options: { machine: "microvm", devices: [{ outputs: 2 }] },
    cases: WAYS.filter(({ sleep }) => sleep !== "aborted"),
    omissions: MICROVM,
  },
  {
    name: "q35 with two GPUs behind root ports",
    options: { devices: [PORT, PORT] },
    cases: CORE.filter(({ id }) => TOGETHER.has(id)),
    omissions: ALWAYS,
  },
];

async function start(qemu: QemuHost): Promise<SuspendSubject> {
  if (qemu.devices.length === 1) return QemuSubject.start(qemu);
  return new PairSubject(await QemuSubject.startPair(qemu), { isOneProcess: true });
}

describe.each(MACHINES.map((machine) => [machine.name, machine] as const))(
  "%s brings back after",
  (_, { options, cases, omissions }) => {
    let qemu: QemuHost | null = null;

    beforeAll(async () => {
      qemu = await QemuHost.start({ ...options, vnc: true });
    });

    afterAll(async () => {
      await qemu?.stop();
    });

    it.each(rows(cases, omissions))("%s", async (__, suspendCase) => {
      if (qemu === null) throw new Error("no QEMU runs");
      const subject = await start(qemu);
      const reason = notOffered(suspendCase, subject);
      expect(reason).toBe(omissions[suspendCase.id] ?? null);
      if (reason === null) await suspendCase.run(subject);
      else await expect(suspendCase.run(subject)).rejects.toThrow(reason);
    });
  },
);

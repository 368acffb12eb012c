/**
 * The core of the conformance suite for suspend on a real QEMU: the same list as on our own device, with QEMU's pictures
 * and QEMU's error log. One QEMU serves all cases of a machine. What a machine is not asked for stands here with the reason.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QemuHost, type QemuHostOptions } from "../src/hosts/qemu/qemu-host.ts";
import { QemuSubject, SUSPEND_CASES, notOffered } from "../src/scenarios/suspend/index.ts";
import { type Omissions, rows } from "./support/conformance.ts";

/** Cases that no QEMU 7.2 can be asked for. */
const ALWAYS: Omissions = { "blob-shown": "this QEMU has no udmabuf for blobs" };
const NO_ACPI = "a microvm has no ACPI sleep states";
const MICROVM: Omissions = {
  ...ALWAYS,
  "s4-firmware": NO_ACPI,
  s3: NO_ACPI,
  hybrid: NO_ACPI,
  "hybrid-power-lost": NO_ACPI,
};

const MACHINES: readonly (readonly [machine: string, QemuHostOptions, Omissions])[] = [
  ["q35, virtio-gpu-pci", { devices: [{ outputs: 2 }] }, ALWAYS],
  [
    "q35 with a root port, packed rings",
    { devices: [{ outputs: 2, rootPort: true, properties: { packed: "on" } }] },
    ALWAYS,
  ],
  ["microvm, virtio-gpu-device", { machine: "microvm", devices: [{ outputs: 2 }] }, MICROVM],
];

const CORE = SUSPEND_CASES.filter(({ core }) => core);

describe.each(MACHINES)("%s brings back after", (_, options, omissions) => {
  let qemu: QemuHost | null = null;

  beforeAll(async () => {
    qemu = await QemuHost.start({ ...options, vnc: true });
  });

  afterAll(async () => {
    await qemu?.stop();
  });

  it.each(rows(CORE, omissions))("%s", async (__, suspendCase) => {
    if (qemu === null) throw new Error("no QEMU runs");
    const subject = await QemuSubject.start(qemu);
    const reason = notOffered(suspendCase, subject);
    expect(reason).toBe(omissions[suspendCase.id] ?? null);
    if (reason === null) await suspendCase.run(subject);
    else await expect(suspendCase.run(subject)).rejects.toThrow(reason);
  });
});

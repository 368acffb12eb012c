/**
 * The conformance suite for suspend on our own device: hosts that drop resources on a reset, keep them, answer slowly, keep
 * their state over S3; on PCI, MMIO and without a bus. What a host is not asked for stands here with the reason. Hosts that die
 * are in conformance-deaths.test.ts.
 */
import { describe, expect, it } from "vitest";
import { SUSPEND_CASES, type SimulatedOptions, SimulatedSubject, notOffered } from "../src/scenarios/suspend/index.ts";
import { type Omissions, planned, rows } from "./support/conformance.ts";

const RESETS: Omissions = {
  "s3-no-soft-reset": "S3 resets the device",
  "forgets-over-s3": "S3 resets the device",
};
const NO_BLOBS: Omissions = { "blob-shown": "the device offers no blobs" };

const HOSTS: readonly (readonly [host: string, SimulatedOptions, Omissions])[] = [
  ["drops resources on a reset", { variant: "drops" }, RESETS],
  ["keeps resources over a reset", { variant: "keeps" }, RESETS],
  ["answers slowly", { variant: "slow" }, { ...RESETS, ...planned("answers slowly") }],
  ["keeps its state over S3", { machine: { pci: { noSoftReset: true } } }, {}],
  ["is on MMIO, with packed rings", { machine: { transport: "mmio", features: { packed: true } } }, RESETS],
  [
    "has neither blobs nor suspend, on a bare transport behind an IOMMU",
    { blobs: false, machine: { transport: "loopback", iommu: true, features: { suspend: false } } },
    { ...RESETS, ...NO_BLOBS, "boot-driver": "a boot driver knows no IOMMU" },
  ],
];

describe("the list", () => {
  it("names each case once", () => {
    const ids = SUSPEND_CASES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(50);
    expect(SUSPEND_CASES.filter(({ core }) => core).length).toBeGreaterThanOrEqual(40);
  });
});

describe.each(HOSTS)("a host that %s brings back after", (_, options, omissions) => {
  it.each(rows(SUSPEND_CASES, omissions))("%s", async (__, suspendCase) => {
    const subject = new SimulatedSubject(options);
    const reason = notOffered(suspendCase, subject);
    expect(reason).toBe(omissions[suspendCase.id] ?? null);
    if (reason === null) await suspendCase.run(subject);
    else await expect(suspendCase.run(subject)).rejects.toThrow(reason);
  });
});

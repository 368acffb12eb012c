/**
 * The conformance suite for suspend on our own device: hosts that drop resources on a reset, keep them, answer slowly, keep
 * their state over S3; on PCI, MMIO and without a bus. What a host is not asked for stands here with the reason. Hosts that die
 * are in conformance-deaths.test.ts.
 */
import { describe, expect, it } from "vitest";
import {
  PairSubject,
  SUSPEND_CASES,
  type SimulatedOptions,
  SimulatedSubject,
  type SuspendCase,
  type SuspendSubject,
  notOffered,
} from "../src/scenarios/suspend/index.ts";
import { type Omissions, planned, rows } from "./support/conformance.ts";

const RESETS: Omissions = {
  "s3-no-soft-reset": "S3 resets the device",
  "forgets-over-s3": "S3 resets the device",
};
const NO_BLOBS: Omissions = { "blob-shown": "the device offers no blobs" };
const NO_FUNCTION: Omissions = {
  "flr-asleep": "there is no PCI function",
  "flr-unasked": "there is no PCI function",
  "bus-reset-asleep": "there is no PCI function",
  "bus-reset-unasked": "there is no PCI function",
  "d3hot-unasked": "there are no D-states",
  "s3-d3hot": "there are no D-states",
};

const HOSTS: readonly (readonly [host: string, SimulatedOptions, Omissions])[] = [
  ["drops resources on a reset", { variant: "drops" }, RESETS],
  ["keeps resources over a reset", { variant: "keeps" }, RESETS],
  ["answers slowly", { variant: "slow" }, { ...RESETS, ...planned("answers slowly") }],
  ["keeps its state over S3", { machine: { pci: { noSoftReset: true } } }, {}],
  [
    "is on MMIO, with packed rings",
    { machine: { transport: "mmio", features: { packed: true } } },
    { ...RESETS, ...NO_FUNCTION },
  ],
  [
    "has neither blobs nor suspend, on a bare transport behind an IOMMU",
    { blobs: false, machine: { transport: "loopback", iommu: true, features: { suspend: false } } },
    { ...RESETS, ...NO_BLOBS, ...NO_FUNCTION, "boot-driver": "a boot driver knows no IOMMU" },
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

async function check(subject: SuspendSubject, suspendCase: SuspendCase, omission: string | null): Promise<void> {
  const reason = notOffered(suspendCase, subject);
  expect(reason).toBe(omission);
  if (reason === null) await suspendCase.run(subject);
  else await expect(suspendCase.run(subject)).rejects.toThrow(reason);
}

describe.each(HOSTS)("a host that %s brings back after", (_, options, omissions) => {
  it.each(rows(SUSPEND_CASES, omissions))("%s", async (__, suspendCase) => {
    await check(new SimulatedSubject(options), suspendCase, omissions[suspendCase.id] ?? null);
  });
});

describe("a machine with two GPUs brings back after", () => {
  const unplanned = Object.fromEntries(
    SUSPEND_CASES.filter(({ needs }) => needs.includes("faults")).map(({ id }) => [id, "two GPUs go wrong by no plan"]),
  );
  const omissions: Omissions = { "s3-no-soft-reset": "S3 resets the device", ...unplanned };

  it.each(rows(SUSPEND_CASES, omissions))("%s", async (_, suspendCase) => {
    const subject = new PairSubject(SimulatedSubject.pair(), { isOneProcess: false });
    await check(subject, suspendCase, omissions[suspendCase.id] ?? null);
  });

  it("notices a picture of one GPU on the other", async () => {
    const pair = SimulatedSubject.pair();
    const [first] = pair;
    const subject = new PairSubject(pair, { isOneProcess: false });
    const picture = first.host.picture.bind(first.host);
    pair[1].host.picture = picture;
    const [suspendCase] = SUSPEND_CASES;
    await expect(suspendCase?.run(subject)).rejects.toThrow(/second GPU/);
  });
});

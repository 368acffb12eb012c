/** Runs recorded, printed, and played to other hosts. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GpuCommand } from "@virtgpu/core/wire";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Hardware } from "../src/hosts/machine.ts";
import { printTrace } from "../src/trace/print.ts";
import { type ReplayResult, replay } from "../src/trace/replay.ts";
import { openTrace, type TraceEntry, unpackPage } from "../src/trace/trace-file.ts";
import { hardware, playground, recordRun } from "./support/traced.ts";

const folder = mkdtempSync(join(tmpdir(), "virtgpu-trace-"));
const recorded = join(folder, "run.trace");
const broken = join(folder, "broken.trace");
const PLAIN = hardware("embedded", "virtio-gpu-pci", { blob: "off" });

beforeAll(() => recordRun(PLAIN, recorded));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function entriesOf(path: string): Promise<readonly TraceEntry[]> {
  const entries: TraceEntry[] = [];
  for await (const entry of (await openTrace(path)).entries) entries.push(entry);
  return entries;
}

async function played(
  parts: Hardware,
  prepare?: (machine: Awaited<ReturnType<typeof playground>>) => void,
  entries?: readonly TraceEntry[],
): Promise<ReplayResult> {
  const machine = await playground(parts);
  try {
    prepare?.(machine);
    return await replay(machine, entries ?? (await entriesOf(recorded)));
  } finally {
    await machine.host.stop();
  }
}

describe("a recorded run", () => {
  it("holds every command with its answer, and each page that a device reads once for each change", async () => {
    const entries = await entriesOf(recorded);
    const commands = entries.filter(({ kind }) => kind === "command").length;
    expect(commands).toBeGreaterThan(30);
    expect(entries.filter(({ kind }) => kind === "reply").length).toBe(commands);
    expect(entries.filter(({ kind }) => kind === "session").length).toBe(2);
    const pages = entries.filter((entry) => entry.kind === "page");
    const wholePicture = Math.ceil((320 * 200 * 4) / 4096);
    // After the sleep only what was drawn anew: ten rows.
    expect(pages.length).toBeLessThan(wholePicture + 12 + 4 + 10);
    expect(pages.length).toBeGreaterThanOrEqual(wholePicture + 12 + 4);
  });

  it("is printed with the specification's names", async () => {
    const lines: string[] = [];
    for await (const line of printTrace(await openTrace(recorded))) lines.push(line);
    expect(lines[0]).toBe("recorded on embedded host, virtio-gpu-pci, outputs 320x200, 128x96");
    const text = lines.map((line) => line.replace(/^ *\d+\.\d+ +/, "").replace(/, \d+\.\d+ ms\)/, ")"));
    expect(text).toContainEqual(
      expect.stringMatching(/RESOURCE_CREATE_2D {2}resourceId \d+, format 2, width 320, height 200$/),
    );
    expect(text).toContainEqual(expect.stringMatching(/-> OK_NODATA \(RESOURCE_CREATE_2D\)$/));
    expect(text).toContainEqual(expect.stringMatching(/RESOURCE_ATTACH_BACKING {2}.* {2}memory 0x[0-9a-f]+\+/));
    expect(text).toContain("gpu0: freeze begin");
    expect(text).toContainEqual(expect.stringMatching(/^gpu0: reset; features 0x/));
  });

  const hosts: readonly (readonly [string, Hardware])[] = [
    ["the same host again", PLAIN],
    [
      "packed rings behind an IOMMU",
      hardware("embedded", "virtio-gpu-pci", { blob: "off", packed: "on", iommu_platform: "on" }),
    ],
    ["MMIO", hardware("embedded", "virtio-gpu-device", { blob: "off" })],
    ["a real QEMU", hardware("qemu")],
  ];

  it.each(hosts)("is answered and shown alike by %s", async (_, parts) => {
    const { commands, pictures, differences } = await played(parts);
    expect(differences).toEqual([]);
    expect(pictures).toBe(4);
    expect(commands).toBeGreaterThan(30);
  });

  it("is the same through an IOMMU, whose addresses are another session's after a sleep", async () => {
    const path = join(folder, "iommu.trace");
    const iommu = hardware("embedded", "virtio-gpu-pci", { blob: "off", iommu_platform: "on" });
    await recordRun(iommu, path);
    const entries = await entriesOf(path);
    const plain = (await entriesOf(recorded)).filter(({ kind }) => kind === "command");
    expect(entries.filter(({ kind }) => kind === "command").length).toBe(plain.length);
    expect(entries.some((entry) => entry.kind === "page" && entry.address >= 2 ** 40)).toBe(true);
    for (const parts of [iommu, PLAIN]) expect((await played(parts, undefined, entries)).differences).toEqual([]);
  });

  it("shows what another host does otherwise", async () => {
    const refusing = await played(PLAIN, ({ gpu }) =>
      gpu.faults?.inject({ type: GpuCommand.RESOURCE_CREATE_2D, effect: { kind: "refuse", reply: 0x1201 } }),
    );
    expect(refusing.differences[0]).toMatchObject({
      what: expect.stringContaining("RESOURCE_CREATE_2D"),
      recorded: expect.stringContaining("OK_NODATA"),
      replayed: expect.stringContaining("ERR_OUT_OF_MEMORY"),
    });
    const blobs = await played(hardware("embedded"));
    expect([blobs.differences, blobs.features.length]).toEqual([[], 0]);
  });
});

describe("a file that is no trace", () => {
  const first = (): string => readFileSync(recorded, "utf8").split("\n")[0] ?? "";
  const cases: readonly (readonly [string, () => string, RegExp])[] = [
    ["nothing", () => "", /is no trace/],
    ["a picture", () => "\u0089PNG\r\n\u001a\n", /is no trace/],
    ["other JSON", () => '{"kind":"x"}\n', /is no trace/],
    [
      "a later version",
      () => `${first().replace('"version":1', '"version":2')}\n`,
      /version 2 of the format; this program reads 1/,
    ],
    ["a line that is cut off", () => `${first()}\n{"kind":"comm`, /line 2 of .* is cut off, or no JSON/],
    ["an unknown entry", () => `${first()}\n{"kind":"wish"}\n`, /line 2 of .*kind/],
    ["a field too many", () => `${first()}\n{"kind":"page","address":0,"data":"","x":1}\n`, /line 2 of /],
    ["a negative address", () => `${first()}\n{"kind":"page","address":-4,"data":""}\n`, /line 2 of .*address/],
    ["a line without end", () => `${first()}\n${"x".repeat(9 << 20)}`, /is no trace|line 2/],
  ];

  it.each(cases)("is refused in a sentence: %s", async (_, text, message) => {
    writeFileSync(broken, text());
    const failure = await entriesOf(broken).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "EINVAL", message: expect.stringMatching(message) });
  });

  it("keeps what was read before the wrong line", async () => {
    writeFileSync(broken, readFileSync(recorded));
    appendFileSync(broken, "{}\n");
    await expect(entriesOf(broken)).rejects.toThrow(/^line \d+ of/);
  });

  it("holds no page that unpacks to more than one", async () => {
    const { deflateRawSync } = await import("node:zlib");
    expect(() => unpackPage(deflateRawSync(Buffer.alloc(1 << 20)).toString("base64"))).toThrow(/can't be unpacked/);
    expect(() => unpackPage("AAAA")).toThrow(/can't be unpacked/);
  });
});
